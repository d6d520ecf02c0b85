"""Several searches of an optimizer, and the selection, on a real store."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from ecd_tune.analysis import choose_trial, rank_trials
from ecd_tune.cli.collect import fetch_trials
from ecd_tune.errors import StudyNotFoundError
from ecd_tune.objective import Objective
from ecd_tune.records import Direction, Stage
from ecd_tune.report import build_report, render_markdown
from ecd_tune.signals import StopFlag
from ecd_tune.spec import StudySpec, parse_study
from ecd_tune.store import Store
from ecd_tune.worker import StudyWorker
from ecd_tune.worker.remaining_work import RemainingWork, study_complete
from ecd_tune.worker.warm_start import first_items

TABLE: dict[str, Any] = {
    "name": "small",
    "task": {"name": "zakharov", "n": 3, "start": "uniform"},
    "budget": {"trials": 5, "steps": 8, "batch": 5},
    "confirmation": {"runs": 2},
    "optimizers": {
        "adam": {"space": {"lr": {"low": 1e-3, "high": 1, "log": True}}},
        "sgd": {"space": {"lr": {"low": 1e-7, "high": 1e-4, "log": True}}},
    },
}


def make(**changes: Any) -> StudySpec:
    return parse_study({**TABLE, **changes})


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    with Store.open(f"sqlite:///{tmp_path / 'a.db'}") as store:
        yield store


def test_each_search_has_its_own_trials_seeds_and_confirmation(store: Store) -> None:
    spec = make(search={"repeats": 3})
    StudyWorker(store, spec, StopFlag()).run()
    search = {key: store.trials(spec.key(key)) for key in spec.searches("adam")}
    assert list(search) == ["adam", "adam#2", "adam#3"]
    assert [len(trials) for trials in search.values()] == [5, 5, 5]
    seeds = [r.seed for trials in search.values() for r in trials]
    drawn = [r.params["lr"] for trials in search.values() for r in trials]
    assert len(set(seeds)) == len(set(drawn)) == 15
    for key, trials in search.items():
        runs = store.trials(spec.key(key, Stage.CONFIRM))
        best = rank_trials(trials, Direction.MINIMIZE)[0]
        assert [r.params for r in runs] == [best.params] * 2
        other = store.trials(spec.key(key.replace("adam", "sgd"), Stage.CONFIRM))
        assert [r.seed for r in runs] == [r.seed for r in other]
        assert not {r.seed for r in runs} & set(seeds)
        seeds += [r.seed or 0 for r in runs]


def test_adding_searches_keeps_the_first(store: Store) -> None:
    once = make()
    StudyWorker(store, once, StopFlag()).run()
    first = [(r.params, r.value, r.seed) for r in store.trials(once.key("adam"))]
    twice = make(search={"repeats": 2})
    summary = StudyWorker(store, twice, StopFlag()).run()
    assert summary.told == 2 * (5 + 2)  # those of the second searches alone
    assert [(r.params, r.value, r.seed) for r in store.trials(once.key("adam"))] == first


def test_the_report_compares_searches(store: Store) -> None:
    spec = make(search={"repeats": 3})
    StudyWorker(store, spec, StopFlag()).run()
    trials = fetch_trials(store, spec)
    report = build_report(spec, trials)
    adam = next(row for row in report.results if row.optimizer == "adam")
    assert [own.number for own in adam.searches] == [1, 2, 3]
    assert (adam.planned, len(adam.confirmed.runs)) == (6, 6)
    pair = next(row for row in report.comparisons if row.family == "optimizers")
    assert (pair.result.searches, pair.result.pairs) == (3, 6)
    best = next(entry for entry in report.best if entry.optimizer == "adam")
    everything = [r for key in spec.searches("adam") for r in trials[spec.key(key)]]
    assert best.value == min(r.value for r in everything if r.value is not None)
    assert trials[spec.key(spec.searches("adam")[best.search - 1])][best.trial].value == best.value
    text = render_markdown(report)
    assert "Search by search" in text
    assert "(3 searches of each, 6 random starts in total" in text
    assert "searched once" not in text
    assert len(report.progress) == 6
    assert len(report.confirmations) == 12


def test_the_best_trials_run_again_and_their_mean_decides(store: Store) -> None:
    spec = make(selection={"top": 3, "runs": 2})
    StudyWorker(store, spec, StopFlag()).run()
    search = store.trials(spec.key("adam"))
    runs = store.trials(spec.key("adam", Stage.SELECT))
    best = rank_trials(search, Direction.MINIMIZE)[:3]
    assert [r.params for r in runs] == [t.params for t in best for _ in range(2)]
    assert [r.source for r in runs[::2]] == [f"trial {t.number}" for t in best]
    assert {r.seed for r in runs} == {spec.select_seed(0), spec.select_seed(1)}
    chosen = choose_trial(search, runs, 3, 2, Direction.MINIMIZE)
    assert chosen is not None
    confirmed = store.trials(spec.key("adam", Stage.CONFIRM))
    assert [r.params for r in confirmed] == [chosen.record.params] * 2
    report = build_report(spec, fetch_trials(store, spec))
    assert report.best[0].selected == chosen.selected
    costs = [row for row in report.cost.rows if row.stage is Stage.SELECT and row.optimizer]
    assert [row.trials for row in costs] == [6, 6]
    text = render_markdown(report)
    assert "Mean of the selection runs" in text
    assert "| selection | 6 |" in text


def test_nothing_is_confirmed_before_the_selection_is_complete(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    spec = make(selection={"top": 2, "runs": 2})
    flag, evaluate, stages = StopFlag(), Objective.evaluate, []

    def interrupted(self: Objective, requests: Any, **rest: Any) -> Any:
        seeds = {request.seed for request in requests}
        if seeds & {spec.select_seed(run) for run in range(2)}:
            flag._event.set()
        return evaluate(self, requests, **rest)

    monkeypatch.setattr(Objective, "evaluate", interrupted)
    StudyWorker(store, spec, flag).run()
    stages = [p.key.stage for p in store.progress("small") if p.waiting or p.finished]
    assert Stage.SELECT in stages
    assert Stage.CONFIRM not in stages
    report = build_report(spec, fetch_trials(store, spec))
    (text,) = [text for text in report.warnings if "The selection of " in text]
    assert "Adam" in text.partition(" is incomplete")[0]

    monkeypatch.undo()
    StudyWorker(store, spec, StopFlag()).run()
    runs = store.trials(spec.key("adam", Stage.SELECT))
    assert sum(r.counts for r in runs) == 4
    assert sum(r.lost for r in runs) == 4  # running trials, each re-queued once
    assert len(store.trials(spec.key("adam", Stage.CONFIRM))) == 2


def test_finished_search_is_selected_from_first(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Between two looks of this worker another one tells the last trial of the search."""
    StudyWorker(store, make(confirmation={"runs": 0}), StopFlag()).run()
    looks = iter([False, False])  # before it asks for a trial, and for a run of the selection

    def searched(self: RemainingWork, optimizer: str) -> bool:
        return optimizer != "adam" or next(looks, True)

    monkeypatch.setattr(RemainingWork, "searched", searched)
    spec = make(selection={"top": 3, "runs": 2})
    StudyWorker(store, spec, StopFlag()).run()
    search, runs, confirmed = (store.trials(spec.key("adam", stage)) for stage in spec.stages)
    chosen = choose_trial(search, runs, 3, 2, Direction.MINIMIZE)
    assert chosen is not None
    assert [r.params for r in confirmed] == [chosen.record.params] * 2
    assert confirmed[0].started is not None
    assert all(r.completed and r.completed <= confirmed[0].started for r in runs)


def test_a_selection_of_one_trial_is_none(store: Store) -> None:
    spec = make(selection={"top": 1})
    StudyWorker(store, spec, StopFlag()).run()
    assert store.trials(spec.key("adam", Stage.SELECT)) == []
    assert len(store.trials(spec.key("adam", Stage.CONFIRM))) == 2


class TestWarmStart:
    def test_warm_start_trials_come_first_and_name_their_source(self, store: Store) -> None:
        source = make(name="source", search={"repeats": 2})
        StudyWorker(store, source, StopFlag()).run()
        found = [r for key in source.searches("adam") for r in store.trials(source.key(key))]
        best = rank_trials(found, Direction.MINIMIZE)[:2]
        adam = {**TABLE["optimizers"]["adam"], "first": [{"label": "mine", "params": {"lr": 0.5}}]}
        optimizers = {"adam": adam, "gdm": {"space": {"lr": [0.1, 0.2]}}}
        spec = make(optimizers=optimizers, search={"from_study": "source", "from_best": 2})
        StudyWorker(store, spec, StopFlag()).run()
        StudyWorker(store, spec, StopFlag()).run()
        trials = store.trials(spec.key("adam"))
        assert [r.params for r in trials[:3]] == [*(r.params for r in best), {"lr": 0.5}]
        origins = [f"{r.key.name} #{r.number}" for r in best]
        assert [r.source for r in trials] == [*origins, "mine", "sampler", "sampler"]
        assert [r.seed for r in trials] == [spec.search_seed(n) for n in range(5)]
        # What is fixed anyway is not run twice.
        mine = [{"label": "mine", "params": dict(best[1].params)}]
        adam = {**TABLE["optimizers"]["adam"], "first": mine}
        same = make(name="same", optimizers={"adam": adam}, search={"from_study": "source"})
        items = first_items(store, same, "adam")
        assert [item.label for item in items] == ["first:from:0", "first:from:1", "first:from:2"]
        # An optimizer that the other study does not have begins as ever.
        assert {r.source for r in store.trials(spec.key("gdm"))} == {"sampler"}

    def test_warm_start_skips_unsupported_hyperparameters(self, store: Store) -> None:
        source = make(
            name="source",
            optimizers={"one": {"optimizer": "adam", "space": {"lr": 0.1, "beta1": 0.5}}},
            budget={"trials": 1, "steps": 3},
        )
        StudyWorker(store, source, StopFlag()).run()
        table = {"one": {"optimizer": "gdm", "space": {"lr": [1e-7, 1e-6]}}}
        spec = make(optimizers=table, search={"from_study": "source"})
        StudyWorker(store, spec, StopFlag()).run()
        assert {r.source for r in store.trials(spec.key("one"))} == {"sampler"}

    def test_missing_study_is_named(self, store: Store) -> None:
        spec = make(search={"from_study": "nowhere"})
        with pytest.raises(StudyNotFoundError, match=r"from_study = 'nowhere'.*known: small"):
            StudyWorker(store, spec, StopFlag()).run()


@pytest.mark.parametrize(
    "changes",
    [{}, {"search": {"repeats": 2}}, {"selection": {"top": 2, "runs": 2}}],
    ids=["one", "searches", "selection"],
)
def test_complete_means_that_every_stage_of_every_search_has_ended(
    store: Store, changes: dict[str, Any]
) -> None:
    spec = make(**changes)
    store.create(spec)
    assert not study_complete(store, spec)
    StudyWorker(store, spec, StopFlag()).run()
    assert study_complete(store, spec)
    assert not study_complete(store, make(**changes, confirmation={"runs": 3}))
    one_more = {"search": {"repeats": changes.get("search", {}).get("repeats", 1) + 1}}
    with pytest.raises(StudyNotFoundError):  # `run` takes that as a study that is not complete
        study_complete(store, make(**{**changes, **one_more}))
