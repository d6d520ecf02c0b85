"""Samplers with constraints avoid regions that exceed memory or time."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from ecd_tune.records import Cause, Lease, Outcome, Status
from ecd_tune.spec import SamplerSpec, StudySpec
from ecd_tune.store import Store, Worker
from ecd_tune.testing.store import make_spec

SPACE = {"lr": {"low": 0.0, "high": 1.0}, "eta": {"low": 1.0, "high": 2.0}}


def make(sampler: str, **changes: Any) -> StudySpec:
    spec = make_spec(space=SPACE, **{"trials": 30, **changes})
    options = {"n_startup_trials": 5} if sampler in ("tpe", "gp") else {}
    table = SamplerSpec.model_validate({"name": sampler, **options})
    return spec.model_copy(update={"sampler": table})


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    with Store.open(f"sqlite:///{tmp_path}/a.db") as store:
        yield store


def failed(cause: Cause) -> Outcome:
    return Outcome(Status.FAILED, reason="x", cause=cause)


OVER = failed(Cause.OUT_OF_MEMORY)


def outcome(lease: Lease, failure: Outcome) -> Outcome:
    """The larger lr, the better: until memory ends at a half."""
    lr = float(lease.request.params["lr"])
    return failure if lr > 0.5 else Outcome(Status.COMPLETE, -lr)


def run(store: Store, spec: StudySpec, failure: Outcome = OVER) -> list[float]:
    store.create(spec)
    drawn = []
    while leases := store.ask(spec, "ecdsep", count=1, worker=Worker.current()):
        store.tell([(lease, outcome(lease, failure)) for lease in leases])
        drawn += [float(lease.request.params["lr"]) for lease in leases]
    return drawn


@pytest.mark.parametrize(
    ("name", "trials", "cause"),
    [
        ("tpe", 30, Cause.OUT_OF_MEMORY),
        ("tpe", 30, Cause.TIMEOUT),
        ("gp", 11, Cause.OUT_OF_MEMORY),
    ],
)
def test_samplers_with_constraints_avoid_the_region(
    store: Store, name: str, trials: int, cause: Cause
) -> None:
    kept = run(store, make(name, name="kept", trials=trials), failed(Cause.EXCEPTION))
    told = run(store, make(name, name="told", trials=trials), failed(cause))
    assert told[:5] == kept[:5]
    shares = [sum(lr > 0.5 for lr in drawn[5:]) / (trials - 5) for drawn in (told, kept)]
    # A failure that says nothing leaves the sampler where the values seem to grow.
    assert shares[0] < shares[1] - 0.2


@pytest.mark.parametrize("name", ["random", "qmc", "cmaes"])
def test_other_samplers_ignore_constraints(store: Store, name: str) -> None:
    told = run(store, make(name, name="told", trials=12))
    assert told == run(store, make(name, name="kept", trials=12), failed(Cause.EXCEPTION))


def test_joining_worker_draws_the_same(tmp_path: Path) -> None:
    """What is read from the database anew is what was seen before."""
    sampler = {"name": "tpe", "n_startup_trials": 5, "history": 8}
    spec = make_spec(space=SPACE, trials=20).model_copy(
        update={"sampler": SamplerSpec.model_validate(sampler)}
    )
    with Store.open(f"sqlite:///{tmp_path}/whole.db") as store:
        whole = run(store, spec)
    drawn: list[float] = []
    url = f"sqlite:///{tmp_path}/parts.db"
    with Store.open(url) as store:
        store.create(spec)
    for _ in range(20):
        with Store.open(url) as store:
            (lease,) = store.ask(spec, "ecdsep", count=1, worker=Worker.current())
            store.tell([(lease, outcome(lease, OVER))])
            drawn.append(float(lease.request.params["lr"]))
    assert drawn == whole
