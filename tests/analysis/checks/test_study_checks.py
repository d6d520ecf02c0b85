"""Which checks are evaluated, when they were declared, and which count."""

from __future__ import annotations

from dataclasses import replace

import pytest

from ecd_tune.analysis.checks import Declared, Verdict, check_study, reservations
from ecd_tune.errors import SpecError, UnknownNameError
from ecd_tune.lab.searches import Bowl, exact_search, search_spec
from ecd_tune.spec import CheckSpec

BOWL = Bowl("sync", trials=60)
DATA = exact_search(BOWL)


def results(checks, stored=(), only=(), **tables):
    spec = search_spec(BOWL, checks=checks, **tables)
    trials = {spec.key("ecdsep"): DATA.records}
    declared = {"ecdsep": [CheckSpec(optimizer="ecdsep", **check) for check in stored]}
    return check_study(spec, trials, declared, only=only)


def labels(found):
    return [(entry.check.name, entry.declared) for entry in found]


def test_checks_are_labelled_by_time_of_declaration():
    known, other = {"name": "S1", "F_min": 1.0}, {"name": "S1", "F_min": 0.9}
    assert labels(results([known], [known])) == [("S1", Declared.BEFORE)]
    assert labels(results([known], [])) == [("S1", Declared.AFTER)]
    assert labels(results([], [known])) == [("S1", Declared.REMOVED)]
    changed = results([other], [known])
    assert labels(changed) == [("S1", Declared.AFTER), ("S1", Declared.REMOVED)]
    assert changed[1].check.options == {"F_min": 1.0}


def test_only_selects_declared_checks_and_adds_others():
    checks = [{"name": "S1", "F_min": 1.0}, {"name": "S2"}]
    assert labels(results(checks, checks, only=["S2", "S7"])) == [
        ("S2", Declared.BEFORE),
        ("S7", Declared.NEVER),
    ]


def test_a_control_is_as_expected_when_it_is_refuted():
    (entry,) = results([{"name": "S1", "expects": "refuted", "F_min": 1.0}])
    assert entry.result.expects is Verdict.REFUTED
    assert entry.result.verdict is Verdict.SUPPORTED
    assert entry.failed
    (plain,) = results([{"name": "S1", "F_min": 1.0}])
    assert not plain.failed


def test_advisory_verdicts_do_not_count():
    (entry,) = results([{"name": "S9"}])
    assert entry.result.verdict is Verdict.INCONCLUSIVE
    assert not entry.failed
    assert entry.to_json()["advisory"]


def test_other_studies_are_further_tasks():
    spec = search_spec(BOWL, checks=[{"name": "S9", "studies": ["b", "c"], "fine_tuned": ["b"]}])
    other = search_spec(BOWL, name="b")
    trials = {spec.key("ecdsep"): DATA.records}
    others = {"b": (other, {other.key("ecdsep"): DATA.records})}
    (entry,) = check_study(spec, trials, {}, others=others)
    assert "has 2" in entry.result.findings[0].note


def test_a_check_that_fits_nothing_is_named():
    with pytest.raises(SpecError, match=r"S7: no optimizer of study 'bowl' has lr, eta, nu$"):
        results([], only=["S7"], optimizers={"adam": {"space": {"lr": [0.1, 0.2]}}})
    with pytest.raises(UnknownNameError, match="unknown check of studies 'C01'"):
        results([], only=["C01"])


def test_json_has_exclusions_and_time_of_declaration():
    (entry,) = results([{"name": "S8"}], [{"name": "S8"}])
    plain = entry.to_json()
    assert plain["declared"] == "declared before the run"
    assert plain["optimizer"] == "ecdsep"
    assert plain["findings"][0]["excluded"] == {"s = 0": 60}


def test_reservations():
    spec = search_spec(BOWL, sampler={"name": "tpe"})
    found = list(reservations(spec, {spec.key("ecdsep"): DATA.records[:20]}))
    assert found[0].startswith("ECDSep: 20 of 60 trials are in")
    assert "The sampler tpe proposes trials from earlier results" in found[1]
    spec = replace(DATA).spec
    assert list(reservations(spec, {spec.key("ecdsep"): DATA.records})) == []
