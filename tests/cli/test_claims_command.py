"""``ecd-tune claims``: output, checks that it runs, and errors."""

from __future__ import annotations

import json

import pytest
from typer.testing import CliRunner

from ecd_tune.cli import claims as command
from ecd_tune.cli.main import app
from ecd_tune.errors import ReportError
from ecd_tune.lab.claims import SECTIONS, needed_systems

COUNT = sum(len(section.claims) for section in SECTIONS)


def claims(*arguments):
    return CliRunner().invoke(app, ["claims", *arguments])


@pytest.fixture
def results(tmp_path):
    """Results of one check, as the program writes them."""
    file = tmp_path / "checks.json"
    arguments = ["check", "--systems", "--only", "C13", "--processes", "1", "--json"]
    printed = CliRunner().invoke(app, arguments)
    assert printed.exit_code == 0
    file.write_text(printed.stdout)
    return file


def test_prints_each_claim_with_its_verdict(results):
    found = claims("--no-run", "--results", str(results))
    assert found.exit_code == 0, found.output
    assert "  refuted: GLUE: 12 combinations for ECDSep, 18 for SGD" in found.output
    assert "  no result given: So it leaves local minima" in found.output
    assert "      besides, supported: With the speed that (11) gives" in found.output
    assert f"{COUNT} claims as printed: " in found.output
    assert found.stdout.count("no result given") > 10


def test_prints_the_page(results):
    found = claims("--no-run", "--markdown", "--results", str(results))
    assert found.stdout.startswith("# The paper's claims, one by one\n")
    assert "; checks of exact systems at seed 7." in found.stdout


def test_prints_json(results):
    entries = json.loads(claims("--no-run", "--json", "--results", str(results)).stdout)
    assert len(entries) == COUNT
    by_id = {entry["id"]: entry for entry in entries}
    assert by_id["nu-star-algebra"]["besides"]["verdict"] == "supported"
    assert len(by_id["nu-star-algebra"]["besides"]["findings"]) == 3
    assert by_id["local-basin"]["printed"]["verdict"] == "no result given"


def test_runs_the_checks_that_the_results_lack(results, monkeypatch):
    asked = []
    monkeypatch.setattr(command, "_run", lambda names, *rest: asked.append((names, *rest)) or ())
    found = claims("--results", str(results), "--seed", "11", "--processes", "1")
    expected = [name for name in needed_systems() if name != "C13"]
    assert asked == [(expected, 11, 1)]
    assert f"running {len(expected)} checks of exact systems, seed 11" in found.stderr


def test_a_check_that_is_run_decides(monkeypatch):
    (given,) = command._run(["C13"], 5, 1)
    assert (given.result.id, given.origin) == ("C13", "exact systems at seed 5")
    monkeypatch.setattr(command, "_run", lambda *_: (given,))
    entries = json.loads(claims("--json").stdout)
    (entry,) = [entry for entry in entries if entry["id"] == "nu-star-algebra"]
    assert entry["besides"]["verdict"] == "supported"
    assert entry["besides"]["origin"] == "exact systems at seed 5"


def test_files_of_another_kind_are_named(tmp_path):
    found = claims("--no-run", "--results", str(tmp_path / "none.json"))
    assert isinstance(found.exception, ReportError)
    assert "none.json" in str(found.exception)
