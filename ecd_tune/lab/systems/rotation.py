"""C01 and N06: the mean cosine of the random turn."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from functools import partial

from ecd_tune.analysis.checks.model import Check, Finding, Relation, Verdict
from ecd_tune.analysis.checks.rules import Estimate, mean
from ecd_tune.lab.rules import interval_finding
from ecd_tune.lab.simulator import Simulator
from ecd_tune.theory import bounce_cosine

__all__ = ["CHECKS", "check_cosines"]

_CASES = ((10, 1_000_000), (100, 200_000), (1000, 40_000))
_ROOTS = (0.3, 1.0, 5.0)
_TOLERANCE = 0.003


def _measure(sim: Simulator) -> dict[tuple[int, float], Estimate]:
    rng = sim.rng("turns")
    return {
        (n, root): mean(sim.turn(n, root / math.sqrt(n), count, rng))
        for n, count in _CASES
        for root in _ROOTS
    }


def check_cosines(
    sim: Simulator,
    predict: Callable[[int, float], float],
    cases: Sequence[tuple[int, float]] = (),
) -> list[Finding]:
    """Compare E[cos α] with a prediction.

    Args:
        sim: Where to run.
        predict: From n and ν to the cosine.
        cases: Pairs of n and ν√n; none means all.

    Returns:
        One finding per case.
    """
    measured = sim.cached(_measure)
    return [
        interval_finding(
            f"n={n} ν√n={root:g}",
            "E[cos α]",
            measured[n, root],
            predict(n, root / math.sqrt(n)),
            _TOLERANCE,
        )
        for n, root in cases or measured
    ]


CHECKS = (
    Check(
        "C01",
        Relation("E[cos α] = λ(n, ν), the projected normal's mean resultant length", "eq. 14, 22"),
        f"R, λ ± {_TOLERANCE}",
        partial(check_cosines, predict=lambda n, nu: float(bounce_cosine(n, nu))),
        family="rotation",
        seconds=3.0,
    ),
    Check(
        "N06",
        Relation("the turn's angle is ν√n radians up to 1, and π/2 above", "§3.2 and A.1, wrong"),
        f"R at ν√n = 1, cos 1 and cos π/2, each ± {_TOLERANCE}",
        lambda sim: (
            check_cosines(sim, lambda n, nu: math.cos(nu * math.sqrt(n)), [(100, 1.0)])
            + check_cosines(sim, lambda n, nu: 0.0, [(100, 1.0)])
        ),
        expects=Verdict.REFUTED,
        family="rotation",
        seconds=3.0,
    ),
)
