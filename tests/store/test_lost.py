"""Leases expire by the observations of one process, on its own monotonic clock."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ecd_tune.store.trials import lost
from ecd_tune.store.trials.lost import LeaseWatch

SECONDS = 30.0
PAUSES = st.lists(st.floats(0.0, 1e4), max_size=40)


@pytest.fixture(scope="module")
def clock() -> Any:
    clock = SimpleNamespace(now=0.0)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(lost, "time", SimpleNamespace(monotonic=lambda: clock.now))
        yield clock


@given(pauses=PAUSES, ahead=st.floats(-1e9, 1e9))
def test_renewed_lease_stays_valid(clock: Any, pauses: list[float], ahead: float) -> None:
    """However long the looks are apart, and whatever the time of the renewals says."""
    watch = LeaseWatch(SECONDS)
    for renewals, pause in enumerate(pauses):
        clock.now += pause
        assert watch.look({7: ahead - renewals}) == set()


@given(pauses=PAUSES)
def test_a_lease_is_never_lost_sooner_than_it_lasts(clock: Any, pauses: list[float]) -> None:
    watch, began = LeaseWatch(SECONDS), clock.now
    watch.look({7: 1.0})
    for pause in pauses:
        clock.now += pause
        assert watch.look({7: 1.0}) <= ({7} if clock.now - began >= SECONDS * 0.999999 else set())


@pytest.mark.parametrize(("pause", "looks"), [(1.0, 30), (10.0, 3), (3600.0, 3)])
def test_a_lease_that_nobody_renews_is_lost(clock: Any, pause: float, looks: int) -> None:
    watch = LeaseWatch(SECONDS)
    assert watch.look({7: 1.0, 8: 1.0}) == set()
    for _ in range(looks - 1):
        clock.now += pause
        assert watch.look({7: 1.0, 8: 1.0}) == set()
    clock.now += pause
    assert watch.look({7: 1.0, 8: 2.0, 9: 1.0}) == {7}


@pytest.mark.parametrize(
    ("leases", "doubtful", "pause"),
    [
        (0, False, 1.0),
        (8, False, 1.0),
        (800, False, 100.0),
        (10_000, False, 300.0),
        (800, True, 10.0),
        (4, True, 1.0),
    ],
)
def test_checks_are_less_frequent_with_more_leases(
    clock: Any, leases: int, doubtful: bool, pause: float
) -> None:
    """800 workers, one look each in 100 s, are eight looks a second; so are 8 and one second."""
    watch = LeaseWatch(SECONDS)
    assert watch.due
    watch.plan(leases, doubtful=doubtful)
    clock.now += 0.749 * pause
    assert not watch.due
    clock.now += 0.252 * pause
    assert watch.due


class Workers:
    """Workers with trials of ten seconds, which renew, look in their turn, and die.

    Args:
        clock: Moved on by :meth:`run`.
        count: How many.
    """

    def __init__(self, clock: Any, count: int) -> None:
        self.clock, self.alive, self.looks = clock, dict[int, LeaseWatch](), 0
        self.stamps = dict.fromkeys(range(count), clock.now)
        self.alive = {worker: LeaseWatch(SECONDS) for worker in range(count)}

    def run(self, seconds: int) -> set[int]:
        """Let time pass, and return whose leases were found lost."""
        lost: set[int] = set()
        for second in range(seconds):
            self.clock.now += 1.0
            for worker, watch in self.alive.items():
                if (second + worker) % 10 == 0:  # between two trials, and as often renewed
                    self.stamps[worker] = self.clock.now
                    lost |= self.look(watch) if watch.due else set()
        return lost

    def look(self, watch: LeaseWatch) -> set[int]:
        self.looks += 1
        oldest = min(self.stamps.values())
        watch.plan(len(self.stamps), doubtful=self.clock.now - oldest > 0.4 * SECONDS)
        found = watch.look(self.stamps)
        self.stamps = {w: stamp for w, stamp in self.stamps.items() if w not in found}
        return found

    def kill(self, workers: set[int]) -> set[int]:
        self.alive = {w: watch for w, watch in self.alive.items() if w not in workers}
        return workers


@pytest.mark.parametrize("count", [4, 500])
def test_dead_workers_are_found_by_few_workers(clock: Any, count: int) -> None:
    workers = Workers(clock, count)
    assert workers.run(100) == set()
    before = workers.looks
    assert workers.run(150) == set()
    assert workers.looks - before <= 150 * 8 / 0.75  # per second, of all together
    # Within the last renewal, the doubt, a lease of looks, and the end of a trial.
    dead = workers.kill({1})
    assert workers.run(75) == dead
    # Nearly all at once: those who are left look when their turn comes, n/8 s later.
    dead = workers.kill(set(workers.alive) - {2, 3})
    assert workers.run(75 + count // 8) == dead
    assert set(workers.stamps) == {2, 3}


def test_lease_that_reappears_is_observed_anew(clock: Any) -> None:
    watch = LeaseWatch(SECONDS)
    for stamps in ({7: 1.0}, {7: 1.0}, {7: 1.0}, {}, {7: 1.0}):
        assert watch.look(stamps) == set()
        clock.now += 10.0
