"""Sessions end, and failures slow down."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

from ecd_tune.serve.sessions import Sessions, Throttle


class Clock:
    now = 1000.0

    def __call__(self) -> float:
        return self.now


def test_a_session_lasts_as_long_as_it_says():
    clock = Clock()
    sessions = Sessions(clock, seconds=60.0)
    key = sessions.start("ada")
    assert len(key) >= 43, "256 bits"
    clock.now += 59.9
    assert sessions.find(key) == "ada"
    clock.now += 0.2
    assert sessions.find(key) is None


def test_sessions_are_apart_and_end_one_by_one():
    sessions = Sessions()
    keys = [sessions.start(name) for name in ("ada", "bob", "ada")]
    assert len(set(keys)) == 3
    sessions.end(keys[0])
    sessions.end("no such key")
    assert [sessions.find(key) for key in keys] == [None, "bob", "ada"]
    assert sessions.find("") is None


def test_the_memory_of_sessions_is_bounded():
    sessions = Sessions()
    keys = [sessions.start("ada") for _ in range(10_050)]
    assert [sessions.find(key) for key in (keys[0], keys[49], keys[50], keys[-1])] == [
        None,
        None,
        "ada",
        "ada",
    ]


def test_waits_double_up_to_a_minute():
    clock = Clock()
    throttle = Throttle(clock)
    waits = []
    for _ in range(14):
        assert throttle.admit("a") == 0.0
        wait = throttle.admit("a") if len(waits) >= 4 else 0.0
        waits.append(wait)
        clock.now += wait
    assert waits == [0, 0, 0, 0, 1, 2, 4, 8, 16, 32, 60, 60, 60, 60]


def test_an_attempt_during_the_wait_does_not_lengthen_it():
    clock = Clock()
    throttle = Throttle(clock)
    for _ in range(5):
        throttle.admit("a")
    clock.now += 0.5
    assert throttle.admit("a") == throttle.admit("a") == 0.5


def test_addresses_are_apart_and_success_is_a_new_start():
    throttle = Throttle(Clock())
    for _ in range(5):
        throttle.admit("a")
    assert throttle.admit("a") > 0
    assert throttle.admit("b") == 0
    throttle.forget("a")
    assert throttle.admit("a") == 0


def test_a_hundred_at_once_are_not_let_in():
    throttle = Throttle(Clock())
    with ThreadPoolExecutor(16) as pool:
        waits = list(pool.map(lambda _: throttle.admit("a"), range(100)))
    assert waits.count(0.0) == 5
