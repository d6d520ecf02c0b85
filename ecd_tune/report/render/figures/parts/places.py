"""Selection of trials for figures over hyperparameters, and the axes of these figures."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence

from matplotlib.axes import Axes

from ecd_tune.analysis.select import rank_trials
from ecd_tune.records import TrialRecord
from ecd_tune.report.model.circumstances import SearchedParam
from ecd_tune.report.model.rows import StudyReport
from ecd_tune.report.render.figures.parts.scale import LARGEST, LEAST
from ecd_tune.report.render.figures.parts.style import number_axis
from ecd_tune.spec import without_number

__all__ = ["fit_places", "numeric_searches"]

_FEWEST = 5


def numeric_searches(
    report: StudyReport,
) -> Iterator[tuple[str, list[TrialRecord], list[SearchedParam]]]:
    """Find the searches with numeric hyperparameters.

    Args:
        report: The model.

    Yields:
        Title of an optimizer, its complete trials from the best to the worst (at least five), and
        the hyperparameters that are numbers in all of them, the most important first (at least
        one).
    """
    for key, title in {row.optimizer: row.title for row in report.results}.items():
        own = (r for r in report.trials if without_number(r.key.optimizer) == key)
        records = rank_trials(own, report.direction)
        params = [
            p
            for p in report.importance
            if p.optimizer == key and all(_is_number(r, p.name) for r in records)
        ]
        if len(records) >= _FEWEST and params:
            yield title, records, params


def _is_number(record: TrialRecord, name: str) -> bool:
    value = record.params.get(name)
    return isinstance(value, (int, float)) and not isinstance(value, bool)


def fit_places(axes: Axes, which: str, places: Sequence[float], log: bool) -> None:
    """Set the limits and ticks of an axis of hyperparameters.

    Values beyond 1e100, and below 1e-250 on a logarithmic axis, are outside the limits.

    Args:
        axes: The panel.
        which: ``"x"`` or ``"y"``.
        places: All values, at least one.
        log: Whether the range is logarithmic.
    """
    low, high = (min(max(end, -LARGEST), LARGEST) for end in (min(places), max(places)))
    log = log and low > 0
    if log:
        low, high = max(low, LEAST), max(high, LEAST)
        pad = 10 ** (0.04 * (math.log10(high) - math.log10(low))) if high > low else 2.0
        limits = (low / pad, high * pad)
    else:
        pad = 0.04 * (high - low) if high > low else abs(high) or 1.0
        limits = (low - pad, high + pad)
    (axes.set_xlim if which == "x" else axes.set_ylim)(limits)
    number_axis(axes, which, log, few=True)
