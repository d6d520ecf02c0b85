"""``ecd-tune check STUDY``: declared checks on stored trials, exit status and messages."""

from __future__ import annotations

import json

import pytest
from typer.testing import CliRunner

from ecd_tune.cli.main import app
from ecd_tune.errors import FingerprintMismatchError, UnknownNameError
from ecd_tune.lab.searches import Bowl, exact_search
from ecd_tune.records import Outcome, Status
from ecd_tune.spec import load_study
from ecd_tune.store import Store, Worker

STUDY = """
name = "bowl"
[task]
name = "zakharov"
n = 50
[budget]
trials = 30
steps = 4000
[sampler]
name = "random"
[optimizers.ecdsep.space]
lr = { low = 0.1, high = 3.2, log = true }
eta = { low = 1.25, high = 4.0 }
nu_sqrt_n = { low = 0.03, high = 1.0, log = true }
s = 0
delta_energy = 1.0
integrator = "sync"
"""
S1, S4 = '[[checks]]\nname = "S1"\nF_min = 1.0\n', '[[checks]]\nname = "S4"\n'


@pytest.fixture
def stored(tmp_path):
    """A study file with S1, run: its trials have what exact laws give for their parameters."""
    path, url = tmp_path / "bowl.toml", f"sqlite:///{tmp_path}/s.db"
    path.write_text(STUDY + S1)
    spec = load_study(path)
    with Store.open(url) as store:
        store.create(spec)
        leases = store.ask(spec, "ecdsep", count=30, worker=Worker.current())
        params = [lease.request.params for lease in leases]
        exact = exact_search(Bowl("sync", trials=30), params=params).records
        outcomes = [Outcome(Status.COMPLETE, r.value, r.metrics) for r in exact]
        store.tell(list(zip(leases, outcomes, strict=True)))
    return path, url


def check(path, url, *arguments):
    return CliRunner().invoke(app, ["check", str(path), "--storage", url, *arguments])


def test_prints_the_verdict_of_a_declared_check(stored):
    path, url = stored
    result = check(path, url)
    assert result.exit_code == 0, result.output
    assert "S1 supported: larger η lowers the reached loss" in result.output
    assert "[ECDSep; declared before the run]" in result.output
    assert (
        "slope of log gap on η, best quarter of each bin predicted < 0, measured -" in result.output
    )
    assert "1 of 1 verdicts as expected, study bowl" in result.output
    document = json.loads(check(path, url, "--json").stdout)
    assert document["study"] == "bowl"
    assert document["results"][0]["verdict"] == "supported"


def test_added_and_removed_checks_are_labelled(stored):
    path, url = stored
    path.write_text(STUDY + S4)
    result = check(path, url)
    assert result.exit_code == 1
    assert "S4 inconclusive, expected supported" in result.output
    assert "[ECDSep; declared after the run began]" in result.output
    assert "0 trials; left out: 30 integrator is sync" in result.output
    assert "[ECDSep; declared before the run, removed from the file since]" in result.output
    assert "not as expected: S4 (ECDSep)" in result.output


def test_undeclared_check_can_be_requested(stored):
    path, url = stored
    result = check(path, url, "--only", "S2")
    assert result.exit_code == 0, result.output
    assert "S2 supported" in result.output
    assert "[ECDSep; not declared before the run]" in result.output
    assert "S1" not in result.output


def test_a_study_without_checks_is_told_how_to_declare_one(tmp_path):
    path, url = tmp_path / "bowl.toml", f"sqlite:///{tmp_path}/s.db"
    path.write_text(STUDY)
    with Store.open(url) as store:
        store.create(load_study(path))
    result = check(path, url)
    assert result.exit_code == 0
    assert "Study bowl declares no checks. Declare them in [[checks]] tables" in result.output
    result = check(path, url, "--only", "S1")
    assert result.exit_code == 1
    assert "needs 20 trials, has 0" in result.output
    assert "ECDSep: 0 of 30 trials are in" in result.output


def test_wrong_arguments_are_errors(stored):
    path, url = stored
    assert isinstance(check(path, url, "--only", "C04").exception, UnknownNameError)
    assert isinstance(check(path, url, "--seed", "3").exception, FingerprintMismatchError)
    both = check(path, url, "--systems")
    assert both.exit_code == 2
    assert "a STUDY, or --systems" in both.output
