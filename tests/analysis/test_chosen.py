import pytest

from ecd_tune.analysis import best_trials, choose_trial
from ecd_tune.records import Direction, Stage, StudyKey, TrialRecord, TrialState

SEARCH, SELECT = StudyKey("s", "adam"), StudyKey("s", "adam", Stage.SELECT)
MAX = Direction.MAXIMIZE


def trial(number, value, **more):
    given = {"state": TrialState.COMPLETE, "params": {"lr": number}, **more}
    return TrialRecord(key=SEARCH, number=number, value=value, **given)


def again(number, values, losses=(), **more):
    return [
        TrialRecord(
            key=SELECT,
            number=10 * number + i,
            state=TrialState.COMPLETE if value is not None else TrialState.FAIL,
            value=value,
            params={"lr": number},
            seed=1000 + i,
            metrics={"val_loss": losses[i]} if losses else {},
            **more,
        )
        for i, value in enumerate(values)
    ]


SEARCHED = [trial(0, 0.9), trial(1, 0.8), trial(2, 0.7), trial(3, 0.1)]


def test_the_best_mean_over_seeds_is_chosen_and_not_the_luckiest_trial():
    runs = [*again(0, [0.5, 0.6]), *again(1, [0.7, 0.8]), *again(2, [0.6, 0.7])]
    chosen = choose_trial(SEARCHED, runs, 3, 2, MAX)
    assert chosen.record.number == 1
    assert chosen.selected == pytest.approx(0.75)
    least = choose_trial([trial(0, 0.1), trial(1, 0.2)], runs, 2, 2, Direction.MINIMIZE)
    assert (least.record.number, least.selected) == (0, pytest.approx(0.55))


def test_a_run_without_a_value_is_the_worst():
    runs = [*again(0, [0.99, None]), *again(1, [0.2, 0.2])]
    assert choose_trial(SEARCHED, runs, 2, 2, MAX).record.number == 1


def test_equal_means_are_ordered_by_loss_then_by_rank():
    runs = [*again(0, [0.5, 0.5], [3.0, 1.0]), *again(1, [0.4, 0.6], [1.0, 1.0])]
    assert choose_trial(SEARCHED, runs, 2, 2, MAX).record.number == 1
    runs = [*again(0, [0.5, 0.5]), *again(1, [0.4, 0.6])]
    assert choose_trial(SEARCHED, runs, 2, 2, MAX).record.number == 0


def test_search_alone_decides_until_all_runs_are_complete():
    runs = [*again(0, [0.1, 0.1]), *again(1, [0.9])]
    chosen = choose_trial(SEARCHED, runs, 2, 2, MAX)
    assert (chosen.record.number, chosen.selected) == (0, None)
    runs += again(1, [0.9, None], lost=True)  # an interrupted attempt is none
    assert choose_trial(SEARCHED, runs, 2, 2, MAX).selected is None


def test_without_a_selection_or_a_choice_the_search_decides():
    assert choose_trial(SEARCHED, (), 0, 3, MAX).record.number == 0
    assert choose_trial(SEARCHED[:1], (), 3, 3, MAX).record.number == 0
    assert choose_trial([], (), 3, 3, MAX) is None


def test_equal_hyperparameters_are_one_candidate():
    twice = [trial(0, 0.9), trial(1, 0.8, params={"lr": 0}), trial(2, 0.7)]
    assert [t.number for t in best_trials(twice, 2, MAX)] == [0, 2]
    runs = [*again(0, [0.5]), *again(2, [0.6])]
    assert choose_trial(twice, runs, 2, 1, MAX).record.number == 2


def test_runs_of_other_hyperparameters_are_left_out():
    runs = [*again(0, [0.5, 0.5]), *again(1, [0.6, 0.6]), *again(3, [1.0, 1.0])]
    assert choose_trial(SEARCHED, runs, 2, 2, MAX).record.number == 1
