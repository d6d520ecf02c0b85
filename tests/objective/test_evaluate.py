"""Outcomes of real studies: values, divergence, failures, seeds, stages."""

import math

import numpy as np
import pytest
import torch

from ecd_tune.errors import TaskError, UnknownNameError
from ecd_tune.objective import Interrupted, Objective
from ecd_tune.objective.batched import evaluate_batch
from ecd_tune.objective.single import RunPlan, evaluate_single
from ecd_tune.records import Direction, RunRequest, Stage, Status
from ecd_tune.registry import OPTIMIZERS, load_attribute
from ecd_tune.spec import find_study, load_study, parse_study
from ecd_tune.tasks.synthetic import make_zakharov

SPACES = {
    "ecdsep": {"lr": 1.0, "eta": 1.0},
    "gdm": {"lr": 1e-6},
    "adam": {"lr": 1.0},
    "bbi": {"lr": 1e-3},
}
POINTS = {
    "ecdsep": {"lr": 9594.6, "eta": 1.0116, "nu": 0.0816, "delta_energy": 5.05},
    "gdm": {"lr": 3.7e-6, "momentum": 0.94},
    "adam": {"lr": 1.25, "beta1": 0.73, "beta2": 0.91},
    "bbi": {"lr": 2.6e-3, "v0": 1e-22, "T0": 10**9, "T1": 10**9},
}


def zakharov(steps=60, confirm_steps=80, **task):
    return parse_study(
        {
            "name": "test",
            "task": {"name": "zakharov", **task},
            "budget": {"trials": 10, "steps": steps, "batch": 5},
            "confirmation": {"steps": confirm_steps, "task": {"start": "uniform"}},
            "optimizers": {key: {"space": space} for key, space in SPACES.items()},
        }
    )


def digits(steps=3, **task):
    return parse_study(
        {
            "name": "test",
            "task": {"name": "digits", **task},
            "budget": {"trials": 10, "steps": steps},
            "optimizers": {"adam": {"space": {"lr": 1e-2}}, "sgd": {"space": {"lr": 0.1}}},
        }
    )


def evaluate(spec, optimizer, *params, seed=0, stage=Stage.SEARCH):
    requests = [RunRequest(p, seed + row, stage) for row, p in enumerate(params)]
    return Objective(spec, optimizer).evaluate(requests)


class TestSyntheticValue:
    def test_zero_step_keeps_the_start(self):
        (outcome,) = evaluate(zakharov(), "gdm", {"lr": 1e-300})
        assert outcome.status is Status.COMPLETE
        assert outcome.value == 572680.3125
        assert outcome.metrics["start"] == outcome.metrics["final"] == 572680.3125

    def test_plain_gradient_descent_by_hand(self):
        # n = 1: F = θ² + θ²/4 + θ⁴/16, F' = 5θ/2 + θ³/4.
        theta, losses = 1.0, []
        for _ in range(7):
            losses.append(1.25 * theta**2 + theta**4 / 16)
            theta -= 0.3 * (2.5 * theta + theta**3 / 4)
        (outcome,) = evaluate(zakharov(steps=7, n=1), "gdm", {"lr": 0.3, "momentum": 0.0})
        assert outcome.curve.steps == tuple(range(7))
        assert outcome.curve.values == pytest.approx(losses, rel=1e-12)
        # Seven values, the start among them; the seventh step is never evaluated.
        assert outcome.value == pytest.approx(losses[6], rel=1e-12)
        assert outcome.metrics["best_step"] == 6

    def test_value_is_the_minimum_of_the_run(self):
        (outcome,) = evaluate(zakharov(steps=250), "adam", POINTS["adam"])
        assert outcome.value == outcome.metrics["best"] < outcome.metrics["final"]
        assert outcome.value <= min(outcome.curve.values)

    def test_confirmation_has_its_own_length_and_start(self):
        (outcome,) = evaluate(zakharov(), "gdm", POINTS["gdm"], stage=Stage.CONFIRM)
        assert outcome.curve.steps[-1] == 79
        start = make_zakharov(start="uniform").start([0])
        assert outcome.metrics["start"] == make_zakharov().loss(start).item()

    @pytest.mark.parametrize(
        ("optimizer", "steps", "expected"),
        [("gdm", 250, 2.0296), ("gdm", 3500, 0.8659), ("bbi", 250, 9.4e-6), ("adam", 250, 8.1e-14)],
    )
    def test_the_papers_best_values_give_what_the_public_code_gives(
        self, optimizer, steps, expected
    ):
        # Recomputed with the public optimizers from (1, …, 1) in float32, printed to these digits.
        reference = load_study(find_study("zakharov")).optimizers[optimizer].references[0]
        (outcome,) = evaluate(zakharov(steps, dtype="float32"), optimizer, reference.params)
        assert outcome.value == pytest.approx(expected, rel=0.02)

    def test_ecdsep_continues_where_the_public_code_overflows(self):
        # The public code: median 5e-30 over 20 noise draws, then NaN in 20 of 20.
        reference = load_study(find_study("zakharov")).optimizers["ecdsep"].references[0]
        spec = zakharov(250, dtype="float32")
        outcomes = evaluate(spec, "ecdsep", *[reference.params] * 20)
        assert all(outcome.status is Status.COMPLETE for outcome in outcomes)
        assert np.median([outcome.value for outcome in outcomes]) < 5e-30

    def test_counters_of_the_optimizer_are_kept(self):
        (outcome,) = evaluate(zakharov(), "ecdsep", POINTS["ecdsep"])
        assert outcome.metrics["updates"] == 60
        assert outcome.metrics["held"] == 0

    def test_cost_is_shared_by_the_batch(self):
        outcomes = evaluate(zakharov(), "gdm", *[POINTS["gdm"]] * 4)
        assert len({o.cost.seconds for o in outcomes}) == 1
        assert outcomes[0].cost.seconds > 0
        assert outcomes[0].cost.device == "cpu"


class TestDivergence:
    def test_value_reason_and_curve_end_at_the_divergence(self):
        diverging, fine = evaluate(zakharov(), "gdm", {"lr": 1e-2}, POINTS["gdm"])
        assert diverging.status is Status.DIVERGED
        assert diverging.value == 572680.3125
        last = diverging.curve.steps[-1]
        assert diverging.reason == f"loss became non-finite (inf) at iteration {last + 1}"
        assert all(map(math.isfinite, diverging.curve.values))
        assert fine.status is Status.COMPLETE

    def test_diverged_row_affects_no_other(self):
        _, beside = evaluate(zakharov(), "gdm", {"lr": 1e-2}, POINTS["gdm"])
        (alone,) = evaluate(zakharov(), "gdm", POINTS["gdm"], seed=1)
        assert beside.curve == alone.curve
        assert beside.metrics == alone.metrics

    @pytest.mark.parametrize("optimizer", ["gdm", "ecdsep"])
    def test_no_finite_loss_at_all_is_a_failure(self, optimizer, monkeypatch):
        monkeypatch.setattr(
            "ecd_tune.tasks.synthetic.FixedStart.draw",
            lambda self, seed: torch.full((10,), 1e200, dtype=torch.float64),
        )
        spec = zakharov()
        (outcome,) = evaluate(spec, optimizer, POINTS[optimizer])
        assert outcome.status is Status.FAILED
        assert outcome.value is None
        assert outcome.reason == "loss became non-finite (inf) at iteration 0"

    def test_digits_with_a_huge_step(self):
        (outcome,) = evaluate(digits(), "sgd", {"lr": 1e30})
        assert outcome.status is Status.DIVERGED
        assert "non-finite" in outcome.reason
        # Before training, the only epoch with a value.
        assert outcome.metrics["best_epoch"] == 0
        assert outcome.curve.steps == (0,)
        assert outcome.value == outcome.curve.values[0]


class TestFailures:
    def test_one_bad_request_does_not_fail_the_batch(self):
        good, bad, other = evaluate(
            zakharov(), "ecdsep", POINTS["ecdsep"], {"lr": -1.0, "eta": 2.0}, POINTS["ecdsep"]
        )
        assert bad.status is Status.FAILED
        assert bad.reason.startswith("HyperparameterError: ecdsep: lr = -1.0 must be > 0")
        assert good.status is other.status is Status.COMPLETE

    def test_an_exception_in_a_step_is_named(self):
        (outcome,) = evaluate(digits(), "sgd", {"lr": 0.1, "nesterov": True, "momentum": 0.0})
        assert outcome.status is Status.FAILED
        assert outcome.reason.split(":")[0].endswith("Error")

    def test_a_missing_hyperparameter_is_named(self):
        (outcome,) = evaluate(zakharov(), "ecdsep", {"lr": 1.0})
        assert outcome.status is Status.FAILED
        assert "eta" in outcome.reason

    def test_a_task_that_cannot_be_made_is_raised(self):
        spec = zakharov()
        broken = spec.model_copy(update={"task": spec.task.model_copy(update={"n": 0})})
        with pytest.raises(TaskError, match="n = 0"):
            Objective(broken, "gdm").evaluate([RunRequest(POINTS["gdm"], 0)])

    @pytest.mark.parametrize("error", [KeyboardInterrupt, SystemExit])
    def test_system_exit_is_not_a_failed_trial(self, error, monkeypatch):
        def leave(*args):
            raise error

        monkeypatch.setattr("ecd_tune.tasks.digits.DigitsProblem.closure", leave)
        with pytest.raises(error):
            evaluate(digits(), "sgd", {"lr": 0.1})

    def test_unknown_optimizer_names_those_of_the_study(self):
        with pytest.raises(UnknownNameError, match="adam, bbi, ecdsep, gdm"):
            Objective(zakharov(), "lion")


class TestInterruption:
    @pytest.mark.parametrize(
        ("spec", "optimizer"), [(zakharov(steps=10_000), "gdm"), (digits(steps=1000), "adam")]
    )
    def test_stop_ends_an_evaluation_within_some_steps(self, spec, optimizer):
        polls = iter([False, False, True])
        objective = Objective(spec, optimizer)
        with pytest.raises(Interrupted):
            objective.evaluate([RunRequest({"lr": 1e-6}, 0)], stop=lambda: next(polls))

    def test_stop_ends_a_batch(self):
        objective = Objective(zakharov(), "gdm")
        with pytest.raises(Interrupted):
            objective.evaluate([RunRequest(POINTS["gdm"], 0)] * 2, stop=lambda: True)

    def test_unset_stop_flag_changes_nothing(self):
        request = RunRequest(POINTS["gdm"], 0)
        objective = Objective(zakharov(), "gdm")
        (polled,) = objective.evaluate([request], stop=lambda: False)
        (plain,) = objective.evaluate([request])
        assert polled.curve == plain.curve


class TestBatches:
    @pytest.mark.parametrize("optimizer", sorted(POINTS))
    def test_batch_equals_its_rows(self, optimizer):
        spec, rng = zakharov(), np.random.default_rng(0)
        points = [
            {**POINTS[optimizer], "lr": POINTS[optimizer]["lr"] * rng.uniform(0.2, 1.0)}
            for _ in range(5)
        ]
        together = evaluate(spec, optimizer, *points, stage=Stage.CONFIRM)
        for row, outcome in enumerate(together):
            (alone,) = evaluate(spec, optimizer, points[row], seed=row, stage=Stage.CONFIRM)
            assert outcome.status is alone.status
            assert outcome.curve == alone.curve
            assert outcome.metrics == alone.metrics

    @pytest.mark.parametrize("optimizer", sorted(POINTS))
    @pytest.mark.parametrize("lr_factor", [1.0, 1e7])
    def test_batched_and_ordinary_form_agree(self, optimizer, lr_factor):
        # Few steps: rounding differs between the forms, and these trajectories are chaotic.
        definition, task = OPTIMIZERS.get(optimizer), make_zakharov(start="uniform")
        params = {**POINTS[optimizer], "lr": POINTS[optimizer]["lr"] * lr_factor}
        request = RunRequest(params, 3)
        (batched,) = evaluate_batch(task, load_attribute(definition.batched), [request], 12)
        plan = RunPlan(12, Direction.MINIMIZE)
        make = load_attribute(definition.factory)
        single = evaluate_single(
            task, lambda problem, seed, **own: make(problem.parameters, seed, **own), request, plan
        )
        assert batched.status is single.status
        assert batched.reason == single.reason
        assert batched.curve.steps == single.curve.steps
        assert batched.curve.values == pytest.approx(single.curve.values, rel=1e-6)

    def test_stages_can_be_mixed_in_one_call(self):
        requests = [
            RunRequest(POINTS["gdm"], 0, stage)
            for stage in (Stage.CONFIRM, Stage.SEARCH, Stage.CONFIRM)
        ]
        outcomes = Objective(zakharov(), "gdm").evaluate(requests)
        assert [o.curve.steps[-1] for o in outcomes] == [79, 59, 79]

    def test_no_requests_no_outcomes(self):
        assert Objective(zakharov(), "gdm").evaluate([]) == []

    def test_only_a_batched_task_with_a_batched_optimizer_is_batched(self):
        assert Objective(zakharov(), "adam").batched
        assert not Objective(digits(), "adam").batched


class TestDigits:
    def test_search_reports_the_best_validation_epoch(self):
        (outcome,) = evaluate(digits(steps=4), "adam", {"lr": 3e-2})
        assert outcome.status is Status.COMPLETE
        assert outcome.curve.steps == (0, 1, 2, 3, 4)
        assert outcome.value == max(outcome.curve.values) == outcome.metrics["val_accuracy"]
        best = outcome.curve.values.index(outcome.value)
        assert outcome.metrics["best_epoch"] == best
        assert {"val_loss", "train_loss"} <= set(outcome.metrics)
        assert not any(name.startswith("test") for name in outcome.metrics)

    def test_the_training_loss_is_a_curve_too(self, monkeypatch):
        """Its points are the means of the losses that the epochs' steps saw."""
        from ecd_tune.tasks.digits import DigitsProblem

        closure, losses = DigitsProblem.closure, []

        def remember(self, step):
            losses.append(closure(self, step))
            return losses[-1]

        monkeypatch.setattr(DigitsProblem, "closure", remember)
        (outcome,) = evaluate(digits(steps=3), "adam", {"lr": 3e-2})
        assert set(outcome.curves) == {"metric", "train_loss"}
        curve = outcome.curves["train_loss"]
        assert curve.steps == (1, 2, 3)
        epochs = torch.stack(losses).double().reshape(3, -1).mean(dim=1)
        assert curve.values == pytest.approx(epochs.tolist(), rel=1e-9)
        assert outcome.metrics["train_loss"] == curve.values[-1]

    def test_search_does_not_use_the_test_split(self, monkeypatch):
        from ecd_tune.tasks import digits as module

        parts = dict(module.split_digits(0))

        class Closed:
            def __getattr__(self, name):
                raise AssertionError("the search read the test split")

        monkeypatch.setattr(module, "split_digits", lambda seed: {**parts, "test": Closed()})
        (search,) = evaluate(digits(), "adam", {"lr": 1e-2})
        assert search.status is Status.COMPLETE
        (confirm,) = evaluate(digits(), "adam", {"lr": 1e-2}, stage=Stage.CONFIRM)
        assert confirm.reason == "AssertionError: the search read the test split"

    def test_confirmation_tests_once_with_the_best_epochs_parameters(self, monkeypatch):
        from ecd_tune.tasks.digits import DigitsProblem

        seen = []
        evaluate_split = DigitsProblem.evaluate

        def record(self, split):
            numbers = evaluate_split(self, split)
            seen.append((split, evaluate_split(self, "val")["loss"], numbers))
            return numbers

        monkeypatch.setattr(DigitsProblem, "evaluate", record)
        # So large a step that the last epoch is not the best one.
        (outcome,) = evaluate(digits(steps=6), "adam", {"lr": 0.3}, stage=Stage.CONFIRM)
        assert outcome.metrics["best_epoch"] < 6
        assert [split for split, _, _ in seen] == ["val"] * 7 + ["test"]
        _, val_loss, tested = seen[-1]
        assert val_loss == outcome.metrics["val_loss"]
        assert outcome.metrics["test_accuracy"] == tested["accuracy"]

    def test_seed_decides_the_run(self):
        a, b, other = (
            evaluate(digits(), "sgd", {"lr": 0.1}, seed=seed)[0].curve for seed in (1, 1, 2)
        )
        assert a == b
        assert a != other
