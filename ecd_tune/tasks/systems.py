"""Test systems of the theory as tasks: a quadratic, a rippled bowl, a noisy logistic loss.

The predictions of the laws of ``docs/theory.md`` for them are known exactly or easy to compute, so
studies on them test the theory by design. They work on rows, as the functions of
:mod:`ecd_tune.tasks.functions` do, and a row's result does not depend on the other rows.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property

import torch
from torch import Tensor

from ecd_tune.records import Scalar
from ecd_tune.tasks.definitions import TASK_DEFS, check_options
from ecd_tune.tasks.functions import Function
from ecd_tune.tasks.seeds import stream
from ecd_tune.tasks.synthetic import FixedStart, StartRule, SyntheticTask, dtype_of

__all__ = [
    "NoisyLogistic",
    "NormalStart",
    "Quadratic",
    "RippledBowl",
    "make_noisy_logistic",
    "make_quadratic",
    "make_rippled_bowl",
]

_FLIPPED = 0.1
"""Share of the labels of the logistic loss that are wrong."""


@dataclass(frozen=True)
class NormalStart:
    """A point with normal coordinates.

    Attributes:
        n: Dimension.
        scale: Standard deviation of each coordinate.
    """

    n: int
    scale: float = 1.0

    def draw(self, seed: int) -> Tensor:
        """Return the point of this seed, shape ``[n]``, float64."""
        z = torch.randn(self.n, generator=stream(seed, "start"), dtype=torch.float64)
        return self.scale * z


@dataclass(frozen=True)
class Quadratic:
    """F = Fmin + Σ F2_i θ_i²; the Hessian's eigenvalues are 2 F2_i.

    Attributes:
        n: Dimension.
        condition: Ratio of the largest to the smallest F2_i; they are evenly spaced on a
            logarithmic scale.
        curvature: Geometric mean of the F2_i: the F2 of ``ecd_tune.theory.Basin``.
        F_min: Lowest loss.
        dtype: Type of the F2_i; θ must have the same.
    """

    n: int
    condition: float = 10.0
    curvature: float = 1.0
    F_min: float = 1.0
    dtype: torch.dtype = torch.float64

    @cached_property
    def curvatures(self) -> Tensor:
        """F2_i, shape ``[n]``, rising."""
        half = 0.5 * math.log(self.condition) if self.n > 1 else 0.0
        exponents = torch.linspace(-half, half, self.n, dtype=torch.float64)
        return (self.curvature * exponents.exp()).to(self.dtype)

    def loss(self, theta: Tensor) -> Tensor:
        """Return F, ``[B, n]`` to ``[B]``."""
        return self.F_min + (self.curvatures * theta * theta).sum(1)

    def loss_and_gradient(self, theta: Tensor) -> tuple[Tensor, Tensor]:
        """Return F ``[B]`` and its gradient ``[B, n]``."""
        half = self.curvatures * theta
        return self.F_min + (half * theta).sum(1), 2 * half


@dataclass(frozen=True)
class RippledBowl:
    """F = Fmin + Σ (θ_i² + 1 − cos 2πθ_i): many local minima, the lowest at 0.

    Attributes:
        F_min: Lowest loss.
    """

    F_min: float = 1.0

    def loss(self, theta: Tensor) -> Tensor:
        """Return F, ``[B, n]`` to ``[B]``."""
        # 1 − cos 2x = 2 sin² x keeps its precision near 0.
        ripple = torch.sin(math.pi * theta).square()
        return self.F_min + (theta * theta + 2 * ripple).sum(1)

    def loss_and_gradient(self, theta: Tensor) -> tuple[Tensor, Tensor]:
        """Return F ``[B]`` and its gradient ``[B, n]``."""
        return self.loss(theta), 2 * theta + 2 * math.pi * torch.sin(2 * math.pi * theta)


@dataclass(frozen=True)
class NoisyLogistic:
    """Mean logistic loss of a linear classifier on random data, and ½ decay |θ|²: convex.

    One label in ten is wrong, so that the lowest loss is well above 0.

    Attributes:
        n: Dimension of an example.
        examples: Number of examples.
        decay: Factor of ½|θ|².
        data_seed: Decides the data.
        dtype: Type of the data; θ must have the same.
    """

    n: int = 20
    examples: int = 200
    decay: float = 0.01
    data_seed: int = 0
    dtype: torch.dtype = torch.float64

    @cached_property
    def signed(self) -> Tensor:
        """Examples times their labels of ±1, shape ``[examples, n]``."""
        generator = stream(self.data_seed, "data")
        data = torch.randn(self.examples, self.n, generator=generator, dtype=torch.float64)
        teacher = torch.randn(self.n, generator=generator, dtype=torch.float64)
        wrong = torch.rand(self.examples, generator=generator) < _FLIPPED
        labels = torch.where((data @ teacher > 0) == wrong, -1.0, 1.0)
        return (data * labels.unsqueeze(1)).to(self.dtype)

    def loss(self, theta: Tensor) -> Tensor:
        """Return F, ``[B, n]`` to ``[B]``."""
        return self._loss(theta, self._margins(theta))

    def loss_and_gradient(self, theta: Tensor) -> tuple[Tensor, Tensor]:
        """Return F ``[B]`` and its gradient ``[B, n]``."""
        margins = self._margins(theta)
        doubt = torch.sigmoid(-margins) / self.examples
        pull = (doubt.unsqueeze(2) * self.signed).sum(1)
        return self._loss(theta, margins), self.decay * theta - pull

    def _margins(self, theta: Tensor) -> Tensor:
        # Sums, not a matrix product: a row's result must not depend on how many rows there are.
        return (theta.unsqueeze(1) * self.signed).sum(2)

    def _loss(self, theta: Tensor, margins: Tensor) -> Tensor:
        fit = -torch.nn.functional.logsigmoid(margins).mean(1)
        return fit + 0.5 * self.decay * (theta * theta).sum(1)


def make_quadratic(**options: Scalar) -> SyntheticTask:
    """Make the quadratic.

    Args:
        **options: As declared for ``quadratic`` in :mod:`ecd_tune.tasks.definitions`.

    Returns:
        The task.
    """
    chosen = check_options(TASK_DEFS["quadratic"], options)
    n, dtype = int(chosen["n"]), dtype_of(chosen)
    numbers = {name: float(chosen[name]) for name in ("condition", "curvature", "F_min")}
    return _task(chosen, n, Quadratic(n, **numbers, dtype=dtype))


def make_rippled_bowl(**options: Scalar) -> SyntheticTask:
    """Make the rippled bowl.

    Args:
        **options: As declared for ``rippled_bowl`` in :mod:`ecd_tune.tasks.definitions`.

    Returns:
        The task.
    """
    chosen = check_options(TASK_DEFS["rippled_bowl"], options)
    return _task(chosen, int(chosen["n"]), RippledBowl(float(chosen["F_min"])))


def make_noisy_logistic(**options: Scalar) -> SyntheticTask:
    """Make the noisy logistic loss.

    Args:
        **options: As declared for ``noisy_logistic`` in :mod:`ecd_tune.tasks.definitions`.

    Returns:
        The task.
    """
    chosen = check_options(TASK_DEFS["noisy_logistic"], options)
    n, examples, data_seed = (int(chosen[name]) for name in ("n", "examples", "data_seed"))
    decay, dtype = float(chosen["decay"]), dtype_of(chosen)
    return _task(chosen, n, NoisyLogistic(n, examples, decay, data_seed, dtype))


def _task(chosen: Mapping[str, Scalar], n: int, function: Function) -> SyntheticTask:
    normal = chosen["start"] == "normal"
    starts: StartRule = (
        NormalStart(n, float(chosen["spread"])) if normal else FixedStart((1.0,) * n)
    )
    return SyntheticTask(function, starts, dtype_of(chosen))
