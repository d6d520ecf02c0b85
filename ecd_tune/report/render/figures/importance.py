"""Which hyperparameters matter, as bars."""

from __future__ import annotations

from collections.abc import Iterator

from ecd_tune.report.model.compare import sort_by_rank
from ecd_tune.report.model.rows import StudyReport
from ecd_tune.report.render.figures.parts.drawn import Drawn
from ecd_tune.report.render.figures.parts.style import INK, SOFT, colours, new_panel

__all__ = ["draw_importance"]

_ROW, _REST = 0.19, 0.85
"""Inches per bar, and of the margins above and below."""
_CHARACTER = 0.08


def draw_importance(report: StudyReport) -> Iterator[Drawn]:
    """Draw the importance of each searched hyperparameter, optimizer by optimizer.

    Args:
        report: The model.

    Yields:
        One figure; none where there are too few trials.
    """
    titles = {row.optimizer: row.title for row in report.results}
    known = [row for row in report.importance if row.importance is not None]
    rows = sort_by_rank(report, known)
    if not rows:
        return
    keys = list(dict.fromkeys(row.optimizer for row in rows))
    # An empty row separates two optimizers; a row with the title is above each.
    lines = len(rows) + 2 * len(keys) - 1
    figure, axes = new_panel("", (), _ROW * lines + _REST)
    box = axes.get_position()
    left = (0.2 + _CHARACTER * max(len(row.name) for row in rows)) / figure.get_figwidth()
    axes.set_position((left, box.y0, box.x1 - left, 1 - box.y0 - 0.1 / figure.get_figheight()))
    place, ticks = 0, []
    for key in keys:
        axes.text(0, place, titles[key], color=colours(report)[key], va="center", weight="bold")
        place += 1
        for row in (row for row in rows if row.optimizer == key):
            share = row.importance or 0.0
            axes.barh(place, share, color=colours(report)[key], height=0.7, lw=0)
            axes.text(share + 0.01, place, f"{100 * share:.0f} %", color=SOFT, va="center")
            ticks.append((place, row.name))
            place += 1
        place += 1
    axes.set_yticks([at for at, _ in ticks], [name for _, name in ticks])
    axes.tick_params(axis="y", length=0)
    axes.set_ylim(lines - 0.4, -0.6)
    axes.set_xlim(0, 1.12)
    axes.set_xticks([0, 0.25, 0.5, 0.75, 1], ["0", "25 %", "50 %", "75 %", "100 %"], color=INK)
    axes.grid(visible=False, axis="y")
    axes.set_xlabel("share of the importance")
    yield Drawn(
        "importance",
        "best",
        "Hyperparameters that distinguish the best tenth of the trials (PED-ANOVA)",
        "; ".join(
            f"{titles[row.optimizer]} {row.name} {100 * (row.importance or 0):.0f} %"
            for row in rows
        ),
        figure,
    )
