"""What an ask and a tell cost, in commits and at size."""

from __future__ import annotations

import time
from collections import Counter

import pytest
from sqlalchemy import event

from ecd_tune.records import TrialState
from ecd_tune.store import Store, Worker
from ecd_tune.store._rows import Tally, take_tally
from ecd_tune.store._studies import find_study
from ecd_tune.testing.bulk import fill_study
from ecd_tune.testing.store import complete, make_spec

RANGES = {
    "lr": {"low": 1e-4, "high": 1.0, "log": True},
    "eta": {"low": 1.0, "high": 6.0},
    "nu": {"low": 1e-6, "high": 1.0, "log": True},
    "delta_energy": {"low": 1e-3, "high": 10.0, "log": True},
    "weight_decay": {"low": 1e-6, "high": 1e-1, "log": True},
    "eps1": {"low": 1e-12, "high": 1e-2, "log": True},
}
TRIALS = 10_000


def ask(store, spec):
    return store.ask(spec, "ecdsep", count=1, worker=Worker.current())


def test_a_trial_costs_three_commits(tmp_path):
    """A look, an ask and a tell; plain Optuna needs 21."""
    spec = make_spec(trials=20)
    with Store.open(f"sqlite:///{tmp_path}/store.db") as store:
        store.create(spec)
        store.tell(complete(ask(store, spec)))
        commits = []
        event.listen(store._database.engine, "commit", commits.append)
        for _ in range(10):
            store.tell(complete(ask(store, spec)))
        assert len(commits) <= 3 * 10


def test_a_sampler_that_looks_at_no_trial_is_asked_in_one_transaction(tmp_path):
    """But for the first ask, which has to look how the study stands."""
    spec = make_spec("random", trials=6)
    with Store.open(f"sqlite:///{tmp_path}/store.db") as store:
        store.create(spec)
        begun = []
        event.listen(store._database.engine, "begin", begun.append)
        counts = []
        for _ in range(8):
            begun.clear()
            ask(store, spec)
            counts.append(len(begun))
    # The first registers the worker too. Once nothing is left, a look is enough.
    assert counts == [3, 1, 1, 1, 1, 1, 2, 1]


def test_with_the_tell_of_the_last_trial_it_is_one_transaction(tmp_path):
    """For a sampler that looks at no trial; plain Optuna commits eight times."""
    spec = make_spec("random", trials=6)
    with Store.open(f"sqlite:///{tmp_path}/store.db") as store:
        store.create(spec)
        leases = ask(store, spec)
        commits = []
        event.listen(store._database.engine, "commit", commits.append)
        for _ in range(5):
            _, leases = store.exchange(
                complete(leases), (), spec, "ecdsep", count=1, worker=Worker.current()
            )
            assert len(leases) == 1
        assert len(commits) == 5


@pytest.fixture(scope="module")
def filled(tmp_path_factory):
    url = f"sqlite:///{tmp_path_factory.mktemp('size')}/store.db"
    spec = make_spec("random", trials=TRIALS + 1000, space=RANGES)
    with Store.open(url) as store:
        store.create(spec)
        fill_study(store, spec, "ecdsep", TRIALS)
    return url, spec


def test_a_new_process_asks_soon_at_ten_thousand_trials(filled):
    """With a sampler that looks at all of them, which takes its own tenth of a second."""
    url, _ = filled
    spec = make_spec("tpe", trials=TRIALS + 1000, space=RANGES, name="looking")
    with Store.open(url) as store:
        store.create(spec)
        fill_study(store, spec, "ecdsep", TRIALS)
    first, later = [], []
    for _ in range(3):
        with Store.open(url) as store:
            for seconds in (first, later):
                began = time.process_time()
                leases = ask(store, spec)
                seconds.append(time.process_time() - began)
                store.tell(complete(leases))
    # The target is 0.8 s where the sampler alone takes 0.1 s; about 0.4 s. Measured against the
    # sampler and by the processor's time, since a test does not know its machine.
    assert min(first) <= 8 * min(later)


def test_an_ask_and_a_tell_take_as_long_as_in_a_small_study(filled, tmp_path):
    url, spec = filled
    with Store.open(url) as large, Store.open(f"sqlite:///{tmp_path}/small.db") as small:
        small.create(spec)
        fill_study(small, spec, "ecdsep", 10)
        for store in (large, small):
            store.tell(complete(ask(store, spec)))
        pairs = [(_seconds(large, spec), _seconds(small, spec)) for _ in range(30)]
    extra = sorted(big - little for big, little in pairs)[len(pairs) // 2]
    # A random sampler costs nothing, so the difference is the store's own; the median of it.
    assert extra <= 0.005


def _seconds(store, spec):
    began = time.perf_counter()
    store.tell(complete(ask(store, spec)))
    return time.perf_counter() - began


def test_the_counts_of_a_large_study_are_those_of_its_trials(filled):
    """Counted without looking at the finished ones, and by looking at all: the same."""
    url, spec = filled
    with Store.open(url) as store:
        store.release(store.ask(spec, "ecdsep", count=3, worker=Worker.current()))
        ask(store, spec)
        records = store.trials(spec.key("ecdsep"), curves=False)
        with store._database.read() as connection:
            study_id = find_study(connection, spec.key("ecdsep")).study_id
            tally = take_tally(connection, study_id)
    states = Counter(record.state for record in records)
    assert tally == Tally(
        key=spec.key("ecdsep"),
        fingerprint=spec.fingerprint("ecdsep"),
        finished=sum(record.counts for record in records),
        leased=states[TrialState.RUNNING],
        waiting=states[TrialState.WAITING],
        next_number=len(records),
    )
    assert (tally.leased, tally.waiting) == (1, 2)
