"""Checks as objects: verdicts of several cases, JSON, and the registry with users' own."""

from __future__ import annotations

import json
import math

import pytest

from ecd_tune import registry
from ecd_tune.analysis.checks import (
    CHECKS,
    Check,
    Finding,
    Relation,
    Subject,
    Verdict,
)
from ecd_tune.analysis.checks.model import combine

S, R, Q = Verdict.SUPPORTED, Verdict.REFUTED, Verdict.INCONCLUSIVE


def finding(verdict, measured=1.0):
    return Finding("n=1", "mean", 1.0, measured, 0.9, 1.1, verdict, 10)


def gaps_fall(trials):
    """A study check: its data are the records."""
    return [finding(S if sorted(trials, reverse=True) == trials else R)]


OWN = Check(
    "MINE",
    Relation("gaps fall", "my notes"),
    "sorted",
    gaps_fall,
    subject=Subject.STUDY,
    expects=S,
)


@pytest.mark.parametrize(
    ("verdicts", "whole"),
    [([S, S], S), ([S, Q], Q), ([S, R], R), ([Q, R], R), ([Q], Q), ([], Q)],
)
def test_combine(verdicts, whole):
    assert combine(verdicts) is whole


def test_check_accepts_any_data():
    good, bad = OWN.run([3, 2, 1]), OWN.run([1, 2, 3])
    assert (good.verdict, good.as_expected) == (S, True)
    assert (bad.verdict, bad.as_expected) == (R, False)
    control = Check("N", OWN.relation, "", lambda data: [finding(R)], expects=R)
    assert control.run(None).as_expected


def test_results_are_json_even_with_nonfinite_numbers():
    check = Check("X", OWN.relation, "rule", lambda data: [finding(Q, math.nan)])
    plain = json.loads(json.dumps(check.run(None).to_json(), allow_nan=False))
    assert plain["verdict"] == "inconclusive"
    assert plain["expects"] == "supported"
    assert not plain["as_expected"]
    assert plain["findings"][0]["measured"] == "nan"


def test_predictions_are_formatted():
    assert finding(S).prediction == "1"
    assert finding(S).interval == "[0.9, 1.1]"
    bound = Finding("", "", 0.25, 0.1, None, None, S, 5, sense="≤")
    assert (bound.prediction, bound.interval) == ("≤ 0.25", "")


def test_each_check_of_studies_has_a_relation_and_a_rule():
    assert {check.id for check in CHECKS} == {f"S{i}" for i in range(1, 13)}
    for check in CHECKS:
        assert check.expects is S
        assert check.is_for_studies
        assert check.relation.source
        assert check.rule


def test_checks_of_other_packages_are_registered(monkeypatch):
    class Entry:
        name, dist, module = "MINE", None, "mine"

        def load(self):
            return OWN

    def entries(group):
        return [Entry()] if group == "ecd_tune.checks" else []

    monkeypatch.setattr(registry, "entry_points", entries)
    assert CHECKS.get("MINE") is OWN
    assert "MINE" in CHECKS.names()
