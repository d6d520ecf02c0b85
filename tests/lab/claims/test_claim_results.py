"""From results of checks to verdicts on claims, and messages if results are missing."""

from __future__ import annotations

import json
import math
from dataclasses import replace

import pytest

from ecd_tune.analysis.checks.model import CheckResult, Finding, Relation, Verdict
from ecd_tune.errors import ReportError
from ecd_tune.lab.claims import (
    Decision,
    Evidence,
    RecordedResult,
    read_printed,
    read_results,
    record_results,
)
from ecd_tune.lab.claims.catalogue import evaluate_claims, needed_systems
from ecd_tune.lab.claims.model import Claim, ClaimSection
from ecd_tune.lab.claims.stating import by_formula, by_numbers, by_study, by_systems, untested

S, R, Q = Verdict.SUPPORTED, Verdict.REFUTED, Verdict.INCONCLUSIVE
PRINTED = read_printed()


def finding(verdict=S, measured=1.0):
    return Finding("n=1", "mean", 1.0, measured, 0.9, None, verdict, 10, "a note", "≤")


def result(name, *verdicts):
    found = tuple(finding(verdict) for verdict in verdicts)
    return CheckResult(name, Relation("a relation", "eq. 4"), "R", S, found)


def evaluate(statement, *given):
    return statement.evaluate(Evidence(PRINTED, tuple(given)))


@pytest.mark.parametrize(
    ("first", "second", "decision"),
    [
        ([S, S], [S], Decision.SUPPORTED),
        ([S, R], [S], Decision.REFUTED),
        ([S], [R], Decision.REFUTED),
        ([S, Q], [S], Decision.INCONCLUSIVE),
    ],
)
def test_all_checks_of_a_claim_must_hold(first, second, decision):
    claim = by_systems("it holds", "C04", "C05")
    found = evaluate(claim, *record_results([result("C04", *first), result("C05", *second)], 3))
    assert found.decision is decision
    assert len(found.findings) == len(first) + len(second)
    assert found.origin == "exact systems at seed 3"
    assert found.remark == ""


def test_without_a_result_there_is_no_verdict():
    claim = by_systems("it holds", "C04", "C05")
    found = evaluate(claim, *record_results([result("C04", S)], 3))
    assert found.decision is Decision.NO_RESULT
    assert "C05" in found.remark
    assert found.findings == ()


def test_study_check_counts_for_its_study_only():
    (given,) = record_results([result("S1", R)], 3)
    claim = by_study("it falls", "S1", "eta-scaling")
    assert evaluate(claim, given).decision is Decision.NO_RESULT
    assert evaluate(claim, replace(given, study="other")).decision is Decision.NO_RESULT
    assert evaluate(claim, replace(given, study="eta-scaling")).decision is Decision.REFUTED
    systems = by_systems("it falls", "S1")
    assert evaluate(systems, replace(given, study="eta-scaling")).decision is Decision.NO_RESULT


def test_negative_controls_and_advice_of_a_study():
    right, wrong = result("S1", S), replace(result("S1", R), expects=R)
    advised = replace(right, findings=(replace(finding(S), advisory="minibatches"),))
    claim = by_study("it falls", "S1", "eta-scaling")
    given = [
        RecordedResult(entry, "eta-scaling", "study eta-scaling")
        for entry in (right, wrong, advised)
    ]
    assert evaluate(claim, given[1]).decision is Decision.NO_RESULT
    found = evaluate(claim, *given)
    assert found.decision is Decision.SUPPORTED
    assert (found.remark, found.origin) == ("minibatches", "study eta-scaling")


def test_calculations_are_evaluated_by_their_findings():
    seen = []
    numbers = by_numbers("mean", "rule", lambda printed: seen.append(printed) or [finding(R)])
    assert evaluate(numbers).decision is Decision.REFUTED
    assert seen == [PRINTED]
    assert (
        evaluate(by_formula("ratio", "rule", lambda: [finding(S)])).decision is Decision.SUPPORTED
    )
    assert evaluate(by_formula("ratio", "rule", lambda: [])).decision is Decision.INCONCLUSIVE


def test_untested_claims_have_a_reason():
    found = evaluate(untested("a figure", "No numbers are printed."))
    assert (found.decision, found.remark) == (Decision.NOT_TESTED, "No numbers are printed.")


@pytest.mark.parametrize(("verdict", "word"), [(R, "instead"), (S, "besides"), (Q, "besides")])
def test_relation_of_the_second_statement(verdict, word):
    claim = Claim(
        "a", "eq. 1",
        by_formula("as printed", "", lambda: [finding(verdict)]),
        by_systems("as derived", "C04"),
    )  # fmt: skip
    section = ClaimSection("One", "", (claim,))
    assert needed_systems([section]) == ["C04"]
    ((_, (result,)),) = evaluate_claims(Evidence(PRINTED), [section])
    assert result.relation == word
    entry = result.to_json()
    assert entry["printed"]["verdict"] == verdict
    assert entry[word]["verdict"] == "no result given"
    json.dumps(entry, allow_nan=False)


def test_nonfinite_numbers_become_strings_in_json():
    claim = Claim("a", "eq. 1", by_formula("", "", lambda: [finding(Q, math.nan)]))
    ((_, (result,)),) = evaluate_claims(Evidence(PRINTED), [ClaimSection("One", "", (claim,))])
    (found,) = result.to_json()["printed"]["findings"]
    assert found["measured"] == "nan"


# ----------------------------------------------------------------------------- files


def write(path, results, **head):
    document = head | {"results": [entry.to_json() for entry in results]}
    path.write_text(json.dumps(document))
    return path


def test_results_file_round_trip(tmp_path):
    results = [result("C04", S, Q), result("C07", R)]
    given = read_results(write(tmp_path / "a.json", results, seed=11))
    assert [entry.result for entry in given] == results
    assert {(entry.study, entry.origin) for entry in given} == {("", "exact systems at seed 11")}


def test_folder_is_read_completely(tmp_path):
    for name in ("b", "a"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "report.json").write_text("no results")
    write(tmp_path / "b" / "checks.json", [result("C04", S)], seed=2)
    write(tmp_path / "a" / "checks.json", [result("C07", R)], seed=1)
    assert [entry.result.id for entry in read_results(tmp_path)] == ["C07", "C04"]
    write(tmp_path / "checks.json", [])
    with pytest.raises(ReportError, match=r"checks\.json"):
        read_results(tmp_path)


def test_nonfinite_numbers_are_read_back(tmp_path):
    odd = replace(result("C04", Q), findings=(finding(Q, math.nan), finding(Q, math.inf)))
    (given,) = read_results(write(tmp_path / "a.json", [odd], seed=1))
    first, second = given.result.findings
    assert math.isnan(first.measured)
    assert second.measured == math.inf


def test_results_of_a_study_name_it_and_the_optimizer(tmp_path):
    entry = result("S1", S).to_json() | {"optimizer": "eta-2", "declared": "before the run"}
    path = tmp_path / "a.json"
    path.write_text(json.dumps({"study": "eta-scaling", "results": [entry]}))
    (given,) = read_results(path)
    assert (given.study, given.origin) == ("eta-scaling", "study eta-scaling")
    assert given.result.findings[0].case == "eta-2, n=1"


@pytest.mark.parametrize(
    "text",
    ["", "[]", "{}", '{"results": 1}', '{"results": [{"id": "C04"}]}', "\x00", '{"results": [[]]}'],
)
def test_foreign_files_are_refused(tmp_path, text):
    path = tmp_path / "a.json"
    path.write_text(text)
    with pytest.raises(ReportError, match="ecd-tune check --systems --json") as error:
        read_results(path)
    assert str(path) in str(error.value)


def test_missing_file_is_named(tmp_path):
    with pytest.raises(ReportError, match="No such file"):
        read_results(tmp_path / "none.json")
