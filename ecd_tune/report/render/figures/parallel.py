"""Trials as lines over all their hyperparameters: parallel coordinates."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence

from matplotlib.axes import Axes

from ecd_tune.analysis.select import rank_trials, thin_ranked
from ecd_tune.records import Scalar, TrialRecord
from ecd_tune.report.model.circumstances import SearchedParam
from ecd_tune.report.model.rows import StudyReport
from ecd_tune.report.render.figures.parts.drawn import Drawn
from ecd_tune.report.render.figures.parts.style import BEHIND, INK, SOFT, colours, new_panel
from ecd_tune.report.words.numbers import format_number, format_scalar
from ecd_tune.spec import without_number

__all__ = ["draw_parallel"]

_FEWEST_TRIALS, _FEWEST_PARAMS, _LINES = 20, 3, 120
_TOP = 0.1
"""Share of the trials that are shown in colour, the best ones."""


def draw_parallel(report: StudyReport) -> Iterator[Drawn]:
    """Draw one figure for each optimizer with at least three searched hyperparameters.

    Args:
        report: The model.

    Yields:
        The figures; none for fewer than twenty complete trials.
    """
    titles = {row.optimizer: row.title for row in report.results}
    for key, title in titles.items():
        own = (r for r in report.trials if without_number(r.key.optimizer) == key)
        records = rank_trials(own, report.direction)
        params = [
            p
            for p in report.importance
            if p.optimizer == key and all(p.name in r.params for r in records)
        ]
        if len(records) >= _FEWEST_TRIALS and len(params) >= _FEWEST_PARAMS:
            yield _draw(report, title, thin_ranked(records, _LINES), params)


def _draw(
    report: StudyReport,
    title: str,
    records: Sequence[TrialRecord],
    params: Sequence[SearchedParam],
) -> Drawn:
    figure, axes = new_panel("")
    names = [p.name.replace("_", "\n") for p in params]
    bottom = 0.09 + 0.05 * max(name.count("\n") + 1 for name in names)
    axes.set_position((0.09, bottom, 0.82, 0.89 - bottom))
    columns = [_places(axes, at, param, records) for at, param in enumerate(params)]
    best = max(1, round(_TOP * len(records)))
    at, heights = [*range(len(params))], [*zip(*columns, strict=True)]
    # One path with a gap after each trial, which keeps a page with a hundred trials small.
    gap = (math.nan,)
    rest = [height for line in heights[:-best] for height in (*line, *gap)]
    axes.plot([*at, *gap] * (len(heights) - best), rest, "-", color=BEHIND, lw=0.5, alpha=0.4)
    for line in heights[-best:]:
        axes.plot(at, line, "-", color=colours(report)[params[0].optimizer], lw=1.1, zorder=3)
    axes.set_xlim(-0.05, len(params) - 0.95)
    axes.set_ylim(-0.03, 1.03)
    axes.set_yticks([])
    axes.set_xticks([*at], names, color=INK)
    axes.tick_params(axis="x", length=0, pad=14)
    axes.grid(visible=False, axis="y")
    axes.spines["left"].set_visible(False)
    axes.spines["bottom"].set_visible(False)
    return Drawn(
        f"parallel-{params[0].optimizer}",
        "best",
        f"{title}: each trial as a line over its hyperparameters, the most important one first, "
        "the best tenth in colour",
        f"{title}: {len(records)} trials over {', '.join(p.name for p in params)}",
        figure,
        aside=True,
    )


def _places(
    axes: Axes, at: int, param: SearchedParam, records: Sequence[TrialRecord]
) -> list[float]:
    """Return the heights of the trials on one axis, from 0 to 1, and write its ends."""
    values = [record.params[param.name] for record in records]
    numbers = _numbers(values, param.log)
    low, high = min(numbers), max(numbers)
    span = high - low or 1.0
    for end, height, side in ((low, -0.03, "top"), (high, 1.03, "bottom")):
        value = values[numbers.index(end)]
        exact = isinstance(value, (bool, str, int))
        text = format_scalar(value) if exact else format_number(float(value), 2)
        axes.text(at, height, text, ha="center", va=side, color=SOFT, fontsize=8)
    return [(number - low) / span for number in numbers]


def _numbers(values: Sequence[Scalar], log: bool) -> list[float]:
    """Return values as numbers: logarithms where drawn so, places in a list for words."""
    if all(isinstance(value, (int, float)) and not isinstance(value, bool) for value in values):
        plain = [float(value) for value in values]
        return [math.log10(value) for value in plain] if log and min(plain) > 0 else plain
    known = sorted({str(value) for value in values})
    return [float(known.index(str(value))) for value in values]
