"""Cost of an ask and a tell, in commits and in large studies."""

from __future__ import annotations

import time
from collections import Counter

import pytest
from sqlalchemy import event

from ecd_tune.records import TrialState
from ecd_tune.store import Store, Worker
from ecd_tune.store.studies import find_study
from ecd_tune.store.trials.counts import TrialCounts, count_trials
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


def ask(store, spec, count=1):
    return store.ask(spec, "ecdsep", count=count, worker=Worker.current())


@pytest.mark.parametrize(("sampler", "transactions"), [("random", 2), ("tpe", 3)])
@pytest.mark.parametrize("count", [1, 7])
def test_a_batch_costs_an_ask_and_a_tell(tmp_path, sampler, transactions, count):
    """And a look, for a sampler that looks at trials; plain Optuna commits 21 times for one."""
    spec = make_spec(sampler, trials=100)
    with Store.open(f"sqlite:///{tmp_path}/store.db") as store:
        store.create(spec)
        store.tell(complete(ask(store, spec, count)))
        begun = []
        event.listen(store._database.engine, "begin", begun.append)
        for _ in range(5):
            leases = ask(store, spec, count)
            assert len(leases) == count
            store.tell(complete(leases))
    assert len(begun) == transactions * 5


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
    began = time.process_time()
    store.tell(complete(ask(store, spec)))
    return time.process_time() - began


def test_the_counts_of_a_large_study_are_those_of_its_trials(filled):
    """Counted without looking at the finished ones, and by looking at all: the same."""
    url, spec = filled
    with Store.open(url) as store:
        store.release(store.ask(spec, "ecdsep", count=3, worker=Worker.current()))
        ask(store, spec)
        records = store.trials(spec.key("ecdsep"), curves=False)
        with store._database.read() as connection:
            study_id = find_study(connection, spec.key("ecdsep")).study_id
            counts = count_trials(connection, study_id)
    states = Counter(record.state for record in records)
    assert counts == TrialCounts(
        key=spec.key("ecdsep"),
        fingerprint=spec.fingerprint("ecdsep"),
        finished=sum(record.counts for record in records),
        leased=states[TrialState.RUNNING],
        waiting=states[TrialState.WAITING],
        next_number=len(records),
    )
    assert (counts.leased, counts.waiting) == (1, 2)
