"""Phase-space volume under one step of (12), with and without the rescale of §3.3."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from ecd_tune.analysis.checks.model import Finding
from ecd_tune.analysis.claims.findings import close_finding
from ecd_tune.optim.trajectory import Array

__all__ = ["check_volume", "kick_drift", "rescaled_kick_drift"]

_LR, _ETA, _LOG_ENERGY = 0.3, 2.5, 2.0
_CURVATURES = np.array([0.5, 1.0, 2.0])
_HALF_STEP = 1e-5
State = Array
"""Θ and Π one after the other."""


def _gap(theta: Array) -> float:
    """F − F0 of an anharmonic well, at least 1."""
    return float(1 + _CURVATURES @ theta**2 + 0.3 * np.prod(theta) ** 2)


def _slope(theta: Array) -> Array:
    others = np.array([np.prod(np.delete(theta, i)) for i in range(len(theta))])
    return np.asarray(2 * _CURVATURES * theta + 0.6 * np.prod(theta) * others)


def kick_drift(state: State, s: int) -> State:
    """Make one step of (12).

    Args:
        state: Θ and Π, shape ``[2n]``.
        s: 0 or 1.

    Returns:
        The next Θ and Π.
    """
    theta, p = np.split(state, 2)
    p = p - _LR * _ETA / _gap(theta) * _slope(theta)
    return np.concatenate([theta + 2 * _LR * p / (s + p @ p), p])


def rescaled_kick_drift(state: State, s: int) -> State:
    """Make one step of Algorithm 1 at ν = 0: the rescale onto the energy surface, then (12).

    Args:
        state: Θ and Π, shape ``[2n]``.
        s: 0 or 1.

    Returns:
        The next Θ and Π.
    """
    theta, p = np.split(state, 2)
    squared = np.exp(_LOG_ENERGY) / _gap(theta) ** _ETA - s
    return kick_drift(np.concatenate([theta, p * np.sqrt(squared / (p @ p))]), s)


def check_volume(step: Callable[[State, int], State], determinant: float) -> list[Finding]:
    """Compare the determinant of a step's Jacobian with a number.

    Args:
        step: The step.
        determinant: Its determinant; 1 where volume is conserved.

    Returns:
        One finding for s = 0 and for s = 1.
    """
    state = np.array([0.3, -0.5, 0.4, 0.9, 0.2, -0.7])
    shifts = _HALF_STEP * np.eye(len(state))
    found = []
    for s in (0, 1):
        columns = [(step(state + d, s) - step(state - d, s)) / (2 * _HALF_STEP) for d in shifts]
        measured = abs(float(np.linalg.det(np.stack(columns, axis=1))))
        case = f"n=3 η={_ETA:g} Δt={_LR:g} s={s}"
        found.append(close_finding(case, "|det| of the Jacobian", determinant, measured, 1e-6))
    return found
