"""Setup and recorded moments of a chain, in numpy, without torch.

A chain is one trajectory of the Hamiltonian on a given landscape. Checks describe chains by a
:class:`ChainSetup` and read one :class:`Moment` a step from
:func:`ecd_tune.lab.chains.run_chains`, which makes the steps with the optimizers' own phases.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TypeAlias

import numpy as np
import numpy.typing as npt

from ecd_tune.theory import Array

__all__ = ["ChainSetup", "Landscape", "Moment"]

Landscape: TypeAlias = Callable[[Array], tuple[Array, Array]]
"""θ of shape ``[B, n]`` to the losses ``[B]`` and the gradients ``[B, n]``."""


@dataclass(frozen=True)
class ChainSetup:
    """B chains; a column is a number, or an array of shape ``[B]``.

    Attributes:
        landscape: The loss and its gradient.
        theta: Starting points, ``[B, n]``.
        direction: Unit directions of the first momentum, ``[B, n]``.
        lr: Step size Δt, column.
        eta: η, column.
        nu: Chaos strength ν, column.
        integrator: ``"algorithm1"`` or ``"sync"``.
        s: 0 or 1, column.
        F0: Loss offset, column.
        delta_energy: δE, column; 𝓔 = (F_init−F0)^η (s+δE), |Π_0|² = δE.
        log_energy: Column; if given, log 𝓔 instead, and |Π_0| follows from it.
        conserve: Rescale the momentum at every step.
        flow: None for ECDSep. ``"exact"`` or ``"first_order"`` for ECDq1 with that kick: ``lr`` and
            ``nu`` are then Δt̂ and ν̂, and s, δE and 𝓔 count for nothing.
        cuts: Where the n numbers are cut into tensors.
    """

    landscape: Landscape
    theta: Array
    direction: Array
    lr: float | Array
    eta: float | Array
    nu: float | Array = 0.0
    integrator: str = "sync"
    s: float | Array = 0
    F0: float | Array = 0.0
    delta_energy: float | Array = 1.0
    log_energy: float | Array | None = None
    conserve: bool = True
    flow: str | None = None
    cuts: tuple[int, ...] = ()


@dataclass(frozen=True)
class Moment:
    """B chains at one step.

    Attributes:
        t: Number of the step, from 0.
        theta: Positions before the drift, ``[B, n]``.
        loss: F there, ``[B]``.
        gradient: ∇F there, ``[B, n]``.
        log_potential: log V there, ``[B]``.
        log_p: log|Π| where the energy is read: after the rescale; log|p| at unit speed, ``[B]``.
        log_energy: log 𝓔; log V at unit speed, where w is 1, ``[B]``.
        moved: The drift, ``[B, n]``; 0 where no step could be made.
        held: No step could be made: the gap is not positive, or not finite, ``[B]``.
        unreachable: The rescale was skipped since V exceeds 𝓔, ``[B]``.
    """

    t: int
    theta: Array
    loss: Array
    gradient: Array
    log_potential: Array
    log_p: Array
    log_energy: Array
    moved: Array
    held: npt.NDArray[np.bool_]
    unreachable: npt.NDArray[np.bool_]
