import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ecd_tune.analysis import (
    Counts,
    best_so_far,
    best_trial,
    confirmed_runs,
    count_trials,
    same_params,
)
from ecd_tune.records import Direction, Stage, StudyKey, TrialRecord, TrialState

KEY = StudyKey("s", "adam")
DONE, DIVERGED, FAIL = TrialState.COMPLETE, TrialState.PRUNED, TrialState.FAIL


def trial(number, value, state=DONE, **more):
    given = {"key": KEY, "params": {"lr": 0.1}, **more}
    return TrialRecord(number=number, state=state, value=value, **given)


def test_best_is_the_first_best_complete_trial():
    records = [trial(4, 1.0), trial(2, 1.0), trial(0, 3.0), trial(1, 0.1, DIVERGED)]
    assert best_trial(records, Direction.MINIMIZE).number == 2
    assert best_trial(records, Direction.MAXIMIZE).number == 0


@pytest.mark.parametrize("split", ["val", "test"])
def test_equal_values_are_ordered_by_loss(split):
    losses = {0: 0.4, 1: 0.2, 2: 0.2, 3: 0.1}
    records = [trial(n, 0.9, metrics={f"{split}_loss": loss}) for n, loss in losses.items()]
    records.append(trial(4, 0.9))  # one without a loss stands behind those that have one
    assert best_trial(records, Direction.MAXIMIZE).number == 3
    assert best_trial(records[:3], Direction.MAXIMIZE).number == 1
    records.append(trial(5, 0.91, metrics={f"{split}_loss": 7.0}))
    assert best_trial(records, Direction.MAXIMIZE).number == 5


def test_best_leaves_out_lost_and_failed_trials():
    records = [trial(0, None, FAIL), trial(1, 1.0, FAIL, lost=True), trial(2, 0.5, lost=True)]
    assert best_trial(records, Direction.MINIMIZE) is None


def test_value_of_zero_can_be_best():
    assert best_trial([trial(0, 0.0), trial(1, 1.0)], Direction.MINIMIZE).number == 0


@given(st.lists(st.floats(allow_nan=False, allow_infinity=False), min_size=1))
def test_progress_ends_at_the_best(values):
    records = [trial(i, v) for i, v in enumerate(values)]
    numbers, best = best_so_far(reversed(records), Direction.MAXIMIZE)
    assert numbers == tuple(range(len(values)))
    assert best == tuple(max(values[: i + 1]) for i in range(len(values)))


def test_progress_counts_diverged_trials_but_not_their_values():
    records = [trial(0, 9.0, DIVERGED), trial(1, 2.0), trial(2, 1.0, DIVERGED), trial(3, 3.0)]
    records += [trial(4, None, FAIL, lost=True), trial(5, None, TrialState.RUNNING)]
    assert best_so_far(records, Direction.MINIMIZE) == ((0, 1, 2, 3), (None, 2.0, 2.0, 2.0))


def test_every_trial_is_counted_once():
    records = [
        trial(0, 1.0),
        trial(1, 1.0, DIVERGED),
        trial(2, None, FAIL),
        trial(3, None, FAIL, lost=True),
        trial(4, None, TrialState.RUNNING),
        trial(5, None, TrialState.WAITING),
    ]
    counts = count_trials(records)
    assert counts == Counts(1, 1, 1, 1, 1, 1)
    assert counts.finished == 3


@pytest.mark.parametrize(
    ("one", "other", "same"),
    [
        ({"a": 1}, {"a": 1.0}, True),
        ({"a": 1}, {"a": True}, False),
        ({"a": 1}, {"a": 1, "b": 2}, False),
        ({"a": "x", "b": 2}, {"b": 2, "a": "x"}, True),
    ],
)
def test_same_params(one, other, same):
    assert same_params(one, other) is same
    assert same_params(other, one) is same


def confirm(number, value, seed, state=DONE, source="best", lr=0.1, **metrics):
    key = StudyKey("s", "adam", Stage.CONFIRM)
    return trial(
        number, value, state, key=key, seed=seed, source=source, params={"lr": lr}, metrics=metrics
    )


def test_confirmation_keeps_current_runs_and_counts_older_ones():
    records = [
        confirm(0, 1.0, 10, lr=0.2),
        confirm(1, 2.0, 11),
        confirm(2, 3.0, 10),
        confirm(3, 4.0, 10),  # the same seed again: the first counts
        confirm(4, 5.0, 10, source="paper"),
        trial(5, None, FAIL, lost=True, source="best", seed=12),
    ]
    found = confirmed_runs(records, "best", {"lr": 0.1}, "value", Direction.MINIMIZE)
    assert [(run.seed, run.value) for run in found.runs] == [(10, 3.0), (11, 2.0)]
    assert (found.outdated, found.diverged, found.failed) == (1, 0, 0)


@pytest.mark.parametrize("direction", Direction)
def test_diverged_and_failed_runs_are_the_worst(direction):
    records = [
        confirm(0, 1.0, 0, accuracy=0.9),
        confirm(1, 1.0, 1, DIVERGED, accuracy=0.8),
        confirm(2, None, 2, FAIL),
        confirm(3, 1.0, 3),  # complete, but without the number that is asked for
    ]
    found = confirmed_runs(records, "best", {"lr": 0.1}, "accuracy", direction)
    worst = direction.sign * math.inf
    assert found.values == (0.9, worst, worst, worst)
    assert [run.reached for run in found.runs] == [0.9, 0.8, None, None]
    assert (found.diverged, found.failed) == (1, 2)


def test_without_hyperparameters_no_run_is_current():
    found = confirmed_runs([confirm(0, 1.0, 0)], "best", None, "value", Direction.MINIMIZE)
    assert found.runs == ()
    assert found.outdated == 1
