"""Lanes of networks with running statistics and dropout, interrupted and not."""

from __future__ import annotations

from typing import Any

import pytest

from ecd_tune.objective import Interrupted, Objective
from ecd_tune.objective.training.speed import SPEED_METRICS
from ecd_tune.records import Outcome, RunRequest, Stage
from ecd_tune.spec import StudySpec, parse_study
from ecd_tune.tasks.data import data_root
from tests.objective.memory_checkpoint import MemoryCheckpoint
from tests.objective.test_lanes import run_together
from tests.objective.test_lanes_resumed import Stops, same

ROOT = data_root()
needs_graphs = pytest.mark.skipif(
    ROOT is None or not (ROOT / "graphs").is_dir(), reason="no graphs/ among the data"
)
OWN = "tests.tasks.own.test_own_stack"
TASKS: list[Any] = [
    {"name": f"{OWN}:normed"},
    {"name": f"{OWN}:dropped"},
    pytest.param({"name": "cora", "hidden": 4}, marks=needs_graphs),
]
POINTS: dict[str, dict[str, float]] = {
    "ecdsep": {"lr": 0.1, "eta": 1.5, "nu": 1e-4},
    # A bias before a normalisation has no gradient but rounding, which a small eps makes a step of.
    "adamw": {"lr": 3e-3, "weight_decay": 0.1, "eps": 1e-3},
}


def make_spec(task: dict[str, Any], optimizer: str) -> StudySpec:
    return parse_study(
        {
            "name": "networks",
            "task": task,
            "budget": {"trials": 1, "steps": 4},
            "optimizers": {optimizer: {"space": dict(POINTS[optimizer])}},
        }
    )


def assert_near(together: Outcome, alone: Outcome) -> None:
    assert (together.status, together.reason) == (alone.status, alone.reason)
    assert together.metrics.keys() == alone.metrics.keys()
    for name in together.metrics.keys() - set(SPEED_METRICS):
        assert together.metrics[name] == pytest.approx(alone.metrics[name], rel=2e-3), name


@pytest.mark.parametrize("optimizer", POINTS)
@pytest.mark.parametrize("task", TASKS)
def test_outcomes_equal_single_runs_with_and_without_interruption(
    task: dict[str, Any], optimizer: str
) -> None:
    objective = Objective(make_spec(task, optimizer), optimizer)
    assert objective.why_not_stacked(Stage.SEARCH) is None
    requests = [RunRequest(POINTS[optimizer], seed, Stage.CONFIRM) for seed in (1, 2, 3)]
    whole = run_together(objective, requests, 3)
    for outcome, request in zip(whole, requests, strict=True):
        assert_near(outcome, objective.evaluate([request])[0])
    handles = [MemoryCheckpoint() for _ in requests]
    with pytest.raises(Interrupted):
        run_together(objective, requests, 3, stop=Stops(4), slots=handles)
    resumed = run_together(objective, requests, 3, slots=handles)
    assert all(handle.saves for handle in handles)
    for outcome, expected in zip(resumed, whole, strict=True):
        same(outcome, expected)
