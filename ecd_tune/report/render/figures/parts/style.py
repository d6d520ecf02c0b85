"""How figures look: sizes, colours, axes, direct labels. Only matplotlib is used, no display."""

from __future__ import annotations

import math
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import matplotlib
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, LogLocator, MaxNLocator, NullLocator

from ecd_tune.report.model.rows import StudyReport
from ecd_tune.report.words.numbers import format_number

__all__ = [
    "BEHIND",
    "DASHES",
    "GRID",
    "INK",
    "PALETTE",
    "SOFT",
    "colours",
    "dashes",
    "drawing",
    "label_ends",
    "new_panel",
    "number_axis",
]

PALETTE = ("#0072b2", "#d55e00", "#009e73", "#cc79a7", "#b8860b", "#56b4e9", "#7f7f7f")
"""Okabe and Ito's colour-blind safe colours, with a darker yellow."""
INK, SOFT, GRID, BEHIND = "#1b1f24", "#57606a", "#d5dae0", "#a9b1ba"
"""Text and axes, lesser text, grid, and points of no special interest."""
DASHES: tuple[Any, ...] = ("-", (0, (5, 2.5)), (0, (1.5, 1.5)), (0, (6, 2, 1.5, 2)))

_WIDTH = 4.9
"""Inches: a column of a page, and a telephone's screen without shrinking."""
_CHARACTER, _LINE = 0.069, 0.155
"""Inches that a character of a label takes, and a line of it."""
_SETTINGS: Any = {
    "font.family": "sans-serif",
    "font.size": 9.0,
    "text.parse_math": False,  # a $ in a title is a $
    "text.color": INK,
    "axes.edgecolor": INK,
    "axes.labelcolor": INK,
    "axes.linewidth": 0.7,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.axisbelow": True,
    "axes.grid": True,
    "axes.titlesize": 9.5,
    "axes.titlelocation": "left",
    "axes.titleweight": "bold",
    "grid.color": GRID,
    "grid.linewidth": 0.6,
    "xtick.color": INK,
    "ytick.color": INK,
    "xtick.major.width": 0.7,
    "ytick.major.width": 0.7,
    "figure.facecolor": "none",
    "axes.facecolor": "none",
    "savefig.facecolor": "none",
    "svg.fonttype": "none",
    "pdf.fonttype": 42,
}


_RAISED = str.maketrans("-0123456789", "⁻⁰¹²³⁴⁵⁶⁷⁸⁹")


@contextmanager
def drawing() -> Iterator[None]:
    """Draw or write with the settings of reports instead of the user's."""
    with matplotlib.rc_context(), warnings.catch_warnings():
        matplotlib.rcdefaults()
        matplotlib.rcParams.update(_SETTINGS)
        warnings.filterwarnings("ignore", "Glyph .* missing from font")
        yield


def new_panel(title: str, labels: Sequence[str] = (), height: float = 3.1) -> tuple[Figure, Axes]:
    """Make a figure of one panel.

    Args:
        title: Label of its y axis, above it.
        labels: Texts to its right.
        height: Of the figure, in inches.

    Returns:
        Figure and axes.
    """
    # Half of a number below the end of the axis, or the texts.
    right = 0.2 + _CHARACTER * max(map(len, labels), default=0.5)
    figure = Figure(figsize=(_WIDTH, height))
    left, bottom, top = 0.62, 0.46, 0.34
    right = min(right, 0.45 * _WIDTH)
    axes = figure.add_axes(
        (
            left / _WIDTH,
            bottom / height,
            1 - (left + right) / _WIDTH,
            1 - (bottom + top) / height,
        )
    )
    axes.set_title(title, x=-left / (_WIDTH - left - right) + 0.02, ha="left", pad=7)
    return figure, axes


def number_axis(axes: Axes, which: str, log: bool, few: bool = False) -> None:
    """Give an axis round numbers.

    Args:
        axes: The panel; its limits are set.
        which: ``"x"`` or ``"y"``.
        log: Whether the axis is logarithmic.
        few: Whether there is space for only a few numbers.
    """
    axis = axes.xaxis if which == "x" else axes.yaxis
    if log:
        limits = axes.get_xlim() if which == "x" else axes.get_ylim()
        (axes.set_xscale if which == "x" else axes.set_yscale)("log")
        span = abs(math.log10(limits[1]) - math.log10(limits[0]))
        narrow, wide = (1.1, 1.1) if few else (1.6, 3.0)
        subs = (1, 2, 5) if span < narrow else (1, 3) if span < wide else (1,)
        most = 4 if few else 6 if which == "x" else 8
        axis.set_major_locator(LogLocator(subs=subs, numticks=most))
    else:
        axis.set_major_locator(MaxNLocator(3 if few else 5, steps=[1, 2, 5, 10]))
    axis.set_minor_locator(NullLocator())
    axis.set_major_formatter(FuncFormatter(lambda value, _: _number(float(value), log)))


def _number(value: float, log: bool) -> str:
    """Write a number as the tables do, but on a logarithmic axis powers of ten as 10⁻³⁴."""
    text = format_number(value, 3)
    factor, power, exponent = text.partition("e")
    if not (log and power):
        return text
    raised = f"10{str(int(exponent)).translate(_RAISED)}"
    return raised if factor == "1" else f"{factor}·{raised}"


def label_ends(axes: Axes, ends: Sequence[tuple[float, str, str]]) -> None:
    """Write labels to the right of a panel, at the height of their lines.

    Args:
        axes: The panel; its limits and scales are set.
        ends: For each its value on the y axis, the text and its colour.
    """
    height = axes.get_position().height * axes.get_figure(root=True).get_figheight()  # type: ignore[union-attr]
    inverse = axes.transAxes.inverted()
    wanted = [
        (inverse.transform(axes.transData.transform((1.0, value)))[1] * height, text, colour)
        for value, text, colour in ends
    ]
    wanted.sort(key=lambda end: float(end[0]))
    lowest = 0.0
    for number, (place, text, colour) in enumerate(wanted):
        # Kept apart from the one below, and low enough for those above.
        highest = height - (len(wanted) - 1 - number) * _LINE
        lowest = max(min(float(place), highest), lowest)
        axes.text(1.02, lowest / height, text, color=colour, transform=axes.transAxes, va="center")
        lowest += _LINE


def colours(report: StudyReport) -> dict[str, str]:
    """Give every optimizer its colour.

    Args:
        report: The model.

    Returns:
        Optimizer key to colour; its references share it.
    """
    keys = list(dict.fromkeys(row.optimizer for row in report.results))
    return {key: PALETTE[i % len(PALETTE)] for i, key in enumerate(keys)}


def dashes(report: StudyReport) -> dict[tuple[str, str], Any]:
    """Give every row its kind of line: solid for our best, then one kind per reference.

    Args:
        report: The model.

    Returns:
        Optimizer key and source to matplotlib's line style.
    """
    found: dict[tuple[str, str], Any] = {}
    for row in report.results:
        before = sum(key == row.optimizer for key, _ in found)
        found[row.optimizer, row.source] = DASHES[before % len(DASHES)]
    return found
