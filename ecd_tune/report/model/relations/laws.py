"""S1, S2, S3 and S6 as panels: the stationary law of the loss."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from ecd_tune.analysis.checks.floor import above_floor, find_floor
from ecd_tune.analysis.checks.harmonic import plateau
from ecd_tune.analysis.checks.runs import StudyTrials
from ecd_tune.report.model.relations.panels import ScatterPanel
from ecd_tune.report.model.relations.parts import (
    Drawn,
    equal_panel,
    grid,
    groups_of,
    line_of,
    points_of,
)

__all__ = ["PANELS"]


def _against_eta(drawn: Drawn) -> Iterator[ScatterPanel]:
    groups = groups_of(drawn, StudyTrials.usable, above_floor)
    above = [group for group in groups if group.depth > 0]
    if above:
        n = float(above[0].column("n")[0])
        x = grid([group.column("eta") for group in above])
        x = x[(x - 1) * n > 2]
        yield ScatterPanel(
            "S1: the loss reached against η, Fmin above F0",
            "line: plateau of sync, n/((η−1)n−2); Algorithm 1 has a lower one; points above: not "
            "yet stationary",
            "η",
            "tail mean of (F−Fmin)/(Fmin−F0)",
            False,
            True,
            tuple(g.points(g.column("eta"), g.gaps() / g.depth) for g in above),
            line_of(x, n / ((x - 1) * n - 2)),
        )
    at = [group for group in groups if group.depth <= 0]
    if at:
        yield ScatterPanel(
            "S1: the loss reached against η, F0 = Fmin",
            "there is no plateau: a larger η is slower",
            "η",
            "tail mean of F−Fmin",
            False,
            True,
            tuple(g.points(g.column("eta"), g.gaps()) for g in at),
        )


def _harmonic(drawn: Drawn) -> Iterator[ScatterPanel]:
    groups = [
        group
        for group in groups_of(drawn, StudyTrials.stationary, lambda d, s: (s, find_floor(d, s)))
        if group.depth > 0
    ]
    if groups:
        x = grid([1 / group.column("eta_eff") for group in groups])
        yield ScatterPanel(
            "S2: the harmonic law, stationary trials",
            "line: 1 − 1/η_eff; band: slope/intercept −1 ± 0.1; bars: two standard errors",
            "1/η_eff",
            "⟨1/(F−F0)⟩ (Fmin−F0)",
            False,
            False,
            tuple(
                g.points(
                    1 / g.column("eta_eff"),
                    g.column("tail_inverse_gap") * g.depth,
                    2 * g.column("tail_inverse_gap_se") * g.depth,
                )
                for g in groups
            ),
            line_of(x, 1 - x, 1 - 1.1 * x, 1 - 0.9 * x),
        )


def _plateau(drawn: Drawn) -> Iterator[ScatterPanel]:
    groups = [g for g in groups_of(drawn, StudyTrials.stationary, plateau) if g.depth > 0]
    if groups:
        x = grid([group.column("scale") for group in groups], log=True)
        turned = (x / np.sqrt(x[0] * x[-1])) ** 0.15
        edges = np.sort([1 / x * turned, 1 / x / turned], axis=0)
        yield ScatterPanel(
            "S3: the plateau, stationary trials",
            "line: 1/(η_eff−1−2/n); band: slope −1 ± 0.15",
            "η_eff − 1 − 2/n",
            "tail mean of (F−Fmin)/(Fmin−F0)",
            True,
            True,
            tuple(g.points(g.column("scale"), g.gaps() / g.depth) for g in groups),
            line_of(x, 1 / x, edges[0], edges[1]),
        )


def _virial(drawn: Drawn) -> Iterator[ScatterPanel]:
    return equal_panel(
        "S6: the virial about the origin, stationary trials",
        "line: equal; band: ± 5 %, which the rule allows for the mean",
        "η/η_eff",
        "½⟨Θ·G⟩",
        [
            points_of(
                label, runs.column("eta") / runs.column("eta_eff"), runs.column("tail_virial")
            )
            for label, data in drawn
            if len(runs := data.stationary())
        ],
        0.05,
    )


PANELS = {"S1": _against_eta, "S2": _harmonic, "S3": _plateau, "S6": _virial}
