"""Pruners on a real store: which trials end, and what other workers see."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import optuna
import pytest

from ecd_tune.records import METRIC, Curve, Lease, Outcome, Status, TrialState
from ecd_tune.spec import StudySpec, parse_study
from ecd_tune.store import CurvePoint, Store, Worker
from ecd_tune.worker.pruning import TrialPruner


def study(**pruning: Any) -> StudySpec:
    return parse_study(
        {
            "name": "pruned",
            "task": {"name": "digits"},
            "budget": {"trials": 40, "steps": 27},
            "sampler": {"name": "random"},
            "pruning": pruning,
            "optimizers": {"adam": {"space": {"lr": {"low": 0.1, "high": 1.0}}}},
        }
    )


class Scene:
    """One store with trials of known curves."""

    def __init__(self, store: Store, spec: StudySpec) -> None:
        self.store, self.spec, self.key = store, spec, spec.key("adam")
        store.create(spec)

    def ask(self) -> Lease:
        (lease,) = self.store.ask(self.spec, "adam", count=1, worker=Worker.current())
        return lease

    def pruner(self) -> TrialPruner:
        return TrialPruner(self.store, self.spec, "adam")

    def report(self, lease: Lease, points: Mapping[int, float]) -> None:
        rows = [CurvePoint(lease.trial_id, lease.token, *point) for point in points.items()]
        assert self.store.report(rows) == 0

    def end(
        self,
        lease: Lease,
        points: Mapping[int, float],
        reason: str | None = None,
        status: Status = Status.PRUNED,
    ) -> None:
        self.report(lease, points)
        outcome = Outcome(
            Status.COMPLETE if reason is None else status,
            max(points.values()),
            curves={METRIC: Curve(tuple(points), tuple(points.values()))},
            reason=reason,
        )
        assert self.store.tell([(lease, outcome)]) == [True]


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    with Store.open(f"sqlite:///{tmp_path}/s.db") as store:
        yield store


def line(height: float, epochs: int = 28) -> dict[int, float]:
    return {epoch: height + epoch / 1000 for epoch in range(epochs)}


class TestMedian:
    def test_trials_worse_than_the_median_are_pruned(self, store: Store) -> None:
        scene = Scene(store, study(kind="median", startup_trials=3))
        for height in (0.1, 0.5, 0.9):
            scene.end(scene.ask(), line(height))
        lease, pruner = scene.ask(), scene.pruner()
        assert pruner.decide(lease, line(0.51, 2)) is None
        assert pruner.decide(lease, line(0.51, 3)) is None
        other = scene.ask()
        assert pruner.decide(other, line(0.49, 3)) == "pruned by median after epoch 2"

    def test_no_pruning_before_n_startup_trials(self, store: Store) -> None:
        scene = Scene(store, study(kind="median", startup_trials=3))
        for height in (0.5, 0.9):
            scene.end(scene.ask(), line(height))
        lease, pruner = scene.ask(), scene.pruner()
        assert pruner.decide(lease, line(0.1, 3)) is None
        # The one that finishes now counts for the next question about another trial.
        scene.end(scene.ask(), line(0.7))
        assert pruner.decide(scene.ask(), line(0.1, 3)) is not None

    def test_warmup_and_interval_delay_pruning(self, store: Store) -> None:
        scene = Scene(store, study(kind="median", startup_trials=1, warmup=4, interval=3))
        scene.end(scene.ask(), line(0.5))
        lease, pruner = scene.ask(), scene.pruner()
        ended = [e for e in range(1, 11) if pruner.decide(lease, line(0.1, e + 1)) is not None]
        assert ended == [4, 7, 10]

    def test_the_decision_is_optunas_own(self, store: Store) -> None:
        scene = Scene(store, study(kind="median", startup_trials=2))
        heights = (0.5, 0.2, 0.7, 0.3, 0.65, 0.45)
        mine = []
        for height in heights:
            lease, points = scene.ask(), line(height)
            said = scene.pruner().decide(lease, line(height, 6))
            mine.append(said is not None)
            scene.end(lease, line(height, 6) if said else points, said)

        pruner = optuna.pruners.MedianPruner(n_startup_trials=2)
        theirs, peer = [], optuna.create_study(direction="maximize", pruner=pruner)
        for height in heights:
            trial = peer.ask()
            for epoch, value in line(height, 6).items():
                trial.report(value, epoch)
            theirs.append(trial.should_prune())
            for epoch, value in line(height).items():
                if not theirs[-1]:
                    trial.report(value, epoch) if epoch > 5 else None
            state = optuna.trial.TrialState.PRUNED if theirs[-1] else None
            peer.tell(trial, None if theirs[-1] else height, state=state)
        assert mine == theirs
        assert any(mine)
        assert not all(mine)


class TestHyperband:
    def test_rungs_are_filled_by_trials_of_other_workers(self, store: Store) -> None:
        # One bracket: reduction 30 > 27 epochs. At epoch 1 one of thirty continues.
        scene = Scene(store, study(kind="hyperband", reduction=30))
        running = scene.ask()
        scene.report(running, line(0.9, 4))
        pruner = scene.pruner()
        lease = scene.ask()
        assert pruner.decide(lease, line(0.5, 2)) == "pruned by hyperband after epoch 1"
        assert scene.pruner().decide(scene.ask(), line(0.95, 2)) is None

    def test_the_decision_is_optunas_own(self, store: Store) -> None:
        scene = Scene(store, study(kind="hyperband", reduction=3))
        heights = (0.5, 0.2, 0.7, 0.3, 0.65, 0.45, 0.8, 0.1, 0.75, 0.6)
        pruner = optuna.pruners.HyperbandPruner(1, 27, 3)
        peer = optuna.create_study(study_name=scene.key.name, direction="maximize", pruner=pruner)
        ends = []
        for height in heights:
            lease, trial, mine = scene.ask(), peer.ask(), scene.pruner()
            trial.report(line(height)[0], 0)
            ended = None
            for epoch in range(1, 28):
                trial.report(line(height)[epoch], epoch)
                said = mine.decide(lease, line(height, epoch + 1))
                assert (said is not None) == trial.should_prune(), (height, epoch)
                if said is not None:
                    ended = epoch
                    break
            points = line(height, 28 if ended is None else ended + 1)
            scene.end(lease, points, said)
            state = optuna.trial.TrialState.PRUNED if ended else None
            peer.tell(trial, None if ended else height, state=state)
            ends.append(ended)
        assert len(set(ends)) > 2


def test_pruned_and_diverged_trials_are_distinguished(store: Store) -> None:
    scene = Scene(store, study(kind="median"))
    scene.end(scene.ask(), line(0.2, 3), "pruned by median after epoch 2")
    reason = "loss became non-finite (inf) after it was pruned by nobody"
    scene.end(scene.ask(), line(0.2, 3), reason, Status.DIVERGED)
    first, second = store.trials(scene.key)
    assert (first.state, first.pruned) == (TrialState.PRUNED, True)
    assert (second.state, second.pruned) == (TrialState.PRUNED, False)
