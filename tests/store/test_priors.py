"""Searches whose space has a prior: trials from the prior, and unchanged others."""

from __future__ import annotations

import pytest

from ecd_tune.errors import FingerprintMismatchError, SpecError
from ecd_tune.spec import parse_study
from ecd_tune.store import Store, Worker
from ecd_tune.store.sampling.guided import guided_points
from ecd_tune.testing.store import complete

LR = {"low": 1e-4, "high": 1.0, "log": True}
NEAR = {"center": 0.1, "spread": 1.01}
"""So narrow that whatever comes from it is seen to do so."""


def study(sampler="tpe", trials=24, lr=None, **options):
    space = {"lr": {**LR, "prior": NEAR} if lr is None else lr, "eta": {"low": 1.0, "high": 4.0}}
    return parse_study(
        {
            "name": "guided",
            "task": {"name": "zakharov"},
            "budget": {"trials": trials, "steps": 1},
            "sampler": {"name": sampler, **options},
            "optimizers": {"ecdsep": {"space": space}},
        }
    )


def search(url, spec, count=3, workers=1):
    """Run a search; with several workers each draws in its turn, from a store of its own."""
    stores = [Store.open(url) for _ in range(workers)]
    names = [Worker(f"host{i}", "", i, 0) for i in range(workers)]
    stores[0].create(spec)
    turn = 0
    while leases := stores[turn % workers].ask(
        spec, "ecdsep", count=count, worker=names[turn % workers]
    ):
        stores[turn % workers].tell(complete(leases))
        turn += 1
    records = stores[0].trials(spec.key("ecdsep"))
    for store in stores:
        store.close()
    return records


@pytest.fixture
def url(tmp_path):
    return f"sqlite:///{tmp_path}/store.db"


@pytest.mark.parametrize(
    ("sampler", "options", "guided"),
    [
        ("tpe", {}, 10),
        ("tpe", {"n_startup_trials": 5}, 5),
        ("cmaes", {}, 10),
        ("qmc", {}, 10),
        ("random", {}, 24),
    ],
)
def test_three_of_four_of_the_first_trials_come_from_the_prior(url, sampler, options, guided):
    records = search(url, study(sampler, **options))
    numbers = [r.number for r in records if r.source == "prior"]
    assert numbers == [n for n in range(guided) if n % 4 != 3]
    assert all(0.09 < r.params["lr"] < 0.11 for r in records if r.source == "prior")
    assert len({r.params["eta"] for r in records}) == 24
    early = [r for r in records if r.number < guided and r.source == "sampler"]
    assert any(not 0.09 < r.params["lr"] < 0.11 for r in early)


def test_draws_depend_on_seed_and_number_only(url, tmp_path):
    spec = study()
    expected = guided_points(spec, "ecdsep", range(24))
    runs = [(url, 3, 1), (f"sqlite:///{tmp_path}/b.db", 1, 2), (f"sqlite:///{tmp_path}/c.db", 7, 3)]
    for place, count, workers in runs:
        records = search(place, spec, count, workers)
        found = {r.number: dict(r.params) for r in records if r.source == "prior"}
        assert found == {number: dict(point.params) for number, point in expected.items()}
    other = guided_points(spec.model_copy(update={"seed": 1}), "ecdsep", range(24))
    assert all(other[n].params != expected[n].params for n in expected)
    assert guided_points(study(lr=LR), "ecdsep", range(24)) == {}


def test_sampler_sees_prior_draws(url):
    """Drawn in one process, or read from the database by another: the same trials follow."""
    spec = study(n_startup_trials=4)
    with Store.open(url) as store:
        store.create(spec)
        worker = Worker.current()
        held = store.ask(spec, "ecdsep", count=3, worker=worker)
        history = next(iter(store._asker._drawer._histories.values()))
        shown = history._storage.trials
        assert [t.params for t in shown[:3]] == [dict(lease.request.params) for lease in held]
        assert [lease.source for lease in held] == ["prior"] * 3


# Made before priors existed.
BEFORE = "aa4e00a91c5a966f49407413fca54bc7043f279d644231cbe320283d14dedd62"


def old_study(**lr):
    space = {
        "lr": {**LR, **lr},
        "beta1": [0.8, 0.9],
        "weight_decay": {"low": 1e-7, "high": 1e-2, "log": True, "zero": {"below": 1e-6}},
        "beta2": 0.999,
        "schedule_warmup": {"low": 0.0, "high": 0.5},
    }
    return parse_study(
        {
            "name": "before",
            "task": {"name": "digits"},
            "budget": {"trials": 5, "steps": 2},
            "optimizers": {"adamw": {"space": space}},
        }
    )


def test_a_study_without_a_prior_keeps_its_identity():
    assert old_study().fingerprint("adamw") == BEFORE


def test_a_prior_is_part_of_what_identifies_a_study(url):
    with Store.open(url) as store:
        store.create(old_study())
        store.create(old_study())
        with pytest.raises(FingerprintMismatchError, match=r"space\.lr\.prior"):
            store.create(old_study(prior=0.1))
    narrow = old_study(prior={"center": 0.1, "spread": 2.0})
    assert len({s.fingerprint("adamw") for s in (old_study(prior=0.1), narrow, old_study())}) == 3


def test_a_grid_refuses_a_prior():
    with pytest.raises(SpecError, match="prior: a grid runs all points and uses none"):
        study("grid", lr={"choices": [0.1, 0.2], "prior": [1, 2]})
