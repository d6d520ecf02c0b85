"""Trials that are trained together have the outcomes of single runs."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any

import pytest
import torch

from ecd_tune.objective import Callbacks, Interrupted, Job, Objective
from ecd_tune.objective.checkpoints.checkpoint import CheckpointHandle
from ecd_tune.objective.training.epochs import TRAIN_LOSS
from ecd_tune.objective.training.speed import SPEED_METRICS
from ecd_tune.records import METRIC, Cause, Outcome, Params, RunRequest, Stage, Status
from ecd_tune.spec import StudySpec, parse_study
from ecd_tune.tasks.digits_stack import StackedDigits

# Steps that do not enlarge rounding errors: else the comparison would be one of chaos.
PARAMS: dict[str, list[Params]] = {
    "ecdsep": [
        {"lr": 0.3, "eta": 1.5, "nu": 1e-4},
        {"lr": 0.1, "eta": 2.0, "nu": 1e-3, "weight_decay": 1e-3},
        {"lr": 0.2, "eta": 1.2, "nu": 0.0, "s": 0},
    ],
    "ecdq1": [{"lr": 1.0, "eta": 50.0, "nu": 0.01}, {"lr": 0.5, "eta": 100.0, "nu": 0.05}],
    "sgd": [
        {"lr": 0.1, "momentum": 0.9},
        {"lr": 0.3, "momentum": 0.5, "nesterov": True, "weight_decay": 1e-3, "scale": 1.3},
        {"lr": 0.05, "scale": "share"},
    ],
    "adam": [{"lr": 1e-3}, {"lr": 3e-3, "beta1": 0.8, "weight_decay": 1e-3, "amsgrad": True}],
    "adamw": [{"lr": 1e-3, "weight_decay": 0.1}, {"lr": 3e-3, "beta2": 0.95}],
}


def make_spec(optimizer: str, epochs: int = 3, **tables: Any) -> StudySpec:
    return parse_study(
        {
            "name": "lanes",
            "task": {"name": "digits", "hidden": 8, "batch_size": 128},
            "budget": {"trials": 1, "steps": epochs},
            "optimizers": {optimizer: {"space": dict(PARAMS[optimizer][0])}},
            **tables,
        }
    )


def run_together(
    objective: Objective,
    requests: Sequence[RunRequest],
    width: int,
    callbacks: Callable[[int], Callbacks] = lambda number: Callbacks(),
    stop: Callable[[], bool] | None = None,
    slots: Sequence[CheckpointHandle] | None = None,
) -> list[Outcome]:
    outcomes: dict[int, Outcome] = {}
    waiting = list(enumerate(requests))

    def job(number: int, request: RunRequest) -> Job:
        def done(outcome: Outcome) -> None:
            assert number not in outcomes
            outcomes[number] = outcome

        return Job(request, done, callbacks(number), None if slots is None else slots[number])

    def jobs(count: int) -> list[Job]:
        taken, waiting[:] = waiting[:count], waiting[count:]
        return [job(*each) for each in taken]

    objective.run_lanes(requests[0].stage, jobs, width, stop)
    return [outcomes[number] for number in range(len(requests))]


def assert_alike(together: Outcome, alone: Outcome) -> None:
    assert (together.status, together.cause) == (alone.status, alone.cause)
    assert together.reason == alone.reason
    assert together.value == pytest.approx(alone.value, rel=1e-6)
    assert together.metrics.keys() == alone.metrics.keys()
    for name in together.metrics.keys() - set(SPEED_METRICS):
        assert together.metrics[name] == pytest.approx(alone.metrics[name], rel=1e-3), name
    assert together.curves.keys() == alone.curves.keys()
    for name, curve in together.curves.items():
        assert curve.steps == alone.curves[name].steps
        # Diagnostics take differences of numbers that are nearly equal.
        near = 1e-5 if name in (METRIC, TRAIN_LOSS) else 1e-2
        assert curve.values == pytest.approx(alone.curves[name].values, rel=near), name
    assert together.cost.device == alone.cost.device
    assert together.cost.seconds > 0


@pytest.mark.parametrize("optimizer", PARAMS)
def test_outcomes_equal_single_runs(optimizer: str) -> None:
    objective = Objective(make_spec(optimizer), optimizer)
    requests = [RunRequest(params, seed) for seed in (0, 7) for params in PARAMS[optimizer]]
    together = run_together(objective, requests, width=3)
    for outcome, request in zip(together, requests, strict=True):
        assert_alike(outcome, objective.evaluate([request])[0])
    assert objective.why_not_stacked(Stage.SEARCH) is None


@pytest.mark.parametrize("optimizer", ["ecdsep", "adamw", "sgd"])
@pytest.mark.parametrize("protocol", ["clean", "paper"])
def test_confirmation_equals_a_single_run(optimizer: str, protocol: str) -> None:
    spec = make_spec(optimizer, protocol=protocol, training={"eval_every": 2})
    objective = Objective(spec, optimizer)
    requests = [RunRequest(PARAMS[optimizer][0], seed, Stage.CONFIRM) for seed in (1, 2, 3)]
    together = run_together(objective, requests, width=2)
    for outcome, request in zip(together, requests, strict=True):
        assert_alike(outcome, objective.evaluate([request])[0])
        assert "test_accuracy" in outcome.metrics


@pytest.mark.parametrize("optimizer", ["ecdsep", "sgd", "adamw"])
def test_each_lane_has_its_schedule_and_clips_its_gradient(optimizer: str) -> None:
    schedule = {"name": "cosine", "warmup": 0.2}
    spec = make_spec(optimizer, training={"schedule": schedule, "clip": 0.5, "diagnostics": True})
    objective = Objective(spec, optimizer)
    own = {**PARAMS[optimizer][0], "schedule": "linear", "schedule_final": 0.1}
    requests = [RunRequest(params, 3) for params in (PARAMS[optimizer][0], own)] * 2
    together = run_together(objective, requests, width=3)
    for outcome, request in zip(together, requests, strict=True):
        assert_alike(outcome, objective.evaluate([request])[0])
    assert together[0].curve != together[1].curve


def test_measurements_equal_single_runs() -> None:
    spec = make_spec("ecdsep", checks=[{"name": "S1"}])
    assert spec.measure
    objective, requests = Objective(spec, "ecdsep"), [RunRequest(PARAMS["ecdsep"][0], 0)] * 2
    (outcome, _) = run_together(objective, requests, width=2)
    assert any(name.startswith("measured_") for name in outcome.metrics)
    assert_alike(outcome, objective.evaluate(requests[:1])[0])


def test_diverged_lane_is_refilled_and_affects_no_other() -> None:
    objective = Objective(make_spec("sgd"), "sgd")
    wild, calm = {"lr": 1e30, "momentum": 0.9}, PARAMS["sgd"][0]
    requests = [RunRequest(params, 0) for params in (wild, calm, wild, calm, wild, wild)]
    together = run_together(objective, requests, width=2)
    for outcome, request in zip(together, requests, strict=True):
        assert_alike(outcome, objective.evaluate([request])[0])
    assert [outcome.status for outcome in together[:2]] == [Status.DIVERGED, Status.COMPLETE]
    assert together[1].curves == together[3].curves  # whatever stood beside it


def test_failed_request_affects_no_other() -> None:
    objective = Objective(make_spec("sgd"), "sgd")
    refused: Params = {"lr": 0.1, "momentum": 0.0, "nesterov": True}
    requests = [RunRequest(params, 0) for params in (refused, PARAMS["sgd"][0], refused)]
    for width in (1, 2, 3):
        together = run_together(objective, requests, width)
        assert [outcome.cause for outcome in together] == [
            Cause.EXCEPTION,
            Cause.COMPLETE,
            Cause.EXCEPTION,
        ]
        assert "nesterov" in (together[0].reason or "")


def test_epochs_are_reported_and_a_lane_is_pruned_alone() -> None:
    objective = Objective(make_spec("sgd"), "sgd")
    reported: dict[int, dict[int, float]] = {number: {} for number in range(4)}

    def callbacks(number: int) -> Callbacks:
        def prune() -> str | None:
            return "behind" if number % 2 and 1 in reported[number] else None

        return Callbacks(reported[number].__setitem__, prune)

    requests = [RunRequest(PARAMS["sgd"][0], seed) for seed in range(4)]
    together = run_together(objective, requests, 2, callbacks)
    assert [outcome.cause for outcome in together] == [Cause.COMPLETE, Cause.PRUNED] * 2
    assert together[1].reason == "behind"
    assert list(reported[0]) == [0, 1, 2, 3]
    assert list(reported[1]) == [0, 1]
    for number, outcome in enumerate(together):
        assert tuple(reported[number].values()) == outcome.curve.values


def test_a_stop_ends_all_lanes() -> None:
    objective = Objective(make_spec("sgd"), "sgd")
    asked: list[bool] = []

    def stop() -> bool:
        asked.append(True)
        return len(asked) > 5

    with pytest.raises(Interrupted):
        run_together(objective, [RunRequest(PARAMS["sgd"][0], 0)] * 3, 2, stop=stop)


def test_out_of_memory_reduces_lanes_and_loses_no_trial(monkeypatch: pytest.MonkeyPatch) -> None:
    closure, widths = StackedDigits.closure, []

    def scarce(
        self: StackedDigits, steps: Sequence[int], rows: Sequence[int] | None = None
    ) -> torch.Tensor:
        widths.append(len(steps))
        if len(steps) > 2:
            raise torch.OutOfMemoryError("no room")
        return closure(self, steps, rows)

    monkeypatch.setattr(StackedDigits, "closure", scarce)
    objective = Objective(make_spec("sgd"), "sgd")
    requests = [RunRequest(PARAMS["sgd"][0], seed) for seed in range(9)]
    together = run_together(objective, requests, 8)
    assert sorted(set(widths)) == [1, 2, 4, 8]  # of two lanes, one may be left
    monkeypatch.undo()
    for outcome, request in zip(together, requests, strict=True):
        assert_alike(outcome, objective.evaluate([request])[0])


def test_fault_in_the_stack_runs_trials_singly(monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(self: StackedDigits, *arguments: Any) -> torch.Tensor:
        raise ValueError("a fault of the stack")

    monkeypatch.setattr(StackedDigits, "closure", broken)
    objective = Objective(make_spec("sgd"), "sgd")
    together = run_together(objective, [RunRequest(PARAMS["sgd"][0], seed) for seed in (0, 1)], 2)
    assert [outcome.status for outcome in together] == [Status.COMPLETE] * 2


def test_costs_add_up_to_the_time_that_was_spent() -> None:
    objective = Objective(make_spec("sgd"), "sgd")
    requests = [RunRequest(PARAMS["sgd"][0], seed) for seed in range(4)]
    together = run_together(objective, requests, 4)
    seconds = [outcome.cost.seconds for outcome in together]
    assert max(seconds) == pytest.approx(min(seconds))
    speeds = [outcome.metrics["examples_per_second"] for outcome in together]
    examples = 3 * 1078
    assert all(speed * own <= examples * 1.001 for speed, own in zip(speeds, seconds, strict=True))
    assert math.isfinite(sum(speeds))


@pytest.mark.parametrize(
    ("training", "word"),
    [
        ({"averaging": {"kind": "swa", "start": 2}}, "averaging"),
        ({"accumulate": 2}, "accumulate"),
        ({"precision": "bf16"}, "precision"),
        ({"second_forward": True}, "second_forward"),
    ],
)
def test_unsupported_options_are_reported(training: dict[str, Any], word: str) -> None:
    objective = Objective(make_spec("sgd", training=training), "sgd")
    assert word in (objective.why_not_stacked(Stage.SEARCH) or "")
