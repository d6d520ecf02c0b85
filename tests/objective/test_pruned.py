"""Pruned runs: when the pruner is called, and the outcome."""

from __future__ import annotations

from typing import Any

import pytest

from ecd_tune.objective import Interrupted, Objective
from ecd_tune.records import RunRequest, Stage, Status
from ecd_tune.spec import parse_study
from tests.objective.memory_checkpoint import MemoryCheckpoint

PARAMS = {"lr": 0.1, "momentum": 0.9}
SPEC = parse_study(
    {
        "name": "test",
        "task": {"name": "digits", "hidden": 8, "batch_size": 128},
        "budget": {"trials": 1, "steps": 4},
        "training": {"averaging": {"kind": "post_hoc"}},
        "optimizers": {"sgd": {"space": PARAMS}},
    }
)


def run(ends_after: int, stage: Stage = Stage.SEARCH, **more: Any) -> tuple[Any, list[int]]:
    told: list[int] = []
    asked: list[int] = []

    def prune(row: int) -> str | None:
        asked.append(told[-1])
        return f"pruned by test after epoch {told[-1]}" if told[-1] == ends_after else None

    (outcome,) = Objective(SPEC, "sgd").evaluate(
        [RunRequest(PARAMS, 3, stage)],
        report=lambda row, epoch, value: told.append(epoch),
        prune=prune,
        **more,
    )
    return outcome, asked


def test_pruned_run_ends_after_its_epoch() -> None:
    outcome, asked = run(2)
    assert outcome.status is Status.PRUNED
    assert outcome.reason == "pruned by test after epoch 2"
    assert outcome.curve.steps == (0, 1, 2)
    assert outcome.value == max(outcome.curve.values)
    assert asked == [1, 2]


def test_finished_run_is_not_pruned() -> None:
    outcome, asked = run(4)
    assert outcome.status is Status.COMPLETE
    assert asked == [1, 2, 3]


def test_a_confirmation_is_never_pruned() -> None:
    outcome, asked = run(2, Stage.CONFIRM)
    assert outcome.status is Status.COMPLETE
    assert asked == []


def test_pruner_is_not_called_again_for_earlier_epochs() -> None:
    handle, polls = MemoryCheckpoint(), iter(range(100))
    with pytest.raises(Interrupted):
        run(99, checkpoints=[handle], stop=lambda: next(polls) == 2 * 9 + 3)
    outcome, asked = run(99, checkpoints=[handle])
    assert outcome.status is Status.COMPLETE
    assert asked == [3]
