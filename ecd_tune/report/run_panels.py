"""S5, S7, S9 and S10 as panels: what chaos, step size and rescaling do."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator

import numpy as np

from ecd_tune.analysis.checks.runs import Run, StudyTrials
from ecd_tune.errors import TheoryError
from ecd_tune.report.panel_parts import Judged, equal_panel, grid, line_of
from ecd_tune.report.scatter import Points, ScatterPanel
from ecd_tune.theory import LR_DECADES, Basin, suggest_lr

__all__ = ["PANELS"]


def _against_nu(judged: Judged) -> Iterator[ScatterPanel]:
    points = []
    for label, data in judged.items():
        runs = data.usable().keep("ν = 0", lambda run: run.nu > 0)
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
            "line: on the plateau, whatever ν; trials on their way to it lie above",
            "ν/ν*",
            "tail mean of F−Fmin over its plateau",
            True,
            True,
            tuple(points),
            line_of(x, np.ones_like(x)),
        )


def _relative(data: StudyTrials, run: Run) -> tuple[float, float]:
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


def _bounce(judged: Judged) -> Iterator[ScatterPanel]:
    samples = {
        label: data.usable().keep("ν = 0", lambda run: run.nu > 0) for label, data in judged.items()
    }
    return equal_panel(
        "S7: the bounce angle",
        "line: equal; band: ± 1 %, which the rule allows for the ratio of the means",
        "λ(n, ν)",
        "mean cos α",
        [
            Points(label, tuple(runs.column("cosine")), tuple(runs.column("cos_bounce")))
            for label, runs in samples.items()
            if len(runs)
        ],
        0.01,
    )


def _step_size(judged: Judged) -> Iterator[ScatterPanel]:
    points = []
    for label, data in judged.items():
        studies = (data, *data.others)
        samples = [(study, study.usable()) for study in studies]
        best = sorted(
            (
                min(runs, key=lambda run: run.badness(study.direction))
                for study, runs in samples
                if len(runs)
            ),
            key=lambda run: run.measured.n,
        )
        if best:
            n = tuple(float(run.measured.n) for run in best)
            points.append(Points(label, n, tuple(run.lr for run in best)))
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


def _conservation(judged: Judged) -> Iterator[ScatterPanel]:
    points = []
    for label, data in judged.items():
        pairs: dict[frozenset[tuple[str, object]], dict[bool, float]] = defaultdict(dict)
        for run in data.finished():
            if run.record.value is not None:
                rest = {k: v for k, v in run.params.items() if k != "conserve_energy"}
                switch = bool(run.params["conserve_energy"])
                pairs[frozenset(rest.items())][switch] = run.record.value
        both = [pair for pair in pairs.values() if len(pair) == 2]
        if both:
            off, on = ([pair[switch] for pair in both] for switch in (False, True))
            points.append(Points(label, tuple(off), tuple(on)))
    return equal_panel(
        "S10: pairs of trials that differ in conserving the energy alone",
        "line: equal",
        "value without",
        "value with",
        points,
    )


PANELS = {"S5": _against_nu, "S7": _bounce, "S9": _step_size, "S10": _conservation}
