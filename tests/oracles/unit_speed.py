"""ECD at unit speed, line by line in numpy, for one trajectory: a plain vector of parameters.

Slow and plain on purpose: the exact flow has sinh and cosh as they stand, so that it is valid for
moderate kicks only, and nothing of the project's own code is used.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator

import numpy as np


def exact(p: np.ndarray, force: np.ndarray) -> np.ndarray:
    """Solve dp/dt = −f + p (p·f) up to t = 1 for a constant force f and |p| = 1."""
    delta = np.linalg.norm(force)
    if delta == 0:
        return p
    a = -force / delta
    c = a @ p
    turned = p + a * (np.sinh(delta) + c * (np.cosh(delta) - 1))
    return turned / (np.cosh(delta) + c * np.sinh(delta))


def first_order(p: np.ndarray, force: np.ndarray) -> np.ndarray:
    """Make one Euler step of the same equation, for |p| of any length."""
    return p - (force - p * (p @ force))


def ecd_q1(
    F: Callable[[np.ndarray, int], float],
    grad: Callable[[np.ndarray, int], np.ndarray],
    theta: np.ndarray,
    steps: int,
    *,
    lr: float | np.ndarray,
    eta: float,
    nu: float = 0.0,
    F0: float = 0.0,
    weight_decay: float | np.ndarray = 0.0,
    conserve_energy: bool = True,
    integrator: str = "algorithm1",
    flow: str = "exact",
    z: Iterator[np.ndarray] | None = None,
) -> np.ndarray:
    """Return Θ after each step, shape [steps, n]; lr and weight_decay may be given by element."""
    theta = np.array(theta, dtype=np.float64)
    n = len(theta)
    dt = np.broadcast_to(np.asarray(lr, dtype=np.float64), theta.shape) / np.sqrt(eta)
    wd = np.broadcast_to(np.asarray(weight_decay, dtype=np.float64), theta.shape)
    p, path = None, []

    def kick(p: np.ndarray, force: np.ndarray) -> np.ndarray:
        p = exact(p, force) if flow == "exact" else first_order(p, force)
        return p / np.linalg.norm(p) if conserve_energy else p

    def turn(p: np.ndarray) -> np.ndarray:
        if not nu:
            return p
        size = np.linalg.norm(p)
        turned = p / size + nu / np.sqrt(n) * next(z)
        return size * turned / np.linalg.norm(turned)

    for k in range(steps):
        f, g = F(theta, k), grad(theta, k)
        gap = f + 0.5 * np.sum(wd * theta**2) - F0
        force = 0.5 * dt * eta * n / (n - 1) * (g + wd * theta) / gap
        if p is None:
            p = -dt * g / np.linalg.norm(dt * g)
        if integrator == "sync":
            if k > 0:
                p = kick(p, force / 2)
            p = turn(p)
            p = kick(p, force / 2)
            theta = theta + dt * p
        else:
            p = kick(p, force)
            theta = theta + dt * p
            p = turn(p)
        path.append(theta)
    return np.array(path)
