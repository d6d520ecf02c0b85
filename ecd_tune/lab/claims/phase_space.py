"""The flow (11) and one step of (12) on an anharmonic well: motion, energy and volume."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from ecd_tune.analysis.checks.model import Finding
from ecd_tune.lab.claims.findings import close_finding
from ecd_tune.theory import Array

__all__ = [
    "check_constant_energy",
    "check_motion",
    "check_one_step",
    "check_volume",
    "kick_drift",
    "paper_flow",
    "rescaled_kick_drift",
]

_LR, _ETA, _LOG_ENERGY = 0.3, 2.5, 2.0
_CURVATURES = np.array([0.5, 1.0, 2.0])
_HALF_STEP = 1e-5
_POINT = np.array([0.3, -0.5, 0.4, 0.9, 0.2, -0.7])
State = Array
"""Θ and Π one after the other."""
Step = Callable[[State, int], State]
"""From Θ and Π, and s."""


def _gap(theta: Array) -> float:
    """F − F0 of an anharmonic well, at least 1."""
    return float(1 + _CURVATURES @ theta**2 + 0.3 * np.prod(theta) ** 2)


def _slope(theta: Array) -> Array:
    others = np.array([np.prod(np.delete(theta, i)) for i in range(len(theta))])
    return np.asarray(2 * _CURVATURES * theta + 0.6 * np.prod(theta) * others)


def _log_energy(state: State, s: int) -> float:
    """H of (9) for s = 0, of (10) for s = 1."""
    theta, p = np.split(state, 2)
    return float(np.log(p @ p + s) + _ETA * np.log(_gap(theta)))


def paper_flow(state: State, s: int) -> State:
    """Return Θ̇ and Π̇ of (11).

    Args:
        state: Θ and Π, shape ``[2n]``.
        s: 0 or 1.

    Returns:
        Their derivatives.
    """
    theta, p = np.split(state, 2)
    return np.concatenate([2 * p / (s + p @ p), -_ETA * _slope(theta) / _gap(theta)])


def _gradient(s: int) -> State:
    """Return the derivatives of H by Θ and Π at the point, by central differences."""
    shifts = _HALF_STEP * np.eye(len(_POINT))
    ends = [(_log_energy(_POINT + d, s), _log_energy(_POINT - d, s)) for d in shifts]
    return np.array([upper - lower for upper, lower in ends]) / (2 * _HALF_STEP)


def check_motion(flow: Step = paper_flow) -> list[Finding]:
    """Compare (11) with ∂H/∂Π and −∂H/∂Θ of (9) and (10).

    Args:
        flow: Θ̇ and Π̇.

    Returns:
        One finding for s = 0 and for s = 1: the largest difference.
    """
    found = []
    for s in (0, 1):
        by_theta, by_p = np.split(_gradient(s), 2)
        difference = float(np.max(np.abs(flow(_POINT, s) - np.concatenate([by_p, -by_theta]))))
        found.append(close_finding(_case(s), "largest difference", 0.0, difference, 1e-8))
    return found


def check_constant_energy(flow: Step = paper_flow) -> list[Finding]:
    """Compare d log 𝓔/dt along the flow (11) with 0.

    Args:
        flow: Θ̇ and Π̇.

    Returns:
        One finding for s = 0 and for s = 1.
    """
    return [
        close_finding(_case(s), "d log 𝓔/dt", 0.0, float(_gradient(s) @ flow(_POINT, s)), 1e-8)
        for s in (0, 1)
    ]


def _case(s: int) -> str:
    return f"n=3 η={_ETA:g} s={s}"


def kick_drift(state: State, s: int, lr: float = _LR) -> State:
    """Make one step of (12).

    Args:
        state: Θ and Π, shape ``[2n]``.
        s: 0 or 1.
        lr: Δt.

    Returns:
        The next Θ and Π.
    """
    theta, p = np.split(state, 2)
    p = p - lr * _ETA / _gap(theta) * _slope(theta)
    return np.concatenate([theta + 2 * lr * p / (s + p @ p), p])


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


def check_one_step(step: Callable[[State, int, float], State] = kick_drift) -> list[Finding]:
    """Fit the order in Δt of the energy error of one step of (12).

    Args:
        step: From Θ and Π, s and Δt.

    Returns:
        One finding for s = 0 and for s = 1: the exponent of |log H − log H of the start|.
    """
    sizes = (2e-5, 1e-5)
    found = []
    for s in (0, 1):
        start = _log_energy(_POINT, s)
        errors = [abs(_log_energy(step(_POINT, s, lr), s) - start) for lr in sizes]
        order = float(np.log(errors[0] / errors[1]) / np.log(sizes[0] / sizes[1]))
        found.append(close_finding(_case(s), "order of one step's error", 2.0, order, 0.05))
    return found


def check_volume(step: Step, determinant: float) -> list[Finding]:
    """Compare the determinant of a step's Jacobian with a number.

    Args:
        step: The step.
        determinant: Its determinant; 1 where volume is conserved.

    Returns:
        One finding for s = 0 and for s = 1.
    """
    shifts = _HALF_STEP * np.eye(len(_POINT))
    found = []
    for s in (0, 1):
        columns = [(step(_POINT + d, s) - step(_POINT - d, s)) / (2 * _HALF_STEP) for d in shifts]
        measured = abs(float(np.linalg.det(np.stack(columns, axis=1))))
        case = f"{_case(s)} Δt={_LR:g}"
        found.append(close_finding(case, "|det| of the Jacobian", determinant, measured, 1e-6))
    return found
