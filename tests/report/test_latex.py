"""Tables for LaTeX: escaped, rectangular, and compiled if TeX is installed."""

import dataclasses
import re
import shutil
import subprocess

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ecd_tune.report import render_latex
from ecd_tune.report.render.latex import escape_latex

TEX = shutil.which("pdflatex") or shutil.which("tectonic")
PAGE = (
    r"\documentclass{article}\usepackage{booktabs}\begin{document}\input{report.tex}\end{document}"
)


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
    assert text.count(r"\textbf{") == 1  # the winner's median


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


@pytest.mark.slow
@pytest.mark.skipif(TEX is None, reason="neither pdflatex nor tectonic is installed")
def test_tables_compile_with_tex(searched, digits, tmp_path):
    (tmp_path / "report.tex").write_text(render_latex(searched) + render_latex(digits))
    (tmp_path / "page.tex").write_text(PAGE)
    options = ["-interaction=nonstopmode", "-halt-on-error"] if "pdflatex" in TEX else []
    done = subprocess.run(
        [TEX, *options, "page.tex"], cwd=tmp_path, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stdout[-2000:]
    assert (tmp_path / "page.pdf").stat().st_size > 10_000
