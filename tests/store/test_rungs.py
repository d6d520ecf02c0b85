"""Promotions at rungs, compared with the algorithm of the paper on simulated values."""

from __future__ import annotations

import tempfile
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from optuna.trial import TrialState as OptunaState

from ecd_tune.records import Cause, Lease, Outcome, Rung, Status, TrialState
from ecd_tune.spec import StudySpec, parse_study
from ecd_tune.store import Store, Worker
from ecd_tune.store.sampling.history import TrialHistory
from ecd_tune.store.studies import find_study, to_ref

SEEN = (OptunaState.RUNNING, OptunaState.COMPLETE, OptunaState.PRUNED)
EPOCHS = (1, 3, 9)
"""Of two rungs, and of a whole run."""


@dataclass
class Asha:
    """Algorithm 2 of Li et al., A System for Massively Parallel Hyperparameter Tuning (2020)."""

    trials: int
    reduction: int
    rungs: list[dict[int, float]] = field(default_factory=lambda: [{} for _ in EPOCHS])
    promoted: list[set[int]] = field(default_factory=lambda: [set() for _ in EPOCHS])
    begun: int = 0

    def get_job(self) -> tuple[int, int] | None:
        """Return a configuration and the rung that it is trained to; None when all are begun."""
        for k in reversed(range(len(self.rungs) - 1)):
            ranked = sorted(self.rungs[k], key=lambda c: (self.rungs[k][c], c))
            for config in ranked[: len(ranked) // self.reduction]:
                if config not in self.promoted[k]:
                    self.promoted[k].add(config)
                    return config, k + 1
        if self.begun == self.trials:
            return None
        self.begun += 1
        return self.begun - 1, 0


def make_spec(trials: int, sampler: str = "random", name: str = "rungs") -> StudySpec:
    return parse_study(
        {
            "name": name,
            "task": {"name": "digits"},
            "budget": {"trials": trials, "steps": EPOCHS[-1]},
            "sampler": {"name": sampler},
            "pruning": {"kind": "successive_halving", "resume": True},
            "optimizers": {"adam": {"space": {"lr": {"low": 0.1, "high": 1.0}}}},
        }
    )


class Scene:
    """One store whose trials have values that are given."""

    def __init__(self, store: Store, spec: StudySpec, reduction: int = 3) -> None:
        self.store, self.spec, self.key = store, spec, spec.key("adam")
        self.reduction = reduction
        self.configs: dict[int, int] = {}
        self.epochs = 0
        store.create(spec)

    def ask(self) -> Lease | None:
        leases = self.store.ask(self.spec, "adam", count=1, worker=Worker.current())
        return leases[0] if leases else None

    def config(self, lease: Lease) -> int:
        """By its seed, which all attempts share."""
        return self.configs.setdefault(lease.request.seed, len(self.configs))

    def tell(self, lease: Lease, loss: float, *, diverged: bool = False) -> None:
        k = lease.promotions
        self.epochs += EPOCHS[k] - (EPOCHS[k - 1] if k else 0)
        ends = k == len(EPOCHS) - 1
        status = Status.COMPLETE if ends else Status.PRUNED
        outcome = Outcome(
            Status.DIVERGED if diverged else status,
            -loss,  # an accuracy: larger is better
            reason="diverged" if diverged else None if ends else f"paused after epoch {EPOCHS[k]}",
            rung=None if ends else Rung(0, k, self.reduction),
        )
        assert self.store.tell([(lease, outcome)]) == [True]


@contextmanager
def opened() -> Iterator[Store]:
    with (
        tempfile.TemporaryDirectory() as folder,
        Store.open(f"sqlite:///{folder}/s.db", lease_seconds=600) as store,
    ):
        yield store


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    with Store.open(f"sqlite:///{tmp_path}/s.db") as store:
        yield store


@settings(max_examples=5, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(
    trials=st.integers(1, 12),
    reduction=st.integers(2, 4),
    workers=st.integers(1, 4),
    data=st.data(),
)
def test_promotions_match_the_algorithm(
    trials: int, reduction: int, workers: int, data: st.DataObject
) -> None:
    peer, losses = Asha(trials, reduction), st.integers(0, 6)
    with opened() as store:
        scene = Scene(store, make_spec(trials), reduction)
        running: list[tuple[Lease, tuple[int, int]]] = []
        idle, theirs = workers, 0
        while True:
            while idle:
                job, lease = peer.get_job(), scene.ask()
                mine = None if lease is None else (scene.config(lease), lease.promotions)
                assert mine == job
                if lease is None or job is None:
                    break
                theirs += EPOCHS[job[1]] - (EPOCHS[job[1] - 1] if job[1] else 0)
                running.append((lease, job))
                idle -= 1
            if not running:
                break
            lease, (config, k) = running.pop(data.draw(st.integers(0, len(running) - 1)))
            peer.rungs[k][config] = loss = float(data.draw(losses))
            scene.tell(lease, loss)
            idle += 1
        records = store.trials(scene.key)
        assert scene.epochs == theirs
        assert sum(r.counts for r in records) == trials
        assert sum(r.lost for r in records) == sum(map(len, peer.promoted))
        assert sum(r.state is TrialState.COMPLETE for r in records) == len(peer.rungs[-1])


def test_a_paused_trial_is_a_pruned_one_until_it_is_promoted(store: Store) -> None:
    scene = Scene(store, make_spec(3))
    for loss in (0.3, 0.1):
        lease = scene.ask()
        assert lease is not None
        scene.tell(lease, loss)
    paused = store.trials(scene.key)
    assert [(r.state, r.value) for r in paused] == [
        (TrialState.PRUNED, -0.3),
        (TrialState.PRUNED, -0.1),
    ]
    third = scene.ask()
    assert third is not None
    scene.tell(third, 0.2)
    records = store.trials(scene.key)
    assert (records[1].state, records[1].value) == (TrialState.FAIL, None)
    assert (records[1].lost, records[1].cause) == (True, Cause.PROMOTED)
    assert records[1].reason == "promoted at rung 0 of bracket 0; continued as trial 3"
    progress = store.progress("rungs")[0]
    assert (progress.finished, progress.waiting) == (2, 1)
    assert (progress.failed, progress.lost, progress.promoted) == (0, 0, 1)
    assert [event.kind for event in store.events("rungs")] == ["promoted"]
    copy = scene.ask()
    assert copy is not None
    assert (copy.number, copy.attempt, copy.promotions) == (3, 2, 1)
    assert (copy.request.params, copy.request.seed) == (paused[1].params, paused[1].seed)


def test_lost_attempt_keeps_its_rung(store: Store) -> None:
    """Its copy goes to the same rung, and takes part in it once."""
    scene = Scene(store, make_spec(6))
    for loss in (0.3, 0.1, 0.2):
        lease = scene.ask()
        assert lease is not None
        scene.tell(lease, loss)
    promoted = scene.ask()
    assert promoted is not None
    store.release([promoted])
    again = scene.ask()
    assert again is not None
    assert (again.promotions, again.attempt) == (1, 3)
    scene.tell(again, 0.05)
    records = store.trials(scene.key)
    assert Counter(r.cause for r in records if r.lost) == {Cause.PROMOTED: 1, Cause.RELEASED: 1}
    assert sum(r.counts for r in records) == 3


def test_diverged_trials_rank_last_and_invalidated_ones_are_excluded(
    store: Store,
) -> None:
    scene = Scene(store, make_spec(9))
    first, second = scene.ask(), scene.ask()
    assert first is not None
    assert second is not None
    scene.tell(first, 0.3)
    scene.tell(second, 0.0, diverged=True)
    store.invalidate(scene.key, 0, "wrong data")
    third = scene.ask()
    assert third is not None
    scene.tell(third, 0.2)  # two of the rung are left
    assert store.progress("rungs")[0].promoted == 0
    fourth = scene.ask()
    assert fourth is not None
    scene.tell(fourth, 0.4)
    assert [r.number for r in store.trials(scene.key) if r.cause is Cause.PROMOTED] == [2]


def test_a_trial_that_is_complete_before_its_rung_keeps_its_rank_there(store: Store) -> None:
    """A user's own loop may end before the epoch of the rung."""
    scene = Scene(store, make_spec(9), reduction=2)
    early = scene.ask()
    assert early is not None
    outcome = Outcome(Status.COMPLETE, 0.0, rung=Rung(0, 0, 2))  # accuracies: the others' are below
    assert store.tell([(early, outcome)]) == [True]
    for loss, promoted in ((0.3, []), (0.2, []), (0.4, [2])):
        lease = scene.ask()
        assert lease is not None
        scene.tell(lease, loss)
        found = [r.number for r in store.trials(scene.key) if r.cause is Cause.PROMOTED]
        assert found == promoted
    assert store.trials(scene.key)[0].state is TrialState.COMPLETE


def test_repeated_tell_promotes_once(store: Store) -> None:
    scene = Scene(store, make_spec(9), reduction=2)
    leases = [scene.ask(), scene.ask()]
    results = [
        (lease, Outcome(Status.PRUNED, 0.1 * n, reason="paused", rung=Rung(0, 0, 2)))
        for n, lease in enumerate(leases)
        if lease is not None
    ]
    assert store.tell(results) == [True, True]
    assert store.tell(results) == [False, False]
    assert store.progress("rungs")[0].promoted == 1


def test_a_sampler_sees_a_promoted_trial_once(store: Store) -> None:
    """One that has seen it paused sees what one sees that starts now."""
    scene = Scene(store, make_spec(12))
    with store._database.read() as connection:
        ref = to_ref(find_study(connection, scene.key))
    kept = TrialHistory(ref)
    for loss in (3, 1, 2, 6, 5, 4, 9, 8, 7):
        lease = scene.ask()  # nothing waits from here on, so that a sampler may draw
        assert lease is not None
        shown = []
        for view in (kept, TrialHistory(ref)):
            with store._database.read() as connection:
                view.sync(connection)
            trials = view._storage.get_all_trials(0, states=SEEN)
            shown.append([(t.number, t.state, t.params, t.value) for t in trials])
        assert shown[0] == shown[1]
        scene.tell(lease, loss)
    assert [number for number, *_ in shown[0]] == [0, 3, 4, 5, 6, 7, 8]
