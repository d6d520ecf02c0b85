"""docs/report-fields.md names every field of the exports, and no other."""

import csv
import io
import re
from pathlib import Path

import pytest

from ecd_tune.report import render_csv
from ecd_tune.report.render.data.csv_files import CONFIRMATION_FIELDS, TRIAL_FIELDS
from ecd_tune.report.render.data.json_file import report_to_dict

PAGE = Path(__file__).parents[2] / "docs" / "report-fields.md"
NAMED = {"trials.curves", "confirmations.curves"}
FREE = {
    "params",
    "step_seconds",
    "facts",
    "sources",
    "fingerprints",
    "environment",
    "metrics",
    "excluded",
}
SHARED = {
    "results.summary": "summary",
    "results.reached": "summary",
    "results.final": "summary",
    "results.single": "summary",
    "trials": "trial",
    "confirmations": "trial",
    "trials.curves.": "trial.curves",
    "confirmations.curves.": "trial.curves",
}


def sections():
    parts = re.split(r"^#{2,3} (.+)$", PAGE.read_text(encoding="utf-8"), flags=re.M)
    return {
        title: re.findall(r"^\| `([^`]+)` \|", body, flags=re.M)
        for title, body in zip(parts[1::2], parts[2::2], strict=True)
    }


def objects(value, path=""):
    """Every object of the JSON with the page's name for it."""
    if isinstance(value, list):
        for item in value:
            yield from objects(item, path)
    elif isinstance(value, dict) and path in NAMED:
        yield from objects(list(value.values()), f"{path}.")
    elif isinstance(value, dict):
        last = path.rpartition(".")[2]
        name = "interval" if last.endswith("_interval") else SHARED.get(path, path)
        yield name or "report.json", set(value)
        for field, item in value.items():
            if not (field in FREE and isinstance(item, dict)):
                yield from objects(item, f"{path}.{field}" if path else field)


@pytest.mark.parametrize("study", ["zakharov", "digits", "searched"])
def test_json_fields(study, request):
    page = sections()
    for name, fields in objects(report_to_dict(request.getfixturevalue(study), full=True)):
        assert fields == set(page[name]), name


def test_page_has_no_section_that_the_json_lacks(zakharov, searched):
    reports = [report_to_dict(report, full=True) for report in (zakharov, searched)]
    found = {name for report in reports for name, _ in objects(report)}
    assert found == set(sections()) - {"trials.csv", "confirmation.csv", "curves.csv"}


def test_csv_fields(zakharov):
    page = sections()
    headers = {
        name: next(csv.reader(io.StringIO(text))) for name, text in render_csv(zakharov).items()
    }
    assert headers["curves.csv"] == page["curves.csv"]
    assert page["trials.csv"] == [*TRIAL_FIELDS, "param.NAME", "metric.NAME"]
    assert page["confirmation.csv"] == [f for f in CONFIRMATION_FIELDS if f not in TRIAL_FIELDS]
    for name, fixed in (("trials.csv", TRIAL_FIELDS), ("confirmation.csv", CONFIRMATION_FIELDS)):
        free = headers[name][len(fixed) :]
        assert headers[name][: len(fixed)] == list(fixed)
        assert all(field.startswith(("param.", "metric.")) for field in free)
