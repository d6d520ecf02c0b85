"""Interrupted, killed, resumed: the outcome equals that of an undisturbed run."""

from __future__ import annotations

import dataclasses
import io
import logging
import pickle

import pytest
import torch

from ecd_tune.objective import Interrupted, Objective
from ecd_tune.objective.checkpoints.snapshots import FORMAT
from ecd_tune.objective.training.speed import SPEED_METRICS
from ecd_tune.optim.definitions import OPTIMIZER_DEFS
from ecd_tune.records import RunCost, RunRequest, Stage
from ecd_tune.registry import OPTIMIZERS
from ecd_tune.spec import parse_study
from ecd_tune.tasks.digits import DigitsProblem
from tests.objective.memory_checkpoint import MemoryCheckpoint

EPOCHS, LENGTH = 3, 9
POINTS = {
    "ecdsep": {"lr": 0.1, "eta": 2.0, "nu": 1e-2, "weight_decay": 1e-4},
    "ecdsep_f0": {"lr": 0.1, "eta": 3.0, "nu": 1e-2},
    "bbi": {"lr": 1e-2, "v0": 1e-3, "T0": 5, "T1": 7},
    "ecdq1": {"lr": 1.0, "nu": 0.1, "weight_decay": 1e-4},
    "ecd_auto": {"weight_decay": 1e-4},
    "sgd": {"lr": 0.1, "momentum": 0.9, "nesterov": True},
    "gdm": {"lr": 0.1, "momentum": 0.9},
    "adam": {"lr": 1e-2},
    "adamw": {"lr": 1e-2, "weight_decay": 1e-2},
    "muon": {"lr": 1e-2},
    "soap": {"lr": 1e-2},
    "prodigy": {"lr": 1.0},
    "schedule_free": {"lr": 1e-2},
}


def digits(optimizer, epochs=EPOCHS, **task):
    params = POINTS[optimizer]
    return parse_study(
        {
            "name": "test",
            "task": {"name": "digits", "hidden": 8, "batch_size": 128, **task},
            "budget": {"trials": 10, "steps": epochs},
            "optimizers": {optimizer: {"space": params}},
        }
    )


def ackley(optimizer, steps=60):
    return parse_study(
        {
            "name": "test",
            "task": {"name": "ackley"},
            "budget": {"trials": 10, "steps": steps},
            "optimizers": {optimizer: {"space": POINTS[optimizer]}},
        }
    )


def run(spec, optimizer, handle=None, stop_before=None, stage=Stage.SEARCH, report=None, **params):
    """Evaluate one request, less cost and speed; ``stop_before`` names the step to leave before."""
    polls = iter(range(10**6))
    request = RunRequest(POINTS[optimizer] | params, 5, stage)
    (outcome,) = Objective(spec, optimizer).evaluate(
        [request],
        stop=None if stop_before is None else lambda: next(polls) == stop_before,
        checkpoints=None if handle is None else [handle],
        report=report,
    )
    metrics = {k: v for k, v in outcome.metrics.items() if k not in SPEED_METRICS}
    return dataclasses.replace(outcome, cost=RunCost(), metrics=metrics)


@pytest.fixture
def steps(monkeypatch):
    """The numbers of all steps of the digits problem."""
    seen, closure = [], DigitsProblem.closure

    def record(self, step):
        seen.append(step)
        return closure(self, step)

    monkeypatch.setattr(DigitsProblem, "closure", record)
    return seen


def test_the_steps_of_an_epoch_are_known(steps):
    run(digits("sgd"), "sgd")
    assert len(steps) == EPOCHS * LENGTH


def test_every_optimizer_is_tried():
    assert set(POINTS) == {definition.name for definition in OPTIMIZERS}


class TestContinuing:
    @pytest.mark.parametrize("optimizer", sorted(POINTS))
    @pytest.mark.parametrize("step", [1, LENGTH - 1, LENGTH, 2 * LENGTH + 4, 3 * LENGTH - 1])
    def test_stopped_run_resumes_bit_equal(self, optimizer, step, steps):
        spec, handle = digits(optimizer), MemoryCheckpoint()
        with pytest.raises(Interrupted):
            run(spec, optimizer, handle, stop_before=step)
        assert handle.saves == 1
        assert steps == list(range(step))
        steps.clear()
        continued = run(spec, optimizer, handle)
        assert steps == list(range(step, EPOCHS * LENGTH))
        assert continued == run(spec, optimizer)

    @pytest.mark.parametrize("optimizer", ["ecdsep", "adam"])
    def test_killed_run_resumes_from_its_last_checkpoint(self, optimizer, monkeypatch):
        spec, handle, closure = (
            digits(optimizer),
            MemoryCheckpoint(due={4, 13}),
            DigitsProblem.closure,
        )

        def killed(self, step):
            if step == 20:
                raise SystemExit
            return closure(self, step)

        with monkeypatch.context() as patch:
            patch.setattr(DigitsProblem, "closure", killed)
            with pytest.raises(SystemExit):
                run(spec, optimizer, handle)
        assert handle.saves == 2
        seen = []
        monkeypatch.setattr(
            DigitsProblem, "closure", lambda self, step: seen.append(step) or closure(self, step)
        )
        continued = run(spec, optimizer, handle)
        assert seen == list(range(13, EPOCHS * LENGTH))
        assert continued == run(spec, optimizer)

    def test_run_can_be_stopped_repeatedly(self):
        spec, handle = digits("ecdsep"), MemoryCheckpoint()
        for _ in range(5):
            with pytest.raises(Interrupted):
                run(spec, "ecdsep", handle, stop_before=4)
        assert run(spec, "ecdsep", handle) == run(spec, "ecdsep")

    def test_a_confirmation_tests_the_best_epoch_from_before_the_stop(self):
        # The best epoch is the fifth, before the stop.
        spec, handle = digits("adam", epochs=6), MemoryCheckpoint()
        with pytest.raises(Interrupted):
            run(spec, "adam", handle, stop_before=5 * LENGTH + 3, stage=Stage.CONFIRM, lr=0.1)
        continued = run(spec, "adam", handle, stage=Stage.CONFIRM, lr=0.1)
        assert continued == run(spec, "adam", stage=Stage.CONFIRM, lr=0.1)
        assert continued.metrics["best_epoch"] <= 5
        assert "test_accuracy" in continued.metrics

    def test_divergence_after_resuming_is_the_same(self, monkeypatch):
        closure = DigitsProblem.closure

        def diverging(self, step):
            return closure(self, step) * (torch.inf if step == 22 else 1.0)

        monkeypatch.setattr(DigitsProblem, "closure", diverging)
        spec, handle = digits("sgd"), MemoryCheckpoint()
        plain = run(spec, "sgd")
        assert plain.reason == "loss became non-finite (inf) at iteration 22"
        with pytest.raises(Interrupted):
            run(spec, "sgd", handle, stop_before=20)
        assert run(spec, "sgd", handle) == plain

    def test_iterations_resume(self, monkeypatch):
        # Without its batched form, so that the synthetic task runs step by step.
        single = dataclasses.replace(OPTIMIZER_DEFS["ecdsep_f0"], batched=None)
        monkeypatch.setitem(OPTIMIZER_DEFS, "ecdsep_f0", single)
        assert not Objective(ackley("ecdsep_f0"), "ecdsep_f0").batched
        spec, handle = ackley("ecdsep_f0"), MemoryCheckpoint()
        with pytest.raises(Interrupted):
            run(spec, "ecdsep_f0", handle, stop_before=17)
        continued = run(spec, "ecdsep_f0", handle)
        assert continued == run(spec, "ecdsep_f0")
        assert continued.curve.steps == tuple(range(60))

    def test_cost_before_the_stop_is_counted(self):
        spec, handle, request = digits("sgd"), MemoryCheckpoint(), RunRequest(POINTS["sgd"], 5)
        with pytest.raises(Interrupted):
            run(spec, "sgd", handle, stop_before=20)
        held = torch.load(io.BytesIO(handle.data), weights_only=True)
        held["state"]["seconds"] = 1000.0
        handle.data = _bytes(held)
        (outcome,) = Objective(spec, "sgd").evaluate([request], checkpoints=[handle])
        assert 1000 < outcome.cost.seconds < 1060

    def test_stateful_problem_is_restored(self, monkeypatch):
        # A running mean of the parameters that the loss depends on, as a batch norm has it.
        closure = DigitsProblem.closure

        def stateful(self, step):
            loss = closure(self, step)
            for parameter in self.parameters:
                parameter.grad *= 1 + self.__dict__.get("mean", 0.0)
            self.mean = 0.9 * self.__dict__.get("mean", 0.0) + 0.1 * float(loss)
            return loss

        monkeypatch.setattr(DigitsProblem, "closure", stateful)
        spec = digits("sgd")
        plain = run(spec, "sgd")

        def stop_and_go():
            handle = MemoryCheckpoint()
            with pytest.raises(Interrupted):
                run(spec, "sgd", handle, stop_before=13)
            return run(spec, "sgd", handle)

        assert stop_and_go() != plain  # the mean was lost
        monkeypatch.setattr(
            DigitsProblem,
            "state_dict",
            lambda self: {"mean": self.__dict__.get("mean", 0.0)},
            raising=False,
        )
        monkeypatch.setattr(
            DigitsProblem,
            "load_state_dict",
            lambda self, state: setattr(self, "mean", state["mean"]),
            raising=False,
        )
        assert stop_and_go() == plain


class TestSaving:
    def test_nothing_is_saved_before_the_first_step_nor_twice_at_the_same(self):
        spec, handle = digits("sgd"), MemoryCheckpoint()
        with pytest.raises(Interrupted):
            run(spec, "sgd", handle, stop_before=0)
        assert handle.saves == 0
        with pytest.raises(Interrupted):
            run(spec, "sgd", handle, stop_before=3)
        with pytest.raises(Interrupted):
            run(spec, "sgd", handle, stop_before=0)
        assert handle.saves == 1

    def test_stop_waits_for_at_most_one_step(self, steps):
        with pytest.raises(Interrupted):
            run(digits("sgd"), "sgd", stop_before=2)
        assert steps == [0, 1]

    def test_failed_checkpoint_write_does_not_end_the_run(self, monkeypatch, caplog):
        monkeypatch.setattr(
            torch.optim.SGD, "state_dict", lambda self: {"hook": lambda: None, "groups": []}
        )
        spec, handle = digits("sgd"), MemoryCheckpoint(due=range(100))
        with caplog.at_level(logging.WARNING):
            assert run(spec, "sgd", handle) == run(spec, "sgd")
        assert handle.saves == 0
        assert sum("cannot be saved" in r.message for r in caplog.records) == 1

    def test_a_batch_of_rows_is_not_saved(self):
        spec, slots = ackley("ecdsep"), [MemoryCheckpoint(due=range(100)) for _ in range(2)]
        requests = [RunRequest(POINTS["ecdsep"], seed) for seed in range(2)]
        Objective(spec, "ecdsep").evaluate(requests, checkpoints=slots)
        assert [handle.saves for handle in slots] == [0, 0]

    def test_each_row_has_its_own_checkpoint(self):
        spec, slots = digits("adam"), [None, MemoryCheckpoint(due={9})]
        requests = [RunRequest(POINTS["adam"], seed) for seed in range(2)]
        outcomes = Objective(spec, "adam").evaluate(requests, checkpoints=slots)
        again = Objective(spec, "adam").evaluate(requests, checkpoints=slots)
        assert slots[1].saves == 1
        assert [o.curve for o in outcomes] == [o.curve for o in again]


class _Shell:
    def __reduce__(self):
        return (open, ("pwned", "w"))


def _bytes(held):
    buffer = io.BytesIO()
    torch.save(held, buffer)
    return buffer.getvalue()


class TestDistrust:
    @pytest.fixture
    def saved(self):
        handle = MemoryCheckpoint()
        with pytest.raises(Interrupted):
            run(digits("adam"), "adam", handle, stop_before=12)
        return handle.data

    def restarts(self, data, steps, caplog, spec=None, **params):
        handle, spec = MemoryCheckpoint(), spec or digits("adam")
        handle.data = data
        steps.clear()
        with caplog.at_level(logging.WARNING):
            outcome = run(spec, "adam", handle, **params)
        assert steps[0] == 0
        assert outcome == run(spec, "adam", **params)
        assert "restarting the run" in caplog.text
        return caplog.text

    def test_damage(self, saved, steps, caplog):
        for data in (b"", b"nonsense", saved[: len(saved) // 2], _bytes([1, 2]), _bytes({})):
            assert "damaged" in self.restarts(data, steps, caplog)
            caplog.clear()

    def test_code_in_a_checkpoint_is_not_run(self, saved, steps, caplog, tmp_path, monkeypatch):
        monkeypatch.chdir(tmp_path)
        held = torch.load(io.BytesIO(saved), weights_only=True)
        for data in (pickle.dumps(_Shell()), _bytes({**held, "state": _Shell()})):
            self.restarts(data, steps, caplog)
            caplog.clear()
        assert list(tmp_path.iterdir()) == []

    def test_another_format(self, saved, steps, caplog):
        held = torch.load(io.BytesIO(saved), weights_only=True)
        assert held["format"] == FORMAT
        data = _bytes({**held, "format": FORMAT + 1})
        assert "another version" in self.restarts(data, steps, caplog)

    @pytest.mark.parametrize("change", ["params", "epochs", "task", "torch"])
    def test_another_run(self, change, saved, steps, caplog, monkeypatch):
        spec, params = digits("adam"), {}
        if change == "params":
            params = {"lr": 0.02}
        elif change == "epochs":
            spec = digits("adam", epochs=EPOCHS + 1)
        elif change == "task":
            spec = digits("adam", split_seed=1)
        else:
            monkeypatch.setattr(torch, "__version__", "1.0")
        assert "another run" in self.restarts(saved, steps, caplog, spec, **params)

    @pytest.mark.parametrize(
        ("path", "value"),
        [
            (("stepper", "parameters"), [torch.zeros(1)] * 4),
            (("stepper", "parameters"), []),
            (("stepper", "optimizer"), {}),
            (("stepper", "number"), 26),
            (("stepper", "number"), "x"),
            (("stepper", "problem"), {"mean": 1.0}),
            (("tracks",), {}),
            (("tracks", "metric"), {0: 0.5}),
            (("best_epoch",), 7),
            (("best",), {"accuracy": 2.0}),
            (("best_weights",), None),
            (("last",), {"accuracy": 2.0}),
            (("tracks", "train_loss"), {}),
            (("tracks", "train_loss"), {1: "x"}),
        ],
    )
    def test_mismatched_state_changes_nothing(self, path, value, saved, steps, caplog):
        held = torch.load(io.BytesIO(saved), weights_only=True)
        place = held["state"]["run"]
        for name in path[:-1]:
            place = place[name]
        place[path[-1]] = value
        assert "does not match" in self.restarts(_bytes(held), steps, caplog)


class TestReports:
    def test_each_epoch_is_reported_after_evaluation(self):
        told = []
        outcome = run(digits("adam"), "adam", report=lambda *point: told.append(point))
        assert told == [(0, epoch, value) for epoch, value in enumerate(outcome.curve.values)]

    def test_resumed_run_reports_its_earlier_epochs(self):
        spec, handle, told = digits("adam"), MemoryCheckpoint(), []
        with pytest.raises(Interrupted):
            run(spec, "adam", handle, stop_before=2 * LENGTH, report=lambda *p: told.append(p))
        before, told = told, []
        outcome = run(spec, "adam", handle, report=lambda *p: told.append(p))
        assert len(before) == 3
        assert told[:3] == before
        assert [value for _, _, value in told] == list(outcome.curve.values)

    def test_rows_are_reported_separately(self):
        told, requests = [], [RunRequest(POINTS["adam"], seed) for seed in range(2)]
        Objective(digits("adam", epochs=1), "adam").evaluate(
            requests, report=lambda *point: told.append(point[:2])
        )
        assert told == [(0, 0), (0, 1), (1, 0), (1, 1)]

    def test_iterations_are_not_reported(self):
        run(ackley("ecdsep_f0"), "ecdsep_f0", report=lambda *point: pytest.fail("told"))
