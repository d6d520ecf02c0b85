"""Value of trials against their cost, with the Pareto front of each optimizer."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from ecd_tune.analysis.select import thin_ranked
from ecd_tune.report.model.pareto import CostedTrial, Pareto, costed_trials
from ecd_tune.report.model.rows import StudyReport
from ecd_tune.report.render.figures.parts.drawn import Drawn
from ecd_tune.report.render.figures.parts.scale import choose_scale
from ecd_tune.report.render.figures.parts.style import colours, label_ends, new_panel, number_axis
from ecd_tune.spec import without_number

__all__ = ["draw_pareto"]

_POINTS = 100
_WIDE = 8.0
"""Ratio of the largest to the smallest cost above which the cost axis is logarithmic."""


def draw_pareto(report: StudyReport) -> Iterator[Drawn]:
    """Draw trials as points, and a line through each Pareto front.

    Args:
        report: The model.

    Yields:
        One figure; none if trials do not differ in cost.
    """
    if report.pareto is None:
        return
    front = report.pareto.front
    points = _points(report, report.pareto)
    every = [point for part in points.values() for point in part]
    title = f"{report.metric}{report.mark}"
    scale = choose_scale([value for _, value in every], title, report.direction)
    titles = {trial.optimizer: trial.title for trial in front}
    figure, axes = new_panel(scale.title, list(titles.values()))
    low, high = min(cost for cost, _ in every), max(cost for cost, _ in every)
    ends = []
    for key, part in points.items():
        colour = colours(report)[key]
        shown = scale.show(value for _, value in part)
        axes.plot([cost for cost, _ in part], shown, "o", color=colour, ms=2.5, mew=0, alpha=0.3)
        best = [trial for trial in front if trial.optimizer == key]
        places, heights = [t.seconds for t in best], scale.show(t.value for t in best)
        # A value that is reached at one cost is available at any larger cost.
        axes.plot([*places, high], [*heights, heights[-1]], color=colour, lw=1.5, ds="steps-post")
        axes.plot(places, heights, "o", color=colour, ms=4, mew=0)
        ends.append((heights[-1], titles[key], colour))
    log = high > _WIDE * low
    pad = (high / low) ** 0.03 if log else 0.03 * (high - low)
    axes.set_xlim((low / pad, high * pad) if log else (low - pad, high + pad))
    number_axis(axes, "x", log)
    scale.apply(axes)
    label_ends(axes, ends)
    at_mean = ", steps times the mean time per step" if report.pareto.step_seconds else ""
    axes.set_xlabel(f"seconds of a trial{at_mean}")
    yield Drawn(
        "pareto",
        "search",
        "Value of each trial against its cost; the line joins the trials that no cheaper one beats",
        "; ".join(_describe(title, key, front) for key, title in titles.items()),
        figure,
    )


def _points(report: StudyReport, pareto: Pareto) -> dict[str, list[tuple[float, float]]]:
    """Return cost and value of trials by optimizer, thinned evenly by rank."""
    points: dict[str, list[tuple[float, float]]] = {t.optimizer: [] for t in pareto.front}
    for record in costed_trials(report.trials):
        key = without_number(record.key.optimizer)
        if key in points and record.value is not None:
            points[key].append((pareto.cost(record), record.value))
    sign = report.direction.sign
    return {
        key: thin_ranked(sorted(part, key=lambda point: sign * point[1]), _POINTS)
        for key, part in points.items()
    }


def _describe(title: str, key: str, front: Sequence[CostedTrial]) -> str:
    own = [trial for trial in front if trial.optimizer == key]
    ends = (own[0], own[-1]) if len(own) > 1 else own
    return f"{title}: " + ", ".join(f"{t.value:.4g} at {t.seconds:.3g} s" for t in ends)
