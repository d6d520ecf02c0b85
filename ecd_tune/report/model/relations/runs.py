"""S5, S7, S9 and S10 as panels: effects of chaos, step size and rescaling."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from ecd_tune.analysis.checks.conservation import pairs
from ecd_tune.analysis.checks.runs import CheckedRun, StudyTrials
from ecd_tune.analysis.checks.step_size import best_of_tasks
from ecd_tune.errors import TheoryError
from ecd_tune.report.model.relations.panels import Points, ScatterPanel
from ecd_tune.report.model.relations.parts import Drawn, equal_panel, grid, line_of, points_of
from ecd_tune.theory import LR_DECADES, Basin, suggest_lr

__all__ = ["PANELS"]


def _against_nu(drawn: Drawn) -> Iterator[ScatterPanel]:
    points = []
    for label, data in drawn:
        runs = data.turning()
        if not {"F_min", "curvature"} <= data.options.keys():
            continue
        for eta, part in sorted(runs.split(lambda run: run.eta, "other η").items()):
            try:
                places = [_relative(data, run) for run in part]
            except TheoryError:
                continue
            across, up = zip(*places, strict=True)
            points.append(Points(f"{label}, η = {eta:g}", across, up))
    if points:
        x = grid([np.array(group.x) for group in points], log=True)
        yield ScatterPanel(
            "S5: the loss reached against ν/ν*",
            "line: the plateau, for every ν; points above: not yet on it",
            "ν/ν*",
            "tail mean of F−Fmin over its plateau",
            True,
            True,
            tuple(points),
            line_of(x, np.ones_like(x)),
        )


def _relative(data: StudyTrials, run: CheckedRun) -> tuple[float, float]:
    """Return ν/ν* and the loss over its plateau."""
    seen, known = run.measured, data.options
    basin = Basin(
        seen.n,
        run.eta,
        float(known["F_min"]),
        seen.F0,
        float(known["curvature"]),
        seen.loss_init,
        seen.s,
        seen.delta_energy,
    )
    integrator = "sync" if seen.sync else "algorithm1"
    plateau = basin.plateau_gap(run.nu, integrator)
    gap = max(seen.tail_loss - float(known["F_min"]), np.finfo(float).tiny)
    return float(run.nu / basin.nu_star(run.lr)), float(gap / plateau)


def _bounce(drawn: Drawn) -> Iterator[ScatterPanel]:
    return equal_panel(
        "S7: the bounce angle",
        "line: equal; band: ± 1 %, which the rule allows for the ratio of the means",
        "λ(n, ν)",
        "mean cos α",
        [
            points_of(label, runs.column("cosine"), runs.column("cos_bounce"))
            for label, data in drawn
            if len(runs := data.turning())
        ],
        0.01,
    )


def _step_size(drawn: Drawn) -> Iterator[ScatterPanel]:
    points = []
    for label, data in drawn:
        best = sorted((run.measured.n, run.lr) for run, _ in best_of_tasks(data))
        if best:
            points.append(Points(label, *zip(*best, strict=True)))
    if points:
        x = grid([np.array(group.x) for group in points], log=True)
        centre, width = np.asarray(suggest_lr(x)), 10.0**LR_DECADES
        yield ScatterPanel(
            "S9: Δt of the best trial of each task",
            "line: the fit to Table 5, 113 n^−0.32; band: a decade to either side",
            "n",
            "Δt",
            True,
            True,
            tuple(points),
            line_of(x, centre, centre / width, centre * width),
        )


def _conservation(drawn: Drawn) -> Iterator[ScatterPanel]:
    points = []
    for label, data in drawn:
        sign, compared = data.direction.sign, pairs(data)
        scores = np.array(
            [[r.loss_score(data.direction) for r in (off, on)] for on, off in compared]
        )
        finite = scores[np.isfinite(scores).all(axis=1)] if compared else scores
        if len(finite):
            missing = len(compared) - len(finite)
            without = f" ({missing} without a value left out)" if missing else ""
            points.append(points_of(label + without, *(sign * finite).T))
    return equal_panel(
        "S10: pairs of trials that differ only in conserving the energy",
        "line: equal",
        "value without",
        "value with",
        points,
    )


PANELS = {"S5": _against_nu, "S7": _bounce, "S9": _step_size, "S10": _conservation}
