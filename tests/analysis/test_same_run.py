"""A run compared with its repetition."""

from __future__ import annotations

import math
from dataclasses import replace

from hypothesis import given
from hypothesis import strategies as st

from ecd_tune.analysis.same_run import compare_runs
from ecd_tune.records import (
    METRIC,
    Cause,
    Curve,
    Outcome,
    Status,
    StudyKey,
    TrialRecord,
    TrialState,
)

NUMBERS = st.floats(allow_nan=True, allow_infinity=True)
FINITE = st.floats(allow_nan=False, allow_infinity=False)
KEY = StudyKey("a", "sgd")


@st.composite
def outcomes(draw: st.DrawFn) -> Outcome:
    metrics = draw(st.dictionaries(st.sampled_from(["final", "path", "speed"]), NUMBERS))
    values = draw(st.lists(NUMBERS, min_size=1, max_size=5))
    curve = Curve(tuple(range(len(values))), tuple(values))
    return Outcome(Status.COMPLETE, draw(FINITE), metrics, {METRIC: curve})


def stored(outcome: Outcome) -> TrialRecord:
    return TrialRecord(
        KEY,
        0,
        TrialState.COMPLETE,
        outcome.value,
        {},
        cause=outcome.cause,
        metrics=outcome.metrics,
        curves=outcome.curves,
    )


@given(outcomes())
def test_run_equals_itself(outcome: Outcome) -> None:
    comparison = compare_runs(stored(outcome), outcome, ("speed",))
    assert comparison.differences == ()
    assert comparison.largest == 0.0
    expected = 1 + len(set(outcome.metrics) - {"speed"}) + len(outcome.curve.steps)
    assert comparison.numbers == expected


@given(outcomes(), FINITE)
def test_any_changed_number_is_detected(outcome: Outcome, value: float) -> None:
    other = replace(outcome, value=value)
    comparison = compare_runs(stored(outcome), other, ())
    assert len(comparison.differences) == (value != outcome.value)
    missing = replace(outcome, metrics={**outcome.metrics, "new": 1.0})
    (found,) = compare_runs(stored(outcome), missing, ()).differences
    assert (found.name, found.stored, found.again) == ("new", None, 1.0)
    assert math.isinf(found.relative)


def test_a_thinned_curve_is_compared_where_it_has_points() -> None:
    whole = Outcome(Status.COMPLETE, 1.0, {}, {METRIC: Curve((0, 1, 2), (3.0, 2.0, 1.0))})
    thinned = replace(whole, curves={METRIC: Curve((0, 2), (3.0, 1.5))})
    (found,) = compare_runs(stored(thinned), whole, ()).differences
    assert (found.name, found.relative) == (f"{METRIC} at step 2", 1 / 3)


def test_measurements_of_the_machine_are_ignored() -> None:
    one = Outcome(Status.COMPLETE, 1.0, {"speed": 1.0})
    other = Outcome(Status.COMPLETE, 1.0, {"speed": 2.0})
    assert compare_runs(stored(one), other, ("speed",)).differences == ()
    assert len(compare_runs(stored(one), other, ()).differences) == 1


def test_a_run_that_ends_otherwise_is_not_the_same() -> None:
    failed = Outcome(Status.FAILED, cause=Cause.EXCEPTION, reason="RuntimeError: once")
    again = compare_runs(stored(failed), failed, ())
    assert (again.numbers, again.is_same(0.0)) == (0, True)
    other = replace(failed, cause=Cause.OUT_OF_MEMORY)
    assert not compare_runs(stored(failed), other, ()).is_same(1.0)
    assert not compare_runs(stored(failed), Outcome(Status.COMPLETE, 1.0), ()).is_same(1.0)
