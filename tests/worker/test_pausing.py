"""Studies whose trials are paused at rungs and promoted, with real training."""

from __future__ import annotations

import itertools
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from ecd_tune.errors import CheckpointError
from ecd_tune.objective import Objective
from ecd_tune.objective.training.speed import SPEED_METRICS
from ecd_tune.records import Cause, Lease, RunRequest, TrialRecord, TrialState
from ecd_tune.signals import StopFlag
from ecd_tune.spec import StudySpec, parse_study
from ecd_tune.store import Store
from ecd_tune.worker import StudyWorker
from ecd_tune.worker.checkpoint_storage.folder_checkpoints import FolderCheckpoints

EPOCHS = (1, 2, 4)
"""Of two rungs, and of a whole run."""


def make_spec(trials: int = 6, batch: int = 1, **tables: Any) -> StudySpec:
    return parse_study(
        {
            "name": "paused",
            "task": {"name": "digits", "hidden": 4, "batch_size": 512},
            "budget": {"trials": trials, "steps": EPOCHS[-1], "batch": batch},
            "sampler": {"name": "random"},
            "confirmation": {"runs": 0},
            "training": {"schedule": {"name": "cosine"}},
            "pruning": {"kind": "successive_halving", "reduction": 2, "resume": True},
            "optimizers": {"adam": {"space": {"lr": {"low": 1e-3, "high": 0.1, "log": True}}}},
            **tables,
        }
    )


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    with Store.open(f"sqlite:///{tmp_path / 'a.db'}") as store:
        yield store


@pytest.fixture
def checkpoints(tmp_path: Path) -> FolderCheckpoints:
    return FolderCheckpoints(tmp_path / "kept")


class Steps:
    """Counts the steps of training."""

    def __init__(self) -> None:
        self.made = 0

    def __call__(self, lease: Lease, step: int, steps: int) -> None:
        self.made += 1


def in_epochs(records: list[TrialRecord]) -> int:
    """Return the epochs that a study's trials have needed if none was trained twice."""
    return sum(next(iter(reversed(record.curve.steps))) for record in records if record.counts)


def check(spec: StudySpec, records: list[TrialRecord], approx: Any = None) -> None:
    """Check the budget, and that a promoted run is one that was never paused."""
    assert sum(r.counts for r in records) == spec.trials("adam")
    complete = [r for r in records if r.state is TrialState.COMPLETE]
    assert complete
    objective = Objective(spec, "adam")
    for record in complete:
        assert record.seed is not None
        (whole,) = objective.evaluate([RunRequest(record.params, record.seed)])
        mine, theirs = (
            {k: v for k, v in numbers.items() if k not in SPEED_METRICS}
            for numbers in (record.metrics, whole.metrics)
        )
        if approx is None:
            assert (record.value, record.curves, mine) == (whole.value, whole.curves, theirs)
        else:
            assert mine == approx(theirs)


def test_promoted_run_repeats_no_epoch(
    store: Store, checkpoints: FolderCheckpoints, tmp_path: Path
) -> None:
    spec, steps = make_spec(), Steps()
    StudyWorker(store, spec, StopFlag(), checkpoints=checkpoints, on_step=steps).run()
    records = store.trials(spec.key("adam"))
    check(spec, records)
    promoted = [r for r in records if r.cause is Cause.PROMOTED]
    assert len(promoted) >= 4
    assert steps.made == 3 * in_epochs(records)
    # What the attempts that were promoted have cost is counted with those that continue them.
    assert {r.cost.seconds for r in promoted} == {0.0}
    ends = {r.seed: len(r.curve.steps) - 1 for r in records if r.counts}
    assert set(ends.values()) == set(EPOCHS)
    assert [path for path in (tmp_path / "kept").rglob("*") if path.is_file()] == []


def test_stopped_worker_loses_no_epoch_and_no_trial(
    store: Store, checkpoints: FolderCheckpoints
) -> None:
    spec, steps = make_spec(), Steps()
    for after in itertools.count(5, 9):
        flag = StopFlag()

        def on_step(lease: Lease, step: int, of: int, flag=flag, after=after) -> None:  # type: ignore[no-untyped-def]
            steps(lease, step, of)
            if steps.made == after:
                flag._event.set()

        worker = StudyWorker(store, spec, flag, checkpoints=checkpoints, on_step=on_step)
        if not worker.run().interrupted:
            break
    records = store.trials(spec.key("adam"))
    check(spec, records)
    released = sum(r.cause is Cause.RELEASED for r in records)
    assert released >= 4
    # The step at which the signal comes is looked up from before it is made.
    assert steps.made == 3 * in_epochs(records) + released


def test_a_promoted_run_that_fails_is_retried_from_where_it_was_paused(
    store: Store, checkpoints: FolderCheckpoints, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    spec, steps, failed = make_spec(trials=2, retries={"exception": 1}), Steps(), []

    def on_step(lease: Lease, step: int, of: int) -> None:
        if lease.promotions and not failed:
            failed.append(lease)
            raise OSError("once")
        steps(lease, step, of)

    StudyWorker(store, spec, StopFlag(), checkpoints=checkpoints, on_step=on_step).run()
    records = store.trials(spec.key("adam"))
    assert [r.cause for r in records if r.lost] == [Cause.PROMOTED, Cause.EXCEPTION]
    assert sum(r.counts for r in records) == 2
    assert steps.made == 3 * in_epochs(records) == 3 * (1 + 2)
    assert "trained again" not in caplog.text
    assert [path for path in (tmp_path / "kept").rglob("*") if path.is_file()] == []


def test_lanes_pause_and_continue_too(
    store: Store, checkpoints: FolderCheckpoints, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Objective, "width", lambda self, stage, bound: bound)
    spec = make_spec(batch=2)
    StudyWorker(store, spec, StopFlag(), checkpoints=checkpoints).run()
    records = store.trials(spec.key("adam"))
    check(spec, records, approx=lambda numbers: pytest.approx(numbers, rel=1e-4))
    assert sum(r.cause is Cause.PROMOTED for r in records) >= 3


def test_missing_checkpoint_is_logged_and_the_run_restarts(
    store: Store, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """As on another machine, with a place of its own."""
    spec, steps = make_spec(trials=2), Steps()
    mine, theirs = (FolderCheckpoints(tmp_path / name) for name in ("mine", "theirs"))
    told = []

    def first_two(summary: Any) -> None:
        told.append(summary)
        if len(told) == 2:
            flag._event.set()

    flag = StopFlag()
    StudyWorker(store, spec, flag, first_two, mine, steps).run()
    StudyWorker(store, spec, StopFlag(), checkpoints=theirs, on_step=steps).run()
    assert "was promoted, and its checkpoint is not in" in caplog.text
    records = store.trials(spec.key("adam"))
    assert [r.curve.steps[-1] for r in records] == [1, 1, 2]
    assert steps.made == 3 * (1 + 1 + 2)


def test_resume_needs_checkpoint_storage(store: Store) -> None:
    with pytest.raises(CheckpointError, match=r"resume = true: trials continue from their check"):
        StudyWorker(store, make_spec(), StopFlag())


@pytest.mark.slow
def test_worker_is_killed_repeatedly(tmp_path: Path) -> None:
    """SIGKILL at any place: every trial that was promoted to its end is a whole run."""
    spec = make_spec(trials=16)
    file, url = tmp_path / "study.toml", f"sqlite:///{tmp_path}/a.db"
    optimizers = "[optimizers.adam.space]\nlr = { low = 1e-3, high = 0.1, log = true }\n"
    file.write_text(
        'name = "paused"\ntask = { name = "digits", hidden = 4, batch_size = 512 }\n'
        f'budget = {{ trials = 16, steps = {EPOCHS[-1]} }}\nsampler = {{ name = "random" }}\n'
        'confirmation = { runs = 0 }\ntraining = { schedule = { name = "cosine" } }\n'
        'pruning = { kind = "successive_halving", reduction = 2, resume = true }\n'
        f"checkpoints = {{ every = 0.001 }}\n{optimizers}"
    )
    command = [sys.executable, "-m", "ecd_tune", "worker", str(file), "--storage", url]
    command += ["--checkpoints", str(tmp_path / "kept")]
    with Store.open(url) as store:
        store.create(spec)
        for target in (2, 6, 11):
            process = subprocess.Popen(command, stderr=subprocess.DEVNULL)
            while store.progress("paused")[0].finished < target and process.poll() is None:
                time.sleep(0.02)
            time.sleep(0.005 * target)  # anywhere in the next trials
            process.kill()
            process.wait()
        subprocess.run(command, check=True, stderr=subprocess.DEVNULL)
        records = store.trials(spec.key("adam"))
        check(spec, records)
        assert sum(r.cause is Cause.KILLED for r in records) == 3
        assert store.progress("paused")[0].finished == 16
