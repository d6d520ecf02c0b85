"""``ecd-tune check``: output, files and exit status."""

from __future__ import annotations

import json
from dataclasses import replace

import pytest
from typer.testing import CliRunner

from ecd_tune.analysis.checks import Verdict
from ecd_tune.cli.main import app
from ecd_tune.errors import UnknownNameError
from ecd_tune.lab import systems


def check(*arguments):
    return CliRunner().invoke(app, ["check", *arguments])


def test_prints_relation_prediction_measurement_interval_and_verdict():
    chosen = ("--systems", "--only", "C13, N13", "--seed", "5", "--processes", "1")
    result = check(*chosen)
    assert result.exit_code == 0, result.output
    assert "C13 supported: (26) and (27) are half" in result.output
    assert "coherent/(26) predicted 2, measured 2 [2, 2] supported" in result.output
    assert "N13 refuted" in result.output
    assert "[negative control]" in result.output
    assert "2 of 2 verdicts as expected, seed 5" in result.output
    printed = check(*chosen, "--json")
    document = json.loads(printed.stdout)
    assert "2 of 2 verdicts as expected" in printed.stderr
    assert document["seed"] == 5
    assert [entry["id"] for entry in document["results"]] == ["C13", "N13"]
    finding = document["results"][1]["findings"][0]
    assert finding["measured"] == 0
    assert finding["verdict"] == "refuted"


def test_a_verdict_that_is_not_expected_is_status_1(monkeypatch):
    wrong = replace(systems.BUILT_IN["C13"], expects=Verdict.REFUTED)
    monkeypatch.setitem(systems.BUILT_IN, "C13", wrong)
    result = check("--systems", "--only", "C13")
    assert result.exit_code == 1
    assert "C13 supported, expected refuted" in result.output
    assert "not as expected: C13" in result.output


@pytest.mark.parametrize(
    ("arguments", "error", "message"),
    [
        (["--systems", "--only", "C99"], UnknownNameError, "unknown check of exact systems 'C99'"),
    ],
)
def test_wrong_arguments_are_errors(arguments, error, message):
    result = check(*arguments)
    assert isinstance(result.exception, error)
    assert message in str(result.exception)


def test_nothing_to_check_is_a_usage_error():
    result = check()
    assert result.exit_code == 2
    assert "--systems" in result.output
