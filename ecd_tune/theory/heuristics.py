"""Rules of thumb that rest on a fit, not on a derivation."""

from __future__ import annotations

from ecd_tune.theory._guards import Numbers, Result, require_range

__all__ = ["LR_DECADES", "suggest_lr"]

LR_DECADES = 1.0
"""Search so many decades to either side of :func:`suggest_lr`."""


def suggest_lr(n: Numbers, fine_tune: bool = False) -> Result:
    """Return a centre for a logarithmic search of Δt, from the six rows of the paper's Table 5.

    Least squares give Δt ≈ 113 n^{−0.320±0.039}, times 0.146 (± 23 %) for fine-tuning; without
    the dummy for fine-tuning the exponent is −0.51±0.16. A heuristic, not a law: six points, of
    different tasks, η and ν. Search :data:`LR_DECADES` to either side.

    Args:
        n: Number of parameters, >= 1; the fit has 2e5 to 1.1e8.
        fine_tune: The network is trained already.

    Returns:
        Δt.
    """
    n = require_range("suggest_lr", "n", n, 1.0)
    return (113.0 * n**-0.320 * (0.146 if fine_tune else 1.0))[()]
