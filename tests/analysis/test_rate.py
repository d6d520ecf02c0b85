"""Number of remaining runs, and their rate."""

from __future__ import annotations

import pytest

from ecd_tune.analysis.rate import RateMeter, describe_rate, format_rate, runs_to_come
from ecd_tune.records import Direction, Stage, StudyKey
from ecd_tune.store import Progress

TARGETS = {Stage.SEARCH: 20, Stage.SELECT: 9, Stage.CONFIRM: 6}


def at(stage: Stage, optimizer: str = "adam", **counts: int) -> Progress:
    key = StudyKey("s", optimizer, stage)
    return Progress(key, Direction.MINIMIZE, target=TARGETS[stage], **counts)


@pytest.mark.parametrize(
    ("search", "select", "confirm", "to_come"),
    [
        # Nothing is queued while the search runs.
        ({"complete": 5, "running": 2}, {}, {}, [15, 9, 6]),
        # The search has ended, and the selection is about to be queued, is running, has ended.
        ({"complete": 20}, {}, {}, [0, 9, 6]),
        ({"complete": 20}, {"waiting": 6, "running": 1, "complete": 2}, {}, [0, 7, 6]),
        ({"complete": 20}, {"complete": 9}, {}, [0, 0, 6]),
        ({"complete": 20}, {"complete": 9}, {"waiting": 4, "running": 1}, [0, 0, 5]),
        ({"complete": 20}, {"complete": 9}, {"complete": 5, "failed": 1}, [0, 0, 0]),
        # One complete trial is nothing to select from; without any there is nothing to confirm.
        ({"complete": 1, "pruned": 19}, {}, {}, [0, 0, 6]),
        ({"pruned": 20}, {}, {}, [0, 0, 0]),
        # References alone are confirmed.
        ({"pruned": 20}, {}, {"waiting": 2, "complete": 1}, [0, 0, 2]),
        ({"complete": 20}, {}, {"waiting": 2, "complete": 1}, [0, 0, 2]),
        # A search that was extended: runs of an earlier best are kept.
        ({"complete": 19}, {"complete": 9}, {"complete": 6}, [1, 0, 0]),
    ],
)
def test_runs_that_are_not_queued_yet_are_counted(
    search: dict[str, int], select: dict[str, int], confirm: dict[str, int], to_come: list[int]
) -> None:
    own = [at(Stage.SEARCH, **search), at(Stage.SELECT, **select), at(Stage.CONFIRM, **confirm)]
    other = [at(stage, "sgd") for stage in (Stage.CONFIRM, Stage.SEARCH)]  # in any order
    assert runs_to_come([*other, *own]) == [6, 20, *to_come]


def test_without_a_stored_target_the_queue_is_counted() -> None:
    stored = Progress(StudyKey("s", "adam", Stage.CONFIRM), Direction.MINIMIZE, waiting=3)
    assert runs_to_come([at(Stage.SEARCH, complete=2), stored]) == [18, 3]


def rates(seen: list[tuple[float, int]], running: int = 1) -> list[float | None]:
    times = iter([time for time, _ in seen])
    pace = RateMeter(lambda: next(times))
    key = StudyKey("s", "adam", Stage.SEARCH)
    return [
        pace.add(
            "s", [Progress(key, Direction.MINIMIZE, complete=n, running=running, target=1000)]
        )["per_second"]
        for _, n in seen
    ]


def test_the_rate_is_that_of_the_last_minute() -> None:
    # From 50 s on: what is older than a minute is left out, up to the last look before it.
    assert rates([(0, 0), (50, 100), (100, 200), (150, 500)]) == [None, 2.0, 2.0, 4.0]


def test_slow_runs_are_averaged_over_ten_of_them() -> None:
    # One run in 100 s; then one in 50 s, which the rate of ten shows when all ten are of that kind.
    seen = [(100.0 * n, n) for n in range(11)] + [(1000 + 50.0 * n, 10 + n) for n in range(1, 11)]
    found = rates(seen)
    assert found[1:11] == [pytest.approx(0.01)] * 10
    assert found[15] == pytest.approx(10 / (5 * 100 + 5 * 50))
    assert found[-1] == pytest.approx(0.02)


def test_the_time_in_which_workers_start_does_not_count() -> None:
    times = iter([0.0, 30.0, 60.0, 64.0])
    pace = RateMeter(lambda: next(times))
    looks = [
        [at(Stage.SEARCH, complete=7)],
        [at(Stage.SEARCH, complete=7)],
        [at(Stage.SEARCH, complete=7, running=2)],
        [at(Stage.SEARCH, complete=11, running=2), at(Stage.CONFIRM)],
    ]
    *_, last = [pace.add("s", look) for look in looks]
    assert last == {"finished": 11, "remaining": 15, "per_second": 1.0, "seconds_left": 15.0}
    assert describe_rate(last) == "11 finished, 15 remaining, 1.0/s, about 15 s left"


@pytest.mark.parametrize(
    ("per_second", "text"), [(2.0, "2.0/s"), (0.5, "30.0/min"), (1 / 120, "30.0/h")]
)
def test_a_rate_has_the_unit_in_which_it_has_a_digit(per_second: float, text: str) -> None:
    assert format_rate(per_second) == text
