"""A report's tables as LaTeX with booktabs, for a paper."""

from __future__ import annotations

import re
from collections.abc import Iterator

from ecd_tune.report.model.rows import StudyReport
from ecd_tune.report.words.layout import Page, Table
from ecd_tune.report.words.sections import build_page

__all__ = ["escape_latex", "render_latex", "set_latex"]

_SECTIONS = ("results", "comparison", "best", "ranks", "times")
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
        (the default since 2018).
    """
    lines = ["% Needs \\usepackage{booktabs}.", f"% {' '.join(page.title.split())}"]
    for section in page.sections:
        if section.anchor in _SECTIONS:
            for number, table in enumerate(section.tables, 1):
                lines += _table(table, f"tab:{name}-{section.anchor}-{number}")
    return "\n".join(lines) + "\n"


def _table(table: Table, label: str) -> Iterator[str]:
    columns = "".join("r" if right else "l" for right in table.numeric)
    yield "\\begin{table}"
    yield f"\\caption{{{escape_latex(table.caption)}. {escape_latex(table.note)}}}"
    yield f"\\label{{{re.sub(r'[^A-Za-z0-9:-]', '-', label)}}}"
    yield "\\centering"
    yield f"\\begin{{tabular}}{{{columns}}}"
    yield "\\toprule"
    yield _row([escape_latex(cell) for cell in table.header])
    yield "\\midrule"
    for i, row in enumerate(table.rows):
        cells = [escape_latex(cell) for cell in row]
        yield _row([rf"\textbf{{{c}}}" if (i, j) in table.bold else c for j, c in enumerate(cells)])
    yield "\\bottomrule"
    yield "\\end{tabular}"
    yield "\\end{table}"


def _row(cells: list[str]) -> str:
    # A bracket at the start of a row would be an argument of the row before it.
    return " & ".join(f"{{{c}}}" if c.startswith("[") else c for c in cells) + r" \\"


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
