"""The exact systems: losses with their gradients, on rows, in numpy."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from scipy.special import expit

from ecd_tune.theory import Array

__all__ = ["Ackley", "Logistic", "Quadratic", "RippledBowl", "directions", "isotropic"]


@dataclass(frozen=True)
class Quadratic:
    """F = Fmin + Σ F2_i θ_i².

    Attributes:
        curvature: F2_i, shape ``[n]``.
        F_min: Lowest loss.
    """

    curvature: Array
    F_min: float = 1.0

    def __call__(self, theta: Array) -> tuple[Array, Array]:
        """Return losses and gradients."""
        half = self.curvature * theta
        return self.F_min + np.einsum("bi,bi->b", half, theta), 2.0 * half


def isotropic(n: int, F_min: float = 1.0) -> Quadratic:
    """Return the quadratic with F2 = 1.

    Args:
        n: Dimension.
        F_min: Lowest loss.

    Returns:
        The landscape.
    """
    return Quadratic(np.ones(n), F_min)


@dataclass(frozen=True)
class RippledBowl:
    """F = Σ (θ_i² + 1 − cos 2πθ_i) + 1: many local minima, the lowest F(0) = 1."""

    def __call__(self, theta: Array) -> tuple[Array, Array]:
        """Return losses and gradients."""
        loss = np.sum(theta**2 + 1 - np.cos(2 * np.pi * theta), axis=1) + 1
        return loss, 2 * theta + 2 * np.pi * np.sin(2 * np.pi * theta)


@dataclass(frozen=True)
class Logistic:
    """Mean logistic loss of a linear classifier on random data with flipped labels, plus L².

    Attributes:
        signed: Rows y_i x_i of the data, ``[m, n]``.
        decay: λ of ½λ|θ|².
    """

    signed: Array
    decay: float = 0.01

    @classmethod
    def random(cls, rng: np.random.Generator, m: int = 200, n: int = 20) -> Logistic:
        """Draw data whose labels are right nine times in ten."""
        data, teacher = rng.standard_normal((m, n)), rng.standard_normal(n)
        flips = np.where(rng.random(m) < 0.1, -1.0, 1.0)
        return cls(data * (np.sign(data @ teacher) * flips)[:, None])

    def __call__(self, theta: Array) -> tuple[Array, Array]:
        """Return losses and gradients."""
        margin = theta @ self.signed.T
        loss = np.mean(np.logaddexp(0.0, -margin), axis=1)
        loss = loss + 0.5 * self.decay * np.sum(theta**2, axis=1)
        gradient = -(expit(-margin) @ self.signed) / len(self.signed) + self.decay * theta
        return loss, gradient

    def minimiser(self) -> Array:
        """Return the only minimum, by Newton's method."""
        theta = np.zeros(self.signed.shape[1])
        for _ in range(50):
            gradient = self(theta[None])[1][0]
            p = expit(self.signed @ theta)
            weighted = self.signed * (p * (1 - p) / len(p))[:, None]
            hessian = self.signed.T @ weighted + self.decay * np.eye(len(theta))
            theta = theta - np.linalg.solve(hessian, gradient)
        return theta


@dataclass(frozen=True)
class Ackley:
    """The regularised Ackley function in the plane (eq. 29); its lowest minimum is F(0) = 0."""

    def __call__(self, theta: Array) -> tuple[Array, Array]:
        """Return losses and gradients; not differentiable at 0."""
        r = np.sqrt(0.5 * np.sum(theta**2, axis=1))
        funnel = -20 * np.exp(-0.2 * r)
        ripple = -np.exp(0.5 * np.sum(np.cos(2 * np.pi * theta), axis=1))
        square = np.sum(theta**2, axis=1)
        loss = funnel + ripple + math.e + 20 + 1e-8 * square**4
        gradient = (
            (-0.1 * funnel / r)[:, None] * theta
            - ripple[:, None] * np.pi * np.sin(2 * np.pi * theta)
            + (8e-8 * square**3)[:, None] * theta
        )
        return loss, gradient


def directions(rng: np.random.Generator, rows: int, n: int) -> Array:
    """Return uniformly random unit vectors.

    Args:
        rng: Their source.
        rows: Number of rows.
        n: Dimension.

    Returns:
        Shape ``[rows, n]``.
    """
    z = rng.standard_normal((rows, n))
    return np.asarray(z / np.linalg.norm(z, axis=1, keepdims=True))
