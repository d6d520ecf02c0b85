"""All figures of a report."""

from __future__ import annotations

from collections.abc import Sequence

from ecd_tune.report.model.relations.panels import ScatterPanel
from ecd_tune.report.model.rows import StudyReport
from ecd_tune.report.render.figures.contour import draw_contours
from ecd_tune.report.render.figures.curves import draw_curves
from ecd_tune.report.render.figures.importance import draw_importance
from ecd_tune.report.render.figures.parallel import draw_parallel
from ecd_tune.report.render.figures.pareto import draw_pareto
from ecd_tune.report.render.figures.parts.drawn import Drawn
from ecd_tune.report.render.figures.parts.style import drawing
from ecd_tune.report.render.figures.relations import draw_relations
from ecd_tune.report.render.figures.search import draw_search
from ecd_tune.report.render.figures.seeds import draw_seeds
from ecd_tune.report.render.figures.slices import draw_slices

__all__ = ["draw_figures"]


def draw_figures(report: StudyReport, relations: Sequence[ScatterPanel] = ()) -> tuple[Drawn, ...]:
    """Draw all figures of the report.

    Args:
        report: The model.
        relations: Relations of the study's checks.

    Returns:
        The figures in the order of the report; none where there is nothing to draw.
    """
    with drawing():
        return (
            *draw_seeds(report),
            *draw_importance(report),
            *draw_slices(report),
            *draw_contours(report),
            *draw_parallel(report),
            *draw_curves(report),
            *draw_search(report),
            *draw_pareto(report),
            *draw_relations(relations),
        )
