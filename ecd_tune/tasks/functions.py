"""The paper's two test functions, with their gradients in closed form.

Both work on rows: ``[B, n]`` gives ``[B]``. The gradients are written out because they cost a
third of automatic differentiation, and a search of 500 trials is nothing but gradients.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import cached_property
from typing import Protocol

import torch
from torch import Tensor

__all__ = ["Ackley", "Function", "Zakharov"]


class Function(Protocol):
    """A function of n variables, on rows."""

    def loss(self, theta: Tensor) -> Tensor:
        """Return F, ``[B, n]`` to ``[B]``."""
        ...

    def loss_and_gradient(self, theta: Tensor) -> tuple[Tensor, Tensor]:
        """Return F ``[B]`` and its gradient ``[B, n]``."""
        ...


@dataclass(frozen=True)
class Zakharov:
    """F = Σθᵢ² + (½Σ iθᵢ)² + (½Σ iθᵢ)⁴ (eq. 28); its only minimum is F(0) = 0.

    Attributes:
        n: Dimension.
        dtype: Type of the weights ½i; θ must have the same.
    """

    n: int
    dtype: torch.dtype = torch.float64

    @cached_property
    def weights(self) -> Tensor:
        """½i for i = 1 … n."""
        return torch.arange(1, self.n + 1, dtype=self.dtype) / 2

    def loss(self, theta: Tensor) -> Tensor:
        """Return F, ``[B, n]`` to ``[B]``."""
        slope = (theta * self.weights).sum(1)
        square = slope * slope
        return (theta * theta).sum(1) + square + square * square

    def loss_and_gradient(self, theta: Tensor) -> tuple[Tensor, Tensor]:
        """Return F ``[B]`` and its gradient ``[B, n]``."""
        # Sums, not a matrix product: a row's result must not depend on how many rows there are.
        slope = (theta * self.weights).sum(1)
        square = slope * slope
        loss = (theta * theta).sum(1) + square + square * square
        along = slope * (2 + 4 * square)
        return loss, 2 * theta + along.unsqueeze(1) * self.weights


@dataclass(frozen=True)
class Ackley:
    """The regularised Ackley function in the plane (eq. 29); its lowest minimum is F(0) = 0.

    F = −20 exp(−a √(r²/2)) − exp(½ Σ cos 2πθᵢ) + e + 20 + 10⁻⁸ r⁸ with r² = Σθᵢ².

    The constants are moved into ``expm1``, with cos 2πθ = 1 − 2 sin² πθ, so that F keeps its
    relative precision near the minimum, is never negative, and is 0 at 0. The formula as printed is
    off by 10⁻⁶ there in float32.

    Attributes:
        slope: a; 0.2 in the paper, 0.02 in its public code.
    """

    slope: float = 0.2

    def loss(self, theta: Tensor) -> Tensor:
        """Return F, ``[B, 2]`` to ``[B]``."""
        cusp = (theta == 0).all(1)
        # The radius has no derivative at 0; where(), twice, keeps its NaN out of the gradient.
        x = torch.where(cusp.unsqueeze(1), 1.0, theta)
        r = torch.where(cusp, 0.0, torch.hypot(x[:, 0], x[:, 1]))
        ripple = torch.sin(math.pi * theta).square().sum(1)
        funnel, bumps = torch.expm1(-self._rate * r), torch.expm1(-ripple)
        return -20 * funnel - math.e * bumps + 1e-8 * r.pow(8)

    def loss_and_gradient(self, theta: Tensor) -> tuple[Tensor, Tensor]:
        """Return F ``[B]`` and its gradient ``[B, 2]``, with 0 for the gradient at the cusp θ = 0.

        The cusp has no gradient: F rises at the same rate in every direction. Zero is the mean
        over the directions, and what the closed form gives when 0/0 counts as 0.
        """
        # hypot, not a root of squares, which underflow and would make small θ look like 0.
        r = torch.hypot(theta[:, 0], theta[:, 1])
        angle = math.pi * theta
        sine = torch.sin(angle)
        funnel, bumps = torch.expm1(-self._rate * r), torch.expm1(-sine.square().sum(1))
        loss = -20 * funnel - math.e * bumps + 1e-8 * r.pow(8)
        outward = theta / r.clamp(min=torch.finfo(theta.dtype).tiny).unsqueeze(1)
        radial = 20 * self._rate * (funnel + 1) + 8e-8 * r.pow(7)
        # d sin²πθ/dθ = 2π sin πθ cos πθ.
        ripple = 2 * math.pi * math.e * (bumps + 1)
        return loss, radial.unsqueeze(1) * outward + ripple.unsqueeze(1) * sine * angle.cos()

    @property
    def _rate(self) -> float:
        return self.slope / math.sqrt(2)
