"""A report's tables as LaTeX with booktabs, for a paper."""

from __future__ import annotations

import re
from collections.abc import Iterator

from ecd_tune.report.model.rows import StudyReport
from ecd_tune.report.render.tabulars import SMALL_GAP, Tabular, set_tabulars
from ecd_tune.report.words.layout import Page, Table
from ecd_tune.report.words.sections import build_page

__all__ = ["escape_latex", "render_latex", "set_latex"]

_SECTIONS = ("results", "comparison", "best", "averages", "ranks", "times")
_SPECIAL = {
    "\\": r"\textbackslash{}",
    "{": r"\{",
    "}": r"\}",
    "~": r"\textasciitilde{}",
    "^": r"\textasciicircum{}",
    "×": r"$\times$",
    "÷": r"$\div$",
    "−": r"$-$",
    "±": r"$\pm$",
    "≤": r"$\leq$",
    "≥": r"$\geq$",
    "∞": r"$\infty$",
    "√": r"$\surd$",
    "–": "--",
    "“": "``",
    "”": "''",
    "∈": r"$\in$",
    "·": r"$\cdot$",
    "↑": r"$\uparrow$",
    "↓": r"$\downarrow$",
    "η": r"$\eta$",
    "ν": r"$\nu$",
    "δ": r"$\delta$",
    "Δ": r"$\Delta$",
    "ε": r"$\varepsilon$",
    "λ": r"$\lambda$",
    "Θ": r"$\Theta$",
    "Π": r"$\Pi$",
    "𝓔": r"$\mathcal{E}$",
    "₂": r"$_2$",
    **{mark: rf"\{mark}" for mark in "&%$#_"},
}
_POWER = re.compile(r"(?<![\w.])(-?[\d.]+)e([-+]\d+)")


def render_latex(report: StudyReport) -> str:
    """Write the tables of a study's report, see :func:`set_latex`."""
    return set_latex(build_page(report), report.name)


def set_latex(page: Page, name: str) -> str:
    """Write the tables of results, comparisons and hyperparameters.

    Args:
        page: Content of the report.
        name: Begins the labels.

    Returns:
        Table environments, which need the packages ``booktabs`` and, for pdfLaTeX, UTF-8 input
        (the default since 2018). Each fits in a line of LaTeX's article class; tables that are
        too wide are set in smaller type and, where needed, continued in another environment.
    """
    lines = ["% Needs \\usepackage{booktabs}.", f"% {' '.join(page.title.split())}"]
    for section in page.sections:
        if section.anchor in _SECTIONS:
            for number, table in enumerate(section.tables, 1):
                lines += _table(table, f"tab:{name}-{section.anchor}-{number}")
    return "\n".join(lines) + "\n"


def _table(table: Table, label: str) -> Iterator[str]:
    for number, part in enumerate(set_tabulars(table)):
        yield "\\begin{table}"
        # The standard classes leave no space between a caption and a table below it.
        yield "\\setlength{\\belowcaptionskip}{\\abovecaptionskip}"
        caption = escape_latex(table.caption)
        if number:
            # The number of the table that it continues.
            yield "\\addtocounter{table}{-1}"
            yield f"\\caption{{{caption} (continued).}}"
        else:
            yield f"\\caption{{{caption}. {escape_latex(table.note)}}}"
            yield f"\\label{{{re.sub(r'[^A-Za-z0-9:-]', '-', label)}}}"
        yield "\\centering"
        yield from _tabular(part)
        yield "\\end{table}"


def _tabular(part: Tabular) -> Iterator[str]:
    if part.small:
        yield f"\\footnotesize\\setlength{{\\tabcolsep}}{{{SMALL_GAP / 2:g}pt}}"
    yield f"\\begin{{tabular}}{{{part.columns}}}"
    yield "\\toprule"
    stacked = any("\n" in cell for row in part.rows[part.heads :] for cell in row)
    for i, row in enumerate(part.rows):
        if i == part.heads:
            yield "\\midrule"
        elif i and (stacked or i < part.heads):
            yield "\\addlinespace"
        place = "b" if i < part.heads else "t"
        yield _row(
            [_cell(cell, part.columns[j], place, (i, j) in part.bold) for j, cell in enumerate(row)]
        )
    yield "\\bottomrule"
    yield "\\end{tabular}"


def _cell(cell: str, column: str, place: str, bold: bool) -> str:
    """Set a cell, whose lines are rows of a table in it."""
    lines = [escape_latex(line) for line in cell.split("\n")]
    lines = [rf"\textbf{{{line}}}" if bold else line for line in lines]
    if len(lines) == 1:
        return lines[0]
    text = r" \\ ".join(map(_guard, lines))
    return rf"\begin{{tabular}}[{place}]{{@{{}}{column}@{{}}}}{text}\end{{tabular}}"


def _row(cells: list[str]) -> str:
    return " & ".join(map(_guard, cells)) + r" \\"


def _guard(text: str) -> str:
    # A bracket at the start of a row would be an argument of the row before it.
    return f"{{{text}}}" if text.startswith("[") else text


def escape_latex(text: str) -> str:
    """Escape a text for LaTeX.

    Args:
        text: Any text.

    Returns:
        LaTeX; powers of ten are set as such. Letters of other scripts stay, for XeLaTeX and
        LuaLaTeX.
    """
    text = "".join(_SPECIAL.get(c, c) for c in " ".join(text.split()))
    return _POWER.sub(lambda m: rf"${m[1]} \times 10^{{{int(m[2])}}}$", text)
