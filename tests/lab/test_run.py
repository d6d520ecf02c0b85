"""The list of checks of exact systems, and running them."""

from __future__ import annotations

import pytest

from ecd_tune import registry
from ecd_tune.analysis.checks import Check, Finding, Relation, Subject, Verdict
from ecd_tune.errors import UnknownNameError
from ecd_tune.lab import run_systems, system_checks


def own(check_id, subject):
    """Return another package's check."""
    found = Finding("", "mean", 1.0, 1.0, 0.9, 1.1, Verdict.SUPPORTED, 10)
    return Check(check_id, Relation("gaps fall", "my notes"), "", lambda data: [found], subject)


def test_all_relations_are_checked_and_controlled():
    checks = system_checks()
    assert [check.id for check in checks] == [
        *(f"C{i:02}" for i in range(1, 24)),
        *(f"N{i:02}" for i in range(1, 16)),
    ]
    for check in checks:
        control = check.id.startswith("N")
        assert check.expects is (Verdict.REFUTED if control else Verdict.SUPPORTED)
        assert check.relation.source
        assert check.rule
        assert check.family


def test_unknown_checks_are_named():
    with pytest.raises(UnknownNameError, match=r"unknown check of exact systems 'C24'.*C23"):
        system_checks(["C24"])


def test_a_check_that_is_named_twice_runs_once():
    assert [check.id for check in system_checks(["N01", "C02", "N01"])] == ["C02", "N01"]


def test_checks_of_other_packages_are_registered(monkeypatch):
    mine = {"MINE": own("MINE", Subject.SYSTEMS), "STORED": own("STORED", Subject.STUDY)}

    class Entry:
        dist, module = None, "mine"

        def __init__(self, name):
            self.name = name

        def load(self):
            return mine[self.name]

    monkeypatch.setattr(
        registry,
        "entry_points",
        lambda group: map(Entry, mine) if group == "ecd_tune.checks" else [],
    )
    assert system_checks(["C01", "MINE"])[1] is mine["MINE"]
    with pytest.raises(UnknownNameError, match="unknown check of exact systems 'STORED'"):
        system_checks(["C01", "STORED"])


def test_results_do_not_depend_on_the_number_of_processes():
    checks = system_checks(["C03", "N02", "C13"])
    alone = {result.id: result for result in run_systems(checks, 3)}
    together = {result.id: result for result in run_systems(checks, 3, 2)}
    assert together == alone
    assert set(alone) == {"C03", "N02", "C13"}
