"""CSV, JSON, the writing of files, and the terminal's summary."""

import csv
import dataclasses
import io
import json
import math
import os
import stat
from importlib.util import find_spec

import pandas as pd
import pytest
from rich.console import Console

import ecd_tune.report as package
from ecd_tune.errors import EcdTuneError, ReportError, UnknownNameError
from ecd_tune.records import METRIC, Curve, Stage
from ecd_tune.report import (
    DEFAULT_FORMATS,
    REPORT_FORMATS,
    build_report,
    render_csv,
    render_json,
    render_summary,
    short_warnings,
    write_report,
)
from ecd_tune.report.render import files as write_module
from ecd_tune.report.render.data import parquet_files


def rows(text):
    return list(csv.DictReader(io.StringIO(text)))


@pytest.mark.parametrize("text", ["=1+1", "+1", "-x", "@SUM(A1)", "\t=1"])
def test_csv_text_is_not_a_formula(zakharov, text):
    (first, *others) = zakharov.trials
    changed = dataclasses.replace(first, params={**first.params, "kind": text}, reason=text)
    report = dataclasses.replace(zakharov, trials=(changed, *others))
    (row, *_) = rows(render_csv(report)["trials.csv"])
    assert row["param.kind"] == row["reason"] == f"'{text}"
    assert float(row["value"]) == first.value


def test_hyperparameters_read_back_exactly_from_csv(zakharov):
    found = rows(render_csv(zakharov)["trials.csv"])
    assert len(found) == len(zakharov.trials)
    for row, record in zip(found, zakharov.trials, strict=True):
        params = {n[6:]: float(v) for n, v in row.items() if n.startswith("param.") and v}
        assert params == {name: float(value) for name, value in record.params.items()}
        assert (float(row["value"]) if row["value"] else None) == record.value


def test_confirmation_marks_what_counts(zakharov):
    found = rows(render_csv(zakharov)["confirmation.csv"])
    assert {row["current"] for row in found} == {"true"}
    paper = [row for row in found if row["source"] == "paper"]
    assert sum(row["confirmed"] == "inf" for row in paper) == 5
    assert all(row["metric.final"] == "inf" for row in paper if row["state"] == "PRUNED")


def test_outdated_runs_are_in_the_table_and_marked(studies):
    spec = studies.digits_spec()
    trials = dict(studies.digits_trials(spec))
    key = spec.key("adamw")
    trials[key] = [*trials[key], studies.record(key, 6, 0.999, params={"lr": 0.05})]
    found = rows(render_csv(build_report(spec, trials, {}))["confirmation.csv"])
    assert {r["current"] for r in found if r["optimizer"] == "adamw"} == {"false"}
    assert {r["confirmed"] for r in found if r["optimizer"] == "adamw"} == {""}


def test_curves_are_the_bands(zakharov):
    frame = pd.read_csv(io.StringIO(render_csv(zakharov)["curves.csv"]))
    ours = frame[(frame.optimizer == "ecdsep") & (frame.source == "best")]
    assert tuple(ours["median"]) == zakharov.curves[0].band.median
    assert (frame.q1 <= frame["median"]).all()
    assert (frame["median"] <= frame.q3).all()


def refuse(constant):
    raise AssertionError(f"{constant} is not JSON")


def test_json_is_strict_and_infinities_are_texts(zakharov):
    data = json.loads(render_json(zakharov), parse_constant=refuse)
    assert data["schema_version"] == package.SCHEMA_VERSION == 4
    paper = data["results"][1]
    assert paper["summary"]["median"] == "Infinity"
    assert float(paper["summary"]["median"]) == math.inf
    assert not data.keys() & {"trials", "confirmations"}
    full = json.loads(render_json(zakharov, full=True), parse_constant=refuse)
    assert full["trials"][0]["params"] == dict(zakharov.trials[0].params)
    assert data == {name: full[name] for name in data}


def test_json_has_one_line_for_each_trial_and_no_space_in_it(zakharov):
    lines = render_json(zakharov, full=True).splitlines()
    found = [line for line in lines if line.startswith('{"study":') and '"curves":' in line]
    assert len(found) == len(zakharov.trials) + len(zakharov.confirmations)
    for line in found:
        trial = json.loads(line.rstrip(","))
        assert json.dumps(trial, separators=(",", ":")) == line.rstrip(",")


def test_json_has_each_curve_once(studies):
    spec = studies.zakharov_spec()
    trials = dict(studies.zakharov_trials(spec))
    key = spec.key("adam", Stage.CONFIRM)
    first = dataclasses.replace(trials[key][0], curves={METRIC: Curve((0, 1), (7.125, 0.0078125))})
    trials[key] = [first, *trials[key][1:]]
    assert render_json(build_report(spec, trials, {}), full=True).count("7.125,0.0078125") == 1


def test_json_of_nan_and_negative_infinity(zakharov):
    curve = Curve((0, 1, 2), (math.nan, -math.inf, 1.0))
    report = dataclasses.replace(
        zakharov, trials=(dataclasses.replace(zakharov.trials[0], curves={METRIC: curve}),)
    )
    data = json.loads(render_json(report, full=True), parse_constant=refuse)
    assert data["trials"][0]["curves"]["metric"]["values"] == ["NaN", "-Infinity", 1.0]


def test_all_files_are_written(zakharov, tmp_path):
    out = tmp_path / "new" / "folder"
    paths = write_report(zakharov, out)
    assert [str(path.relative_to(out)) for path in paths] == [
        "report.md",
        "figures/seeds.svg",
        "figures/curves-metric.svg",
        "figures/search-trials.svg",
        "figures/search-seconds.svg",
        "report.html",
        "trials.csv",
        "confirmation.csv",
        "curves.csv",
        "report.json",
    ]
    assert {p for p in out.rglob("*") if p.is_file()} == set(paths)
    mask = os.umask(0)
    os.umask(mask)
    assert stat.S_IMODE(paths[0].stat().st_mode) == 0o666 & ~mask


def test_parquet_without_pyarrow_names_it(zakharov, tmp_path, monkeypatch):
    monkeypatch.setattr(parquet_files, "find_spec", lambda name: None)
    with pytest.raises(ReportError, match="pip install pyarrow"):
        write_report(zakharov, tmp_path / "out", ("parquet",))
    assert not (tmp_path / "out").exists()


@pytest.mark.skipif(find_spec("pyarrow") is None, reason="pyarrow is not installed")
def test_parquet_holds_what_csv_holds(zakharov):
    files = parquet_files.render_parquet(zakharov)
    for name, text in render_csv(zakharov).items():
        found = pd.read_parquet(io.BytesIO(files[name.replace(".csv", ".parquet")]))
        pd.testing.assert_frame_equal(found, pd.read_csv(io.StringIO(text)))


def test_only_the_requested_format_is_written(zakharov, tmp_path):
    assert [path.name for path in write_report(zakharov, tmp_path, ("json",))] == ["report.json"]


def test_an_unknown_format_writes_nothing(zakharov, tmp_path):
    with pytest.raises(UnknownNameError, match="known: csv, html, json, latex, md"):
        write_report(zakharov, tmp_path / "out", ("md", "docx"))
    assert not (tmp_path / "out").exists()
    assert REPORT_FORMATS[:4] == DEFAULT_FORMATS


def test_a_folder_that_cannot_be_made_is_named(zakharov, tmp_path):
    blocked = tmp_path / "file"
    blocked.write_text("in the way")
    with pytest.raises(ReportError, match=r"file.*choose a writable folder with --out") as caught:
        write_report(zakharov, blocked / "out", ("md",))
    assert isinstance(caught.value, EcdTuneError)


def test_failure_keeps_the_old_file(zakharov, tmp_path, monkeypatch):
    (old,) = write_report(zakharov, tmp_path, ("json",))
    before = old.read_text()

    def fail(self, target):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(write_module.Path, "replace", fail)
    with pytest.raises(ReportError, match="No space left"):
        write_report(dataclasses.replace(zakharov, title="new"), tmp_path, ("json",))
    assert [path.name for path in tmp_path.iterdir()] == ["report.json"]
    assert old.read_text() == before


def printed(report, width=160):
    console = Console(width=width, record=True, file=io.StringIO())
    console.print(render_summary(report))
    return console.export_text()


def test_summary_begins_with_the_answer_and_fits_80_columns(zakharov):
    lines = printed(zakharov, width=80).splitlines()
    assert lines[0].strip() == "Zakharov, ten dimensions"
    assert lines[1].startswith("ECDSep is ahead")
    cells = [line.split() for line in lines]
    assert ["Optimizer", "Search", "Median", "Q1", "Q3", "Diverged", "Runs"] in cells
    paper = next(c for c in cells if c[:2] == ["ECDSep", "(paper)"] and len(c) == 8)
    assert paper[2:4] == ["–", "diverged"]
    assert paper[6:] == ["5", "8"]


def test_a_narrow_terminal_shows_no_quartiles_and_cuts_no_name(zakharov):
    text = printed(zakharov, width=60)
    assert all(row.title in text for row in zakharov.results)
    assert "…" not in text.partition("Optimizer")[2]
    assert "Q1" not in text


def test_summary_shows_warnings(studies):
    text = printed(build_report(studies.zakharov_spec(), {}, {}))
    assert "! Not every search is complete: ECDSep 0 of 12, " in text


@pytest.mark.parametrize(
    ("warnings", "remarks", "lines"),
    [
        ((), (), []),
        (("a",), ("b", "c", "d"), ["! a", "! b", "! c", "! d"]),
        (
            ("a", "b"),
            ("c", "d", "e"),
            ["! a", "! b", "! c", "! 2 more warnings and remarks are in the report"],
        ),
    ],
)
def test_a_terminal_shows_the_first_warnings_and_counts_the_others(warnings, remarks, lines):
    assert short_warnings(warnings, remarks) == lines


def test_exports_are_complete():
    for name in package.__all__:
        assert getattr(package, name) is not None
    with pytest.raises(AttributeError, match="no attribute 'nothing'"):
        package.nothing
