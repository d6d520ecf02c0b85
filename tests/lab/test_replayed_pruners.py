"""Pruners on stored curves: their cost against a manual count."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from typer.testing import CliRunner

from ecd_tune.cli.main import app
from ecd_tune.cli.replayed_pruners import PRUNERS
from ecd_tune.errors import NoResultError
from ecd_tune.lab.replayed_pruners import StoredCurve, read_curves, replay_pruner
from ecd_tune.records import METRIC, Cause, Curve, Outcome, RunCost, Status, TrialRecord, TrialState
from ecd_tune.spec import PruningSpec, StudySpec, parse_study
from ecd_tune.store import Store, Worker

EPOCHS = 9
TABLE = {
    "name": "curves",
    "task": {"name": "digits"},
    "budget": {"trials": 12, "steps": EPOCHS},
    "sampler": {"name": "random"},
    "optimizers": {"adam": {"space": {"lr": {"low": 1e-4, "high": 1.0, "log": True}}}},
}


@pytest.fixture(scope="module")
def spec() -> StudySpec:
    return parse_study(TABLE)


def line(height: float) -> Curve:
    """Parallel lines: who is ahead at one epoch is ahead at all."""
    return Curve(tuple(range(EPOCHS + 1)), tuple(height + k / 100 for k in range(EPOCHS + 1)))


def record(spec: StudySpec, number: int, height: float) -> TrialRecord:
    curve = line(height)
    return TrialRecord(
        spec.key("adam"),
        number,
        TrialState.COMPLETE,
        curve.values[-1],
        {"lr": 0.1},
        curves={METRIC: curve},
        cost=RunCost(2.0 * EPOCHS),
        cause=Cause.COMPLETE,
    )


def table(spec: StudySpec, count: int) -> list[StoredCurve]:
    return read_curves(spec, "adam", [record(spec, n, n / 100) for n in range(count)])


def test_value_is_the_share_of_better_trials(spec: StudySpec) -> None:
    curves = table(spec, 11)
    assert [curve.share for curve in curves] == [pytest.approx(1 - n / 10) for n in range(11)]
    assert {curve.seconds for curve in curves} == {2.0}


@pytest.mark.parametrize("workers", [1, 3])
def test_without_a_pruner_a_budget_buys_whole_trials(spec: StudySpec, workers: int) -> None:
    found = replay_pruner(spec, "adam", table(spec, 12), PruningSpec(), 0, 4 * EPOCHS, workers)
    assert found.epochs == 4 * EPOCHS
    assert found.complete == (4 if workers == 1 else 3)
    assert found.seconds == 4 * EPOCHS * 2.0 / workers


def test_paused_trials_cost_the_epochs_between_rungs(spec: StudySpec) -> None:
    """All come to the first rung, at least a third of them to the second, and so on."""
    pruning = PRUNERS["successive_halving+resume"]
    curves = table(spec, 12)
    found = [replay_pruner(spec, "adam", curves, pruning, seed, 1000) for seed in range(20)]
    for search in found:
        assert search.begun == 12
        # 12 at epoch 1, at least 4 of them on to epoch 3, at least one of those to the end.
        assert search.epochs >= 12 * 1 + 4 * 2 + 1 * 6
        assert (search.epochs - 12) % 2 == 0
        assert search.seconds == 2.0 * search.epochs
        assert search.complete >= 1
    # Parallel lines: the best trial is promoted wherever it comes.
    assert {search.best for search in found} == {0.0}


@settings(max_examples=25, deadline=None)
@given(
    name=st.sampled_from(sorted(PRUNERS)),
    seed=st.integers(0, 99),
    budget=st.integers(1, 120),
    workers=st.integers(1, 4),
)
def test_no_search_goes_beyond_its_budget(
    spec: StudySpec, name: str, seed: int, budget: int, workers: int
) -> None:
    curves = table(spec, 12)
    curves[3] = replace(curves[3], epochs=(0, 1, 2), values=(0.1, 0.2, 0.3), share=None)
    found = replay_pruner(spec, "adam", curves, PRUNERS[name], seed, budget, workers)
    assert found.epochs <= budget
    assert found.complete <= found.begun <= 12
    assert found.complete * EPOCHS <= found.epochs
    assert (found.best == 1.0) or found.complete
    assert found == replay_pruner(spec, "adam", curves, PRUNERS[name], seed, budget, workers)


def test_study_without_curves_is_refused(spec: StudySpec) -> None:
    records = [record(spec, n, n / 100) for n in range(12)]
    with pytest.raises(NoResultError, match="9 trials have a curve"):
        read_curves(spec, "adam", records[:9])
    pruned = replace(records[0], state=TrialState.PRUNED, cause=Cause.PRUNED)
    with pytest.raises(NoResultError, match="its trials were pruned"):
        read_curves(spec, "adam", [pruned, *records])
    counted = parse_study({**TABLE, "task": {"name": "zakharov"}})
    with pytest.raises(NoResultError, match="count iterations"):
        read_curves(counted, "adam", records)


def test_the_command(spec: StudySpec, tmp_path: Path) -> None:
    file, url = tmp_path / "curves.toml", f"sqlite:///{tmp_path}/s.db"
    file.write_text(
        'name = "curves"\ntask = { name = "digits" }\nbudget = { trials = 12, steps = 9 }\n'
        'sampler = { name = "random" }\n'
        "[optimizers.adam.space]\nlr = { low = 1e-4, high = 1.0, log = true }\n"
    )
    with Store.open(url) as store:
        store.create(spec)
        for lease in store.ask(spec, "adam", count=12, worker=Worker.current()):
            curve = line(lease.number / 100)
            outcome = Outcome(
                Status.COMPLETE, curve.values[-1], curves={METRIC: curve}, cost=RunCost(18.0)
            )
            store.tell([(lease, outcome)])
    command = ["replay", str(file), "--storage", url, "--repeats", "3"]
    ran = CliRunner().invoke(app, [*command, "--pruner", "none,hyperband+resume", "--json"])
    assert ran.exit_code == 0, ran.output
    none, resumed = json.loads(ran.stdout)
    assert (none["epochs"], none["complete"], none["budget"]) == (54, 6, 54)
    assert resumed["begun"] > none["begun"]
    shown = CliRunner().invoke(app, [*command, "--pruner", "median", "--epochs", "30"])
    assert "| adam | median | 30 |" in shown.stdout
    wrong = CliRunner().invoke(app, [*command, "--pruner", "asha"])
    assert wrong.exit_code != 0
    assert "no pruner 'asha'" in str(wrong.exception) or "unknown pruner" in str(wrong.exception)
