"""Tables for LaTeX: escaped, rectangular, and compiled if TeX is installed."""

import dataclasses
import re
import shutil
import subprocess

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ecd_tune.report import render_latex
from ecd_tune.report.render.latex import escape_latex, set_latex
from ecd_tune.report.render.tabulars import set_tabulars
from ecd_tune.report.words.layout import Page, Section, Table

TEX = shutil.which("pdflatex") or shutil.which("tectonic")
PAGE = (
    r"\documentclass{article}\usepackage{booktabs}\begin{document}\input{report.tex}\end{document}"
)


MEDIANS = (
    ("1.3e-40 [6.4e-41, 1.8e-40]", "5.8e-09 [4.9e-09, 7.2e-09]", *["0.0088 [0.0057, 0.0130]"] * 5),
    ("0.9694 [0.9639, 0.9694]", "–", *["0.9708 [0.9639, 0.9722]"] * 5),
    ("0.9771 [0.9695, 0.9901]", "–", *["0.9638 [0.9580, 0.9729]"] * 5),
)
TASKS = (
    ("Zakharov function, n = 10", "minimum of F over the iterates ↓"),
    ("Handwritten digits, MLP 64-32-10", "test accuracy ↑"),
    ("SST-2 from scratch, BERT of 1 layer of 32", "test accuracy ↑ (oracle)"),
)
WIDE = Table(
    "Confirmed medians",
    ("Task", "Metric", "ECDSep", "AdamW", "SGD", "GDM", "BBI", "Adam", "ECD (q=1)"),
    tuple(task + medians for task, medians in zip(TASKS, MEDIANS, strict=True)),
    bold=frozenset({(0, 2)}),
)
"""A comparison of seven optimizers."""


def rows(text):
    """Cells of each row, split at & that are not escaped."""
    lines = [line[:-3] for line in text.splitlines() if line.endswith(r" \\")]
    return [re.split(r"(?<!\\)&", line) for line in lines]


def test_tables_are_rectangular_and_labelled(zakharov):
    text = render_latex(zakharov)
    for table in text.split(r"\begin{table}")[1:]:
        columns = re.search(r"\\begin\{tabular\}\{([lr]+)\}", table)[1]
        assert {len(row) for row in rows(table)} == {len(columns)}
    labels = re.findall(r"\\label\{(.+)\}", text)
    assert labels == [
        "tab:zakharov-small-results-1",
        "tab:zakharov-small-comparison-1",
        "tab:zakharov-small-comparison-2",
        "tab:zakharov-small-best-1",
    ]
    assert text.count(r"\textbf{") == 2  # the winner's median and its interval, in two lines


@pytest.mark.parametrize(
    ("text", "latex"),
    [
        ("weight_decay", r"weight\_decay"),
        ("95 % & more", r"95 \% \& more"),
        ("a\\b{c}", r"a\textbackslash{}b\{c\}"),
        ("×1.1e-15", r"$\times$$1.1 \times 10^{-15}$"),
        ("1e+05", r"$1 \times 10^{5}$"),
        ("ν√n, Δt", r"$\nu$$\surd$n, $\Delta$t"),
        ("two\nlines", "two lines"),
        ("name1e5", "name1e5"),
    ],
)
def test_texts_are_escaped(text, latex):
    assert escape_latex(text) == latex


@given(st.text())
def test_special_characters_are_escaped(text):
    found = escape_latex(text)
    bare = re.sub(r"\\[a-zA-Z]+(\{\})?|\\[&%$#_{}]", "", found)
    assert bare.count("{") == bare.count("}")
    assert bare.count("$") % 2 == 0
    outside = re.sub(r"\$[^$]*\$", "", bare)
    assert not set(outside) & set("\\{}$&#^_~%")


def test_hostile_names_stay_in_their_cell(zakharov):
    evil = r"\input{x} & $ # _ ^ ~ % }"
    report = dataclasses.replace(
        zakharov,
        name=evil,
        title=f"{evil}\n\\bye",
        results=tuple(dataclasses.replace(row, title=evil) for row in zakharov.results),
    )
    text = render_latex(report)
    assert r"\input" not in re.sub(r"^%.*$", "", text, flags=re.M)
    assert not any(line.startswith(r"\bye") for line in text.splitlines())


def test_a_comparison_of_seven_optimizers_is_transposed_and_its_intervals_have_a_line():
    (part,) = set_tabulars(WIDE)
    assert (part.columns, part.heads, part.small) == ("lrrr", 2, True)
    assert [row[0] for row in part.rows] == list(WIDE.header)
    assert part.rows[2][1] == "1.3e-40\n[6.4e-41,\N{NO-BREAK SPACE}1.8e-40]"
    assert part.bold == {(2, 1)}
    text = set_latex(Page("", "", (), (), (Section("results", "", tables=(WIDE,)),)), "x")
    assert r"}0.9694 \\ {[0.9639, 0.9694]}\end" in text  # no argument of \\


def test_columns_that_tell_rows_apart_begin_each_part():
    pairs = [(a, b) for a in ("ECDSep", "AdamW") for b in ("the first of them", "the second")]
    header = ("One", "Other", *(f"some long heading {i}" for i in range(9)))
    table = Table("", header, tuple((*pair, *(["1.234e-05"] * 8), "in words") for pair in pairs))
    parts = set_tabulars(table)
    assert len(parts) > 1
    for part in parts:
        assert [row[:2] for row in part.rows[1:]] == pairs
        assert part.columns[:2] == "ll"
        assert sum(part.widths()) <= 345
    assert sum(len(part.columns) - 2 for part in parts) == len(header) - 2


TEXTS = st.text("ab1. [],-–", max_size=50)


@given(
    st.integers(1, 9).flatmap(
        lambda n: st.lists(st.lists(TEXTS, min_size=n, max_size=n), min_size=1, max_size=5)
    )
)
def test_no_cell_is_lost(cells):
    header, *body = map(tuple, cells)
    parts = set_tabulars(Table("", header, tuple(body)))
    shown = {" ".join(c.split()) for part in parts for row in part.rows for c in row}
    assert shown >= {" ".join(c.split()) for row in cells for c in row}
    for part in parts:
        assert {len(row) for row in part.rows} == {len(part.columns)}
        assert part.small or sum(part.widths()) <= 345


@pytest.mark.slow
@pytest.mark.skipif(TEX is None, reason="neither pdflatex nor tectonic is installed")
def test_tables_compile_with_tex(searched, digits, tmp_path):
    seven = set_latex(Page("", "", (), (), (Section("results", "", tables=(WIDE,)),)), "seven")
    (tmp_path / "report.tex").write_text(render_latex(searched) + render_latex(digits) + seven)
    (tmp_path / "page.tex").write_text(PAGE)
    options = ["-interaction=nonstopmode", "-halt-on-error"] if "pdflatex" in TEX else []
    done = subprocess.run(
        [TEX, *options, "page.tex"], cwd=tmp_path, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stdout[-2000:]
    assert (tmp_path / "page.pdf").stat().st_size > 10_000
    too_wide = re.findall(r"Overfull \\hbox \(([\d.]+)pt", (tmp_path / "page.log").read_text())
    assert max(map(float, too_wide), default=0.0) < 10.0
