"""How good the best of k trials is, by trials and by time, over all orders of the trials."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterator, Sequence

from matplotlib.axes import Axes

from ecd_tune.analysis.curves import log_steps
from ecd_tune.analysis.orderings import best_after
from ecd_tune.records import TrialRecord, TrialState
from ecd_tune.report.model.rows import StudyReport
from ecd_tune.report.render.figures.parts.drawn import Drawn
from ecd_tune.report.render.figures.parts.scale import choose_scale
from ecd_tune.report.render.figures.parts.style import colours, label_ends, new_panel, number_axis
from ecd_tune.spec import without_number

__all__ = ["draw_search"]

_POINTS = 60
_QUARTILES = (0.25, 0.5, 0.75)


def draw_search(report: StudyReport) -> Iterator[Drawn]:
    """Draw the best value so far against the number of trials, and against their time.

    Args:
        report: The model.

    Yields:
        Two figures; none before two trials of an optimizer have a value.
    """
    trials: dict[str, list[TrialRecord]] = {}
    for record in report.trials:
        if record.counts:
            trials.setdefault(without_number(record.key.optimizer), []).append(record)
    found = {key: part for key, part in trials.items() if sum(map(_complete, part)) > 1}
    if not found:
        return
    titles = {row.optimizer: row.title for row in report.results if row.optimizer in found}
    yield _draw(report, found, titles, timed=False)
    if all(math.fsum(r.cost.seconds for r in part) > 0 for part in found.values()):
        yield _draw(report, found, titles, timed=True)


def _complete(record: TrialRecord) -> bool:
    return record.state is TrialState.COMPLETE


def _draw(
    report: StudyReport,
    trials: dict[str, list[TrialRecord]],
    titles: dict[str, str],
    timed: bool,
) -> Drawn:
    bands = {}
    for key, part in trials.items():
        values = [r.value if _complete(r) else None for r in part]
        # Of several searches all trials are drawn from, but as many as one of them has.
        longest = max(Counter(r.key.optimizer for r in part).values())
        counts = log_steps(range(1, longest + 1), _POINTS)
        unit = math.fsum(r.cost.seconds for r in part) / len(part) if timed else 1.0
        quartiles = [best_after(values, counts, share, report.direction) for share in _QUARTILES]
        bands[key] = ([unit * count for count in counts], quartiles)
    medians = [v for _, quartiles in bands.values() for q in quartiles for v in q]
    scale = choose_scale(medians, f"{report.metric}, best so far{report.mark}", report.direction)
    figure, axes = new_panel(scale.title, list(titles.values()))
    ends = []
    for key, (places, quartiles) in bands.items():
        colour = colours(report)[key]
        better, median, worse = map(scale.show, quartiles)
        axes.fill_between(places, better, worse, color=colour, alpha=0.15, lw=0)
        axes.plot(places, median, color=colour, lw=1.5)
        ends.append((median[-1], titles[key], colour))
    _fit_places(axes, [places for places, _ in bands.values()], timed)
    scale.apply(axes)
    label_ends(axes, ends)
    against = "seconds of trials, at the mean time of a trial" if timed else "trials"
    axes.set_xlabel(against)
    return Drawn(
        f"search-{'seconds' if timed else 'trials'}",
        "search",
        f"The best value by {'time' if timed else 'number of trials'} of the search: median and "
        "quartiles over all orders of the trials",
        f"{', '.join(titles.values())} against {against}.",
        figure,
    )


def _fit_places(axes: Axes, places: Sequence[Sequence[float]], timed: bool) -> None:
    low, high = min(p[0] for p in places), max(p[-1] for p in places)
    axes.set_xlim(low, high if high > low else low + 1)
    number_axis(axes, "x", log=high > 20 * low)
