"""Runs are measured if a check of the study needs it, in both loops and stages."""

from __future__ import annotations

from itertools import count
from typing import Any

import pytest
import torch
from torch import Tensor

from ecd_tune.measurements import PREFIX, RunMeasurements
from ecd_tune.objective import Interrupted, Objective
from ecd_tune.records import Outcome, Params, RunRequest, Stage, Status
from ecd_tune.spec import StudySpec, parse_study
from ecd_tune.tasks.functions import Zakharov
from ecd_tune.theory import bounce_cosine
from tests.objective.memory_checkpoint import MemoryCheckpoint

POINT: dict[str, Any] = {"lr": 0.01, "eta": 2.0, "nu": 0.3, "s": 1, "delta_energy": 1.0}
STEPS = 60


def study(task: dict[str, Any], steps: int = STEPS, checks: tuple[str, ...] = ("S7",)) -> StudySpec:
    optimizers = {"ecdsep": POINT, "ecdsep_f0": {**POINT, "eta": 1}, "adam": {"lr": 0.1}}
    return parse_study(
        {
            "name": "test",
            "task": task,
            "budget": {"trials": 10, "steps": steps, "batch": 3},
            "checks": [{"name": name, "optimizer": "ecdsep"} for name in checks],
            "optimizers": {key: {"space": space} for key, space in optimizers.items()},
        }
    )


def zakharov(**more: Any) -> StudySpec:
    return study({"name": "zakharov", "n": 5}, **more)


def digits(**more: Any) -> StudySpec:
    return study({"name": "digits", "model": "logistic", "batch_size": 256}, **{"steps": 5, **more})


def evaluate(
    spec: StudySpec, optimizer: str, *points: Params, stage: Stage = Stage.SEARCH, **more: Any
) -> list[Outcome]:
    requests = [RunRequest(p, 3 + row, stage) for row, p in enumerate(points)]
    return Objective(spec, optimizer).evaluate(requests, **more)


def measured(outcome: Outcome) -> RunMeasurements:
    found = RunMeasurements.from_metrics(outcome.metrics)
    assert found is not None
    return found


@pytest.mark.parametrize("stage", Stage)
def test_a_batch_is_measured_row_by_row(stage: Stage) -> None:
    points = [POINT, {**POINT, "lr": 0.003, "s": 0}, {**POINT, "nu": 0.0, "eta": 3.0}]
    together = evaluate(zakharov(), "ecdsep", *points, stage=stage)
    for row, (point, outcome) in enumerate(zip(points, together, strict=True)):
        request = RunRequest(point, 3 + row, stage)
        alone = measured(Objective(zakharov(), "ecdsep").evaluate([request])[0])
        assert measured(outcome).to_metrics() == pytest.approx(alone.to_metrics(), rel=1e-6)
        assert (alone.n, alone.steps, alone.s) == (5, STEPS, point["s"])
        assert alone.loss_init == pytest.approx(outcome.metrics["start"])
        assert alone.tail_loss < alone.loss_init
        assert (alone.cos_bounce == 1) == (point["nu"] == 0)


@pytest.mark.parametrize("optimizer", ["ecdsep", "ecdsep_f0"])
@pytest.mark.parametrize("stage", Stage)
def test_a_training_run_is_measured_over_all_its_steps(optimizer: str, stage: Stage) -> None:
    point = {**POINT, "lr": 0.3, "nu": 0.02} | ({"eta": 1} if optimizer == "ecdsep_f0" else {})
    (outcome,) = evaluate(digits(), optimizer, point, stage=stage)
    found = measured(outcome)
    assert (found.n, found.steps) == (650, 25)
    assert found.cos_bounce == pytest.approx(bounce_cosine(650, 0.02), rel=0.02)
    assert 0 < found.max_step_over_lr <= 1 + 1e-6
    assert found.loss_init > found.tail_loss > 0


@pytest.mark.parametrize("make", [zakharov, digits])
def test_only_on_request_and_of_ecdsep_alone(make: Any) -> None:
    for spec, optimizer in ((make(checks=("S12",)), "ecdsep"), (make(), "adam")):
        point = {"lr": 0.1} if optimizer == "adam" else POINT
        outcomes = evaluate(spec, optimizer, point, point)
        assert {outcome.status for outcome in outcomes} == {Status.COMPLETE}
        assert not any(name.startswith(PREFIX) for o in outcomes for name in o.metrics)


def test_a_run_that_diverges_is_not_measured(monkeypatch: pytest.MonkeyPatch) -> None:
    calls, proper = count(1), Zakharov.loss_and_gradient

    def break_down(self: Zakharov, theta: Tensor) -> tuple[Tensor, Tensor]:
        loss, gradient = proper(self, theta)
        if next(calls) == STEPS:
            loss[0] = torch.nan
        return loss, gradient

    monkeypatch.setattr(Zakharov, "loss_and_gradient", break_down)
    gone, kept = evaluate(zakharov(), "ecdsep", POINT, POINT)
    assert gone.status is Status.DIVERGED
    assert RunMeasurements.from_metrics(gone.metrics) is None
    assert measured(kept).steps == STEPS


def test_a_run_that_was_interrupted_is_measured_as_a_whole() -> None:
    spec, point = digits(), {**POINT, "lr": 0.3}
    (whole,) = evaluate(spec, "ecdsep", point)
    handle, polls = MemoryCheckpoint(), iter(range(100))
    with pytest.raises(Interrupted):
        evaluate(spec, "ecdsep", point, stop=lambda: next(polls) == 14, checkpoints=[handle])
    assert handle.data is not None
    (continued,) = evaluate(spec, "ecdsep", point, checkpoints=[handle])
    assert measured(continued) == measured(whole)
    # Half a measurement is none: a saved run that was not measured begins afresh.
    (unmeasured,) = evaluate(digits(checks=()), "ecdsep", point, checkpoints=[handle])
    assert unmeasured.value == whole.value
