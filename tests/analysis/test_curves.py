import dataclasses
import math

from hypothesis import given
from hypothesis import strategies as st

from ecd_tune.analysis import curve_band
from ecd_tune.analysis.curves import log_steps
from ecd_tune.records import METRIC, Curve, StudyKey, TrialRecord, TrialState


def run(steps, values, state=TrialState.COMPLETE):
    curve = Curve(tuple(steps), tuple(map(float, values)))
    return TrialRecord(StudyKey("s", "o"), 0, state, 1.0, {}, curves={METRIC: curve})


def test_band_matches_a_manual_calculation():
    band = curve_band([run([0, 1, 2], [k, 2 * k, 3 * k]) for k in (1, 2, 3, 4, 5)])
    assert band.steps == (0, 1, 2)
    assert band.median == (3.0, 6.0, 9.0)
    assert band.q1 == (2.0, 4.0, 6.0)
    assert band.q3 == (4.0, 8.0, 12.0)
    assert (band.runs, band.held) == (5, 0)


def test_a_diverged_run_keeps_its_last_finite_point():
    broken = run([0, 1, 2, 3], [5, 1, math.inf, math.nan], TrialState.PRUNED)
    band = curve_band([broken, run(range(5), [9, 9, 9, 9, 9])])
    assert band.steps == (0, 1, 2, 3, 4)
    assert band.median == (7.0, 5.0, 5.0, 5.0, 5.0)
    assert band.held == 1


def test_different_grids_are_merged():
    band = curve_band([run([0, 10], [1, 2]), run([0, 5, 20], [1, 4, 8])])
    assert band.steps == (0, 5, 10, 20)
    assert band.median == (1.0, 2.5, 3.0, 5.0)


def test_a_run_enters_at_its_first_finite_value():
    band = curve_band([run([0, 1], [math.nan, 4]), run([0, 1], [1, 2])])
    assert band.median == (1.0, 3.0)


def test_no_band_without_finite_points():
    assert curve_band([]) is None
    assert curve_band([run([], []), run([0, 1], [math.nan, math.inf])]) is None


def test_other_curves_are_labelled_by_name():
    record = dataclasses.replace(run([0, 1], [1, 2]), curves={"loss": Curve((3, 4), (7.0, 8.0))})
    band = curve_band([record, run([0], [1])], "loss")
    assert (band.steps, band.median, band.runs) == ((3, 4), (7.0, 8.0), 1)
    assert curve_band([record]) is None


def test_long_curves_are_thinned():
    band = curve_band([run(range(5000), range(5000))], max_points=50)
    assert len(band.steps) <= 50
    assert (band.steps[0], band.steps[-1]) == (0, 4999)
    assert band.median == tuple(map(float, band.steps))


@given(st.sets(st.integers(0, 10**6), min_size=2), st.integers(2, 30))
def test_thinned_steps_keep_both_ends(steps, count):
    ordered = sorted(steps)
    chosen = log_steps(ordered, count)
    assert chosen == sorted(set(chosen))
    assert set(chosen) <= steps
    assert (chosen[0], chosen[-1]) == (ordered[0], ordered[-1])
    assert len(chosen) <= max(count, 2)


def test_eight_steps_of_a_thousand_are_spread_in_the_logarithm():
    assert log_steps(list(range(1001)), 8) == [0, 2, 6, 18, 51, 138, 372, 1000]
