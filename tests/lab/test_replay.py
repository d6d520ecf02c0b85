"""Searches on a model of a finished study."""

from __future__ import annotations

import json
import math
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from typer.testing import CliRunner

from ecd_tune.analysis.surrogate import fit_surrogate
from ecd_tune.cli.main import app
from ecd_tune.errors import NoResultError
from ecd_tune.lab.replay import replay_search
from ecd_tune.records import Cause, Outcome, RunCost, Status, TrialRecord, TrialState
from ecd_tune.spec import SamplerSpec, StudySpec, parse_study
from ecd_tune.store import Store, Worker

TABLE = {
    "name": "table",
    "task": {"name": "zakharov"},
    "budget": {"trials": 60, "steps": 1},
    "sampler": {"name": "random"},
    "optimizers": {
        "adam": {
            "space": {
                "lr": {"low": 1e-4, "high": 1.0, "log": True},
                "beta1": {"low": 0.0, "high": 0.9},
            }
        }
    },
}
SECONDS = 2.0


def worth(params) -> float:
    """A bowl in log10(lr) around 1e-2; the other hyperparameter says nothing."""
    return (math.log10(float(params["lr"])) + 2) ** 2


def study() -> tuple[StudySpec, list[TrialRecord]]:
    spec = parse_study(TABLE)
    space, rng = spec.optimizers["adam"].space, np.random.default_rng(0)
    records = []
    for number in range(60):
        params = space.draw(rng)
        records.append(
            TrialRecord(
                spec.key("adam"),
                number,
                TrialState.COMPLETE,
                worth(params),
                params,
                cost=RunCost(SECONDS),
                cause=Cause.COMPLETE,
            )
        )
    return spec, records


def test_model_separates_good_from_bad_points() -> None:
    spec, records = study()
    model = fit_surrogate(spec, "adam", records)
    assert model.agreement > 0.9
    good, bad = {"lr": 1e-2, "beta1": 0.5}, {"lr": 0.9, "beta1": 0.5}
    assert model.look_up(good)[0] < 0.1 < 0.8 < model.look_up(bad)[0]


def test_trials_outside_the_space_are_used() -> None:
    spec, records = study()
    fixed = [replace(records[0], params={"lr": "auto", "beta1": 0.5}),
             replace(records[1], params={"lr": 3.0})]  # fmt: skip
    model = fit_surrogate(spec, "adam", [*records, *fixed])
    assert model.points[-2:, 0].tolist() == [-1.0, -1.0]
    assert model.points[-1, 1] == -1.0
    assert ((model.points[:60] >= 0) & (model.points[:60] <= 1)).all()


def test_model_of_noise_reports_low_agreement() -> None:
    spec, records = study()
    rng = np.random.default_rng(1)
    values = rng.permutation([record.value for record in records])
    shuffled = [
        TrialRecord(r.key, r.number, r.state, float(v), r.params, cause=r.cause)
        for r, v in zip(records, values, strict=True)
    ]
    assert fit_surrogate(spec, "adam", shuffled).agreement < 0.4


def test_too_few_trials_or_equal_ones_are_refused() -> None:
    spec, records = study()
    with pytest.raises(NoResultError, match="at least 30"):
        fit_surrogate(spec, "adam", records[:29])
    equal = [TrialRecord(r.key, r.number, r.state, 1.0, r.params, cause=r.cause) for r in records]
    with pytest.raises(NoResultError, match="same value"):
        fit_surrogate(spec, "adam", equal)


@pytest.mark.parametrize("workers", [1, 4])
def test_replayed_search_keeps_budget_and_worker_clock(workers: int) -> None:
    spec, records = study()
    model = fit_surrogate(spec, "adam", records)
    search = replay_search(spec, "adam", model, SamplerSpec(name="tpe"), 3, 24, workers)
    assert len(search.best) == 24
    assert list(search.best) == sorted(search.best, reverse=True)
    # Each trial takes two seconds, on each worker one after the other.
    assert search.seconds == tuple(SECONDS * (1 + i // workers) for i in range(24))
    again = replay_search(spec, "adam", model, SamplerSpec(name="tpe"), 3, 24, workers)
    assert again == search
    other = replay_search(spec, "adam", model, SamplerSpec(name="tpe"), 4, 24, workers)
    assert other != search


@pytest.mark.parametrize("own", ["random", "tpe"])
def test_the_command_compares_samplers_on_a_stored_study(tmp_path: Path, own: str) -> None:
    # Of the study's own sampler the options count: this one only draws at random.
    sampler = {"name": own, **({"n_startup_trials": 60} if own == "tpe" else {})}
    table = "\n".join(f"{key} = {json.dumps(value)}" for key, value in sampler.items())
    file = tmp_path / "table.toml"
    file.write_text(
        f"""
name = "table"
[task]
name = "zakharov"
[budget]
trials = 60
steps = 1
[sampler]
{table}
[optimizers.adam.space]
lr = {{ low = 1e-4, high = 1.0, log = true }}
beta1 = {{ low = 0.0, high = 0.9 }}
"""
    )
    spec, url = parse_study({**TABLE, "sampler": sampler}), f"sqlite:///{tmp_path}/a.db"
    with Store.open(url) as store:
        store.create(spec)
        leases = store.ask(spec, "adam", count=60, worker=Worker.current())
        results = [
            (lease, Outcome(Status.COMPLETE, worth(lease.request.params))) for lease in leases
        ]
        assert all(store.tell(results))
    arguments = ["replay", str(file), "--storage", url, "--repeats", "4", "--trials", "30"]
    found = CliRunner().invoke(app, [*arguments, "--json"])
    assert found.exit_code == 0, found.output
    random, tpe = json.loads(found.output)
    assert (random["sampler"], tpe["sampler"]) == ("random", "tpe")
    if own == "tpe":
        assert {**tpe, "sampler": "random"} == random
    else:
        assert tpe["median"] < random["median"]
    assert random["agreement"] == tpe["agreement"] > 0.9
    refused = CliRunner().invoke(app, [*arguments, "--sampler", "grid"])
    assert "known: cmaes, gp, qmc, random, tpe" in str(refused.exception)
