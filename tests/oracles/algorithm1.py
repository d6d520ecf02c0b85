"""Algorithm 1 of the paper, and BBI and GDM, line by line in numpy.

Slow and plain on purpose: V, 𝓔 and Π are formed as the paper writes them, in float64, with
none of the project's own code. Valid only while nothing overflows.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator

import numpy as np

Function = Callable[[np.ndarray, int], float]
Gradient = Callable[[np.ndarray, int], np.ndarray]


def ecdsep(
    F: Function,
    grad: Gradient,
    theta: np.ndarray,
    steps: int,
    *,
    lr: float | np.ndarray,
    eta: float,
    nu: float = 0.0,
    F0: float = 0.0,
    delta_energy: float = 0.0,
    s: int = 1,
    weight_decay: float | np.ndarray = 0.0,
    conserve_energy: bool = True,
    eps1: float = 1e-10,
    z: Iterator[np.ndarray] | None = None,
) -> np.ndarray:
    """Return Θ after each step, shape [steps, n]; lr and weight_decay may be given by element."""
    theta = np.array(theta, dtype=np.float64)
    lr = np.broadcast_to(np.asarray(lr, dtype=np.float64), theta.shape)
    wd = np.broadcast_to(np.asarray(weight_decay, dtype=np.float64), theta.shape)
    path = []
    energy = pi = None
    for k in range(steps):
        f, g = F(theta, k), grad(theta, k)
        f_tilde = f - F0 + 0.5 * np.sum(wd * theta * theta)
        if energy is None:
            energy = f_tilde**eta * (delta_energy + s)
            pi = -g / np.linalg.norm(g) * np.sqrt(delta_energy)
        V = f_tilde**eta
        if conserve_energy:
            pi_c2 = energy / V - s
            pi2 = np.dot(pi, pi)
            if abs(pi2 - pi_c2) > eps1 and pi_c2 > 0 and pi2 > 0:
                pi = np.sqrt(pi_c2 / pi2) * pi
        pi = pi - lr * eta / V ** (1 / eta) * (g + wd * theta)
        theta = theta + 2 * lr * pi / (np.dot(pi, pi) + s)
        if nu:
            norm = np.linalg.norm(pi)
            pi_n = pi / norm + nu * next(z)
            pi = norm / np.linalg.norm(pi_n) * pi_n
        path.append(theta)
    return np.array(path)


def gdm(grad: Gradient, theta: np.ndarray, steps: int, alpha: float, beta: float) -> np.ndarray:
    """Eq. 13 as printed: Π − (1 − β)Π − ∇F, then Θ + αΠ."""
    theta, pi, path = np.array(theta, dtype=np.float64), np.zeros_like(theta), []
    for k in range(steps):
        pi = pi - (1 - beta) * pi - grad(theta, k)
        theta = theta + alpha * pi
        path.append(theta)
    return np.array(path)


def bbi(
    F: Function,
    grad: Gradient,
    theta: np.ndarray,
    steps: int,
    *,
    lr: float,
    v0: float = 0.0,
    delta_energy: float = 0.0,
    conserve_energy: bool = True,
    eps1: float = 1e-10,
) -> np.ndarray:
    """BBI without bounces: H = sqrt(V (V + π²))."""
    theta, path = np.array(theta, dtype=np.float64), []
    energy = pi = None
    for k in range(steps):
        V, g = F(theta, k) - v0, grad(theta, k)
        if energy is None:
            energy = V + delta_energy
            pi = -g / np.linalg.norm(g) * np.sqrt(energy**2 / V - V)
        if conserve_energy:
            wanted, pi2 = V * ((energy / V) ** 2 - 1), np.dot(pi, pi)
            if wanted >= 0 and pi2 > 0 and abs(pi2 - wanted) >= eps1:
                pi = np.sqrt(wanted / pi2) * pi
        pi = pi - 0.5 * lr * (V / energy + energy / V) * g
        theta = theta + lr * V / energy * pi
        path.append(theta)
    return np.array(path)
