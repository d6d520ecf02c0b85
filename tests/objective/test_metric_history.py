"""Long curves are thinned as they grow; kept points depend on the steps only."""

from __future__ import annotations

import dataclasses
from itertools import count, pairwise
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ecd_tune.objective import Interrupted, Objective
from ecd_tune.objective.training import metric_history
from ecd_tune.objective.training.metric_history import MetricHistory, thinned
from ecd_tune.objective.training.speed import SPEED_METRICS
from ecd_tune.records import METRIC, Outcome, RunCost, RunRequest, Stage
from ecd_tune.spec import StudySpec, parse_study
from tests.objective.memory_checkpoint import MemoryCheckpoint

GAPS = st.lists(st.integers(1, 5000), min_size=1, max_size=60)


def steps_of(start: int, gaps: list[int]) -> list[int]:
    return [start + sum(gaps[:k]) for k in range(len(gaps) + 1)]


def test_a_short_curve_keeps_all_its_points() -> None:
    assert thinned(range(2048)) == list(range(2048))
    assert thinned(range(0, 10**8, 10**5)) == list(range(0, 10**8, 10**5))


@pytest.mark.parametrize("length", [2049, 10**5, 10**6])
def test_a_long_curve_is_bounded_and_even_in_the_logarithm(length: int) -> None:
    kept = thinned(range(length))
    assert len(kept) <= 8700
    assert (kept[0], kept[-1]) == (0, length - 1)
    assert all(b - a <= max(1, b / 1024) for a, b in pairwise(kept))


@given(start=st.integers(0, 10**6), gaps=GAPS)
def test_kept_points_are_predictable_and_include_the_last(start: int, gaps: list[int]) -> None:
    curve, steps, stay = MetricHistory(), steps_of(start, gaps), []
    for step in steps:
        if curve.add(step, {"a": float(step), "b": -1.0}):
            stay.append(step)
        points = curve.get("a")
        assert list(points) == sorted({*stay, step})
        assert points == {s: float(s) for s in points}
    assert list(curve.get("b")) == list(curve.get("a")) == thinned(steps)


@given(start=st.integers(0, 10**6), gaps=GAPS, data=st.data())
def test_interruption_changes_no_point(start: int, gaps: list[int], data: st.DataObject) -> None:
    steps = steps_of(start, gaps)
    at = data.draw(st.integers(0, len(steps)))
    curve, again = MetricHistory(), MetricHistory()
    for step in steps[:at]:
        curve.add(step, {"a": 0.5})
    again.load_state_dict(curve.state_dict())
    for step in steps[at:]:
        again.add(step, {"a": 0.5})
    assert list(again.get("a")) == thinned(steps)


EPOCHS, LENGTH = 24, 3


@pytest.fixture
def spec(monkeypatch: pytest.MonkeyPatch) -> StudySpec:
    """A training run of 24 epochs whose curves are thinned from epoch 8 on."""
    monkeypatch.setattr(metric_history, "_FRACTION", 4)
    return parse_study(
        {
            "name": "long",
            "task": {"name": "digits", "hidden": 8, "batch_size": 512},
            "budget": {"trials": 1, "steps": EPOCHS},
            "training": {"averaging": {"kind": "swa", "every": 1, "start": 2}},
            "optimizers": {"adam": {"space": {"lr": 0.01}}},
        }
    )


def run(spec: StudySpec, **more: Any) -> Outcome:
    request = RunRequest({"lr": 0.01}, 5, Stage.SEARCH)
    (outcome,) = Objective(spec, "adam").evaluate([request], **more)
    metrics = {k: v for k, v in outcome.metrics.items() if k not in SPEED_METRICS}
    return dataclasses.replace(outcome, cost=RunCost(), metrics=metrics)


def test_the_curves_of_a_long_run_are_thin_and_its_points_are_reported_as_they_stay(
    spec: StudySpec,
) -> None:
    reported: list[int] = []
    asked: list[int] = []
    outcome = run(
        spec,
        report=lambda row, step, value: reported.append(step),
        prune=lambda row: asked.append(reported[-1]),
    )
    assert outcome.curve.steps == tuple(thinned(range(EPOCHS + 1)))
    assert len(outcome.curve.steps) < EPOCHS
    assert {name for name, c in outcome.curves.items() if len(c.steps) > 20} == set()
    assert reported == list(outcome.curve.steps)
    assert asked == reported[1:-1]


def test_interrupted_long_run_equals_an_uninterrupted_one(spec: StudySpec) -> None:
    whole = run(spec)
    for stop in range(1, EPOCHS * LENGTH, 5):
        handle, polls = MemoryCheckpoint(), iter(range(10**6))
        with pytest.raises(Interrupted):
            run(spec, checkpoints=[handle], stop=lambda polls=polls, at=stop: next(polls) == at)
        assert handle.data is not None
        ticks = count()
        again = run(spec, checkpoints=[handle], on_step=lambda *_, ticks=ticks: next(ticks))
        assert next(ticks) == EPOCHS * LENGTH - stop, "it began anew"
        assert again == whole
    assert METRIC in whole.curves
