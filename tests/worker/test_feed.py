"""The thread that asks and tells during training."""

from __future__ import annotations

import threading
import time
from collections.abc import Sequence

import pytest

from ecd_tune.records import Lease, Outcome, RunRequest, Status, StudyKey
from ecd_tune.worker.feed import Feed

DONE = Outcome(Status.COMPLETE, 1.0)


def lease(number: int) -> Lease:
    return Lease(StudyKey("s", "o"), number, number, number, 1, RunRequest({}, number))


class Source:
    """Hands out so many leases, and writes down what is asked and told."""

    def __init__(self, size: int) -> None:
        self.left = [lease(number) for number in range(size)]
        self.asked: list[int] = []
        self.told: list[int] = []
        self.threads: set[str] = set()

    def ask(self, count: int) -> list[Lease]:
        self.asked.append(count)
        self.threads.add(threading.current_thread().name)
        taken, self.left = self.left[:count], self.left[count:]
        return taken

    def tell(self, results: Sequence[tuple[Lease, Outcome]]) -> None:
        self.threads.add(threading.current_thread().name)
        self.told += [own.number for own, _ in results]

    def feed(self, leases: Sequence[Lease] = (), ahead: int = 2) -> Feed:
        return Feed(leases, self.ask, self.tell, ahead, lambda: False)


def drain(feed: Feed, width: int) -> list[int]:
    running: list[Lease] = []
    seen = []
    while True:
        running += feed.take(width - len(running))
        if not running:
            return seen
        own = running.pop(0)
        seen.append(own.number)
        feed.put(own, DONE)


@pytest.mark.parametrize("ahead", [1, 2, 50])
def test_each_trial_is_leased_and_reported_once(ahead: int) -> None:
    source = Source(30)
    feed = source.feed([lease(100)], ahead)
    with feed.flowing():
        seen = drain(feed, width=4)
    assert sorted(seen) == [*range(30), 100]
    assert sorted(source.told) == sorted(seen)
    assert source.threads == {"feed"}
    assert max(source.asked) <= ahead
    assert feed.leases == []


def test_training_does_not_wait_for_the_database() -> None:
    source, slow = Source(10), threading.Event()

    def ask(count: int) -> list[Lease]:
        slow.wait(30)
        return source.ask(count)

    feed = Feed([lease(100)], ask, source.tell, 2, lambda: False)
    with feed.flowing():
        (own,) = feed.take(8)
        began = time.monotonic()
        assert feed.take(8) == []  # the question is not answered yet
        assert time.monotonic() - began < 5
        assert feed.leases == [own]
        slow.set()
        feed.put(own, DONE)
        assert len(drain(feed, 3)) == 10


def test_held_leases_are_known() -> None:
    telling, told = threading.Event(), threading.Event()

    def tell(results: Sequence[tuple[Lease, Outcome]]) -> None:
        telling.set()
        told.wait(30)

    feed = Feed([lease(1), lease(2), lease(3)], lambda count: [], tell, 1, lambda: False)
    with feed.flowing():
        first, second = feed.take(2)
        assert [own.number for own in feed.leases] == [3, 1, 2]
        feed.put(first, DONE)
        assert telling.wait(30)
        assert [own.number for own in feed.leases] == [3, 2, 1]  # 1 is not stored yet
        told.set()
        feed.put(second, DONE)
    assert [own.number for own in feed.leases] == [3]  # and no one has run it


@pytest.mark.parametrize("where", ["ask", "tell"])
def test_database_error_is_raised_in_the_training_thread(where: str) -> None:
    def fail(_: object) -> list[Lease]:
        raise OSError("gone")

    source = Source(5)
    ask, tell = (fail, source.tell) if where == "ask" else (source.ask, fail)
    feed = Feed([lease(100)], ask, tell, 1, lambda: False)  # type: ignore[arg-type]
    with pytest.raises(OSError, match="gone"), feed.flowing():
        drain(feed, 1)
    assert where == "ask" or 100 in [own.number for own in feed.leases]


def test_stop_ends_asking_and_wakes_the_waiting_thread() -> None:
    stopped = threading.Event()

    def ask(count: int) -> list[Lease]:
        stopped.set()
        return []

    feed = Feed([], ask, lambda results: None, 4, stopped.is_set)
    with feed.flowing():
        assert feed.take(4) == []
