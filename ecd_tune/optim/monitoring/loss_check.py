"""Check whether the loss of a step can be the one whose gradient the step uses.

Between two points of a run the loss changes by the work of its gradient, ∫∇F·dΘ. The norms of Π
before and after a kick, which a step computes anyway, contain ∇F·ΔΘ at both ends of each step.
For a convex loss, and full batches, the change lies between the two sums; minibatches make the sum
at the beginnings too low and leave the one at the ends without bias.
"""

from __future__ import annotations

import math
from typing import NamedTuple

import torch
from torch import Tensor

__all__ = ["LEAST_STEPS", "Kicks", "compare", "mismatch", "work"]

LEAST_STEPS = 64
"""Steps that are needed."""
_FACTOR = 3.0
"""A change counts as another one if it differs from what is implied by more."""
_ERRORS = 4.0
"""And by more standard errors than these."""


class Kicks(NamedTuple):
    """What T steps computed; float64, ``[T]``; only steps that were made."""

    loss: Tensor
    """F with weight decay."""
    log_before: Tensor
    """log|Π| before the kick that precedes the drift."""
    log_after: Tensor
    """The same after it."""
    log_kick: Tensor
    """log of the length of the kick."""
    force: Tensor
    """Norm of Δt (∇F + wd Θ)."""
    length: Tensor
    """|ΔΘ|/Δt."""
    turned: Tensor
    """|Π̂ + νz| of the turn, 1 without one."""


def work(kicks: Kicks) -> tuple[Tensor, Tensor]:
    """Return ∇F·ΔΘ of each step but the last.

    Args:
        kicks: The steps.

    Returns:
        With the gradient at the beginning of the step, and with the one at its end, ``[T-1]``.
    """
    # Π' = Π − K f̂: |Π'|² = |Π|² − 2K Π·f̂ + K², |Π|² = |Π'|² + 2K Π'·f̂ + K², in units of K.
    before, after = (
        torch.exp(kicks.log_before - kicks.log_kick),
        torch.exp(kicks.log_after - kicks.log_kick),
    )
    squares = before.square() - after.square()
    onward = (squares - 1) / (2 * after)
    arriving = (squares + 1) / (2 * before)
    first = kicks.length * kicks.force * onward
    last = (kicks.length * kicks.turned)[:-1] * (kicks.force * arriving)[1:]
    return first[:-1], last


def mismatch(kicks: Kicks) -> tuple[float, float] | None:
    """Compare the change of the loss with the work of the gradient.

    Args:
        kicks: The steps.

    Returns:
        The change of the mean loss from the first to the last quarter, and the nearest one that
        the gradients imply, if they differ in sign or by more than a factor of 3, beyond the
        noise of the losses; else None.
    """
    return compare(kicks.loss, *work(kicks)) if len(kicks.loss) >= LEAST_STEPS else None


def compare(loss: Tensor, first: Tensor, last: Tensor) -> tuple[float, float] | None:
    """Compare the change of the loss with two sums that should enclose it.

    Args:
        loss: F of each step, ``[T]``.
        first: ∇F·ΔΘ of each step but the last, with the gradient at its beginning, ``[T-1]``.
        last: The same with the one at its end.

    Returns:
        As :func:`mismatch`.
    """
    first, last = (torch.cat([w.new_zeros(1), w.cumsum(0)]) for w in (first, last))
    quarter = len(loss) // 4

    def change(values: Tensor) -> float:
        return float(values[-quarter:].mean() - values[:quarter].mean())

    seen, low, high = change(loss), *sorted((change(first), change(last)))
    noise = loss.diff().square().mean() / 2
    error = _ERRORS * math.sqrt(2 * float(noise) / quarter)
    if not all(map(math.isfinite, (seen, low, high, error))) or high >= 0:
        return None
    if seen > high / _FACTOR + error:
        return seen, high
    if seen < low * _FACTOR - error:
        return seen, low
    return None
