"""The worker's loop on a real SQLite store and real, short trials."""

from __future__ import annotations

import os
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from ecd_tune.errors import StorageReplacedError, TaskError
from ecd_tune.objective import Interrupted, Objective
from ecd_tune.records import Stage
from ecd_tune.report import build_report, render_markdown
from ecd_tune.signals import StopFlag
from ecd_tune.spec import CostSpec, SamplerSpec, StudySpec, parse_study
from ecd_tune.store import Store
from ecd_tune.worker import StudyWorker, WorkerSummary
from ecd_tune.worker.confirmation import confirmation_items


@pytest.fixture
def spec() -> StudySpec:
    return parse_study(
        {
            "name": "small",
            "task": {"name": "zakharov", "n": 3},
            "budget": {"trials": 9, "steps": 8, "batch": 4},
            "sampler": {"name": "tpe"},
            "confirmation": {"runs": 3, "task": {"start": "uniform"}},
            "optimizers": {
                "ecdsep": {
                    "space": {"lr": {"low": 0.1, "high": 1}, "eta": {"low": 1, "high": 3}},
                    "references": [{"label": "paper", "params": {"lr": 0.4, "eta": 1.0}}],
                },
                "adam": {"space": {"lr": {"low": 1e-3, "high": 1, "log": True}}},
            },
        }
    )


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    with Store.open(f"sqlite:///{tmp_path / 'a.db'}") as store:
        yield store


def test_search_and_confirmation_are_completed(spec: StudySpec, store: Store) -> None:
    summary = StudyWorker(store, spec, StopFlag()).run()
    assert summary == WorkerSummary(told=9 + 9 + 6 + 3)
    for optimizer, runs in (("ecdsep", 6), ("adam", 3)):
        search = store.trials(spec.key(optimizer))
        confirm = store.trials(spec.key(optimizer, Stage.CONFIRM))
        assert len(search) == 9
        assert len(confirm) == runs
        assert {r.seed for r in confirm} == {spec.confirm_seed(run) for run in range(3)}
        best = min(search, key=lambda r: r.value if r.value is not None else 1e300)
        assert [r.params for r in confirm if r.source == "best"] == [best.params] * 3


def test_confirmation_sees_the_confirmation_task(spec: StudySpec, store: Store) -> None:
    StudyWorker(store, spec, StopFlag()).run()
    starts = {r.metrics["start"] for r in store.trials(spec.key("adam", Stage.CONFIRM))}
    assert len(starts) == 3  # a start of its own for each seed
    searched = {r.metrics["start"] for r in store.trials(spec.key("adam"))}
    assert len(searched) == 1


def test_one_worker_and_a_seed_give_the_same_study_bit_by_bit(
    spec: StudySpec, tmp_path: Path
) -> None:
    found = []
    for name in ("one.db", "two.db"):
        with Store.open(f"sqlite:///{tmp_path / name}") as store:
            StudyWorker(store, spec, StopFlag()).run()
            keys = [spec.key(o, stage) for o in spec.optimizers for stage in spec.stages]
            found.append(
                [
                    (r.number, r.params, r.value, r.metrics, r.curve)
                    for k in keys
                    for r in store.trials(k)
                ]
            )
    assert found[0] == found[1]


def test_interrupted_trial_is_requeued(
    spec: StudySpec, store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    flag = StopFlag()
    evaluate = Objective.evaluate

    def interrupted(self: Objective, requests, *, stop, **rest):  # type: ignore[no-untyped-def]
        flag._event.set()
        return evaluate(self, requests, stop=stop, **rest)

    monkeypatch.setattr(Objective, "evaluate", interrupted)
    summary = StudyWorker(store, spec, flag).run()
    assert summary.interrupted
    assert summary.told == 0
    progress = {p.key: p for p in store.progress("small")}[spec.key("ecdsep")]
    assert (progress.waiting, progress.running, progress.lost) == (4, 0, 4)

    monkeypatch.undo()
    StudyWorker(store, spec, StopFlag()).run()
    records = store.trials(spec.key("ecdsep"))
    assert sum(r.counts for r in records) == 9
    again = [r for r in records if r.attempt == 2]
    lost = [r for r in records if r.lost]
    assert [(r.params, r.seed) for r in again] == [(r.params, r.seed) for r in lost]


def test_signal_during_the_last_tell_leaves_no_lease(spec: StudySpec, store: Store) -> None:
    """The results are told, and nothing more is leased; the next worker continues."""
    stop = StopFlag()
    blind = spec.model_copy(update={"sampler": SamplerSpec(name="random")})
    worker = StudyWorker(store, blind, stop, on_told=lambda summary: stop._event.set())
    summary = worker.run()
    assert (summary.told, summary.interrupted) == (4, True)
    assert store.events("small") == []
    progress = {p.key: p for p in store.progress("small")}[spec.key("ecdsep")]
    assert (progress.waiting, progress.running, progress.lost) == (0, 0, 0)
    StudyWorker(store, blind, StopFlag()).run()
    assert sum(record.counts for record in store.trials(spec.key("ecdsep"))) == 9


def test_a_better_search_makes_new_confirmation_runs(spec: StudySpec, store: Store) -> None:
    StudyWorker(store, spec, StopFlag()).run()
    key = spec.key("adam")
    first = confirmation_items(spec, "adam", store.trials(key))
    assert first == confirmation_items(spec, "adam", store.trials(key))
    worse = [r for r in store.trials(key) if r.number != _best_number(store, spec)]
    second = confirmation_items(spec, "adam", worse)
    assert not {item.label for item in first} & {item.label for item in second}
    assert [item.seed for item in first] == [item.seed for item in second]


def _best_number(store: Store, spec: StudySpec) -> int:
    records = [r for r in store.trials(spec.key("adam")) if r.value is not None]
    return min(records, key=lambda r: r.value or 0.0).number


def test_every_trial_carries_its_energy_and_carbon(spec: StudySpec, store: Store) -> None:
    priced = spec.model_copy(update={"cost": CostSpec(kg_per_kwh=2.0, tdp_watts=80.0)})
    StudyWorker(store, priced, StopFlag()).run()
    cores = os.cpu_count() or 1
    for stage in spec.stages:
        for record in store.trials(spec.key("ecdsep", stage)):
            cost = record.cost
            assert cost.energy_source == "TDP"
            assert cost.energy_kwh is not None
            # One thread, so at most one core's share; a thread of torch may help for a moment.
            assert 0 < cost.energy_kwh <= 2 * 80.0 / cores * cost.seconds / 3.6e6
            assert cost.carbon_kg == pytest.approx(2.0 * cost.energy_kwh)


def test_pruned_trials_of_a_search_are_stored_and_reported_as_pruned(store: Store) -> None:
    spec = parse_study(
        {
            "name": "pruned",
            "task": {"name": "digits", "hidden": 4, "batch_size": 256},
            "budget": {"trials": 12, "steps": 4},
            "sampler": {"name": "random"},
            "pruning": {"kind": "median", "startup_trials": 2},
            "confirmation": {"runs": 2},
            "optimizers": {
                "adam": {"space": {"lr": {"low": 1e-5, "high": 0.1, "log": True}}},
            },
        }
    )
    StudyWorker(store, spec, StopFlag()).run()
    key = spec.key("adam")
    search, confirm = store.trials(key), store.trials(spec.key("adam", Stage.CONFIRM))
    pruned = [record for record in search if record.pruned]
    assert 0 < len(pruned) < 10
    assert all(len(record.curve.steps) < 5 for record in pruned)
    assert all(
        record.reason == f"pruned by median after epoch {record.curve.steps[-1]}"
        for record in pruned
    )
    assert not any(record.pruned for record in confirm)
    report = build_report(spec, {key: search, spec.key("adam", Stage.CONFIRM): confirm}, {})
    assert report.progress[0].counts.pruned == len(pruned)
    assert report.progress[0].counts.diverged == 0
    assert report.reasons == ()
    assert "| Pruned |" in render_markdown(report)


def test_a_file_that_is_removed_ends_a_long_trial_within_a_heartbeat(
    spec: StudySpec, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "a.db"

    def evaluate(self: Objective, requests: object, *, stop: StopFlag, **_: object) -> None:
        path.unlink(missing_ok=True)
        deadline = time.monotonic() + 60.0
        while not stop():
            assert time.monotonic() < deadline, "nobody noticed"
            time.sleep(0.01)
        raise Interrupted

    monkeypatch.setattr(Objective, "evaluate", evaluate)
    with (
        Store.open(f"sqlite:///{path}", lease_seconds=0.6) as store,
        pytest.raises(StorageReplacedError, match="removed or moved"),
    ):
        StudyWorker(store, spec, StopFlag()).run()


def test_trials_of_a_failed_worker_have_its_error(
    spec: StudySpec, store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    """In words that any database can hold: the text has a NUL and half a character."""

    def evaluate(self: Objective, requests: object, **_: object) -> None:
        raise TaskError("no data\x00\ud800")

    monkeypatch.setattr(Objective, "evaluate", evaluate)
    with pytest.raises(TaskError):
        StudyWorker(store, spec, StopFlag()).run()
    (reason,) = {record.reason for record in store.trials(spec.key("ecdsep")) if record.lost}
    assert reason == r"interrupted: its worker ended with TaskError: no data\x00\ud800"
