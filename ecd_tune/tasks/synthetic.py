"""The synthetic tasks: a function, a start point, nothing else.

One class serves all: trials are rows of one tensor (:class:`ecd_tune.tasks.BatchedTask`), and
one row alone is an ordinary :class:`ecd_tune.tasks.Problem` for optimizers without a batched
form.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

import torch
from torch import Tensor

from ecd_tune.records import Scalar, Stage
from ecd_tune.tasks.base import Split
from ecd_tune.tasks.definitions import TASK_DEFS, check_options
from ecd_tune.tasks.functions import Ackley, Function, Zakharov
from ecd_tune.tasks.seeds import stream

__all__ = [
    "FixedStart",
    "SyntheticProblem",
    "SyntheticTask",
    "StartRule",
    "UniformStart",
    "dtype_of",
    "make_ackley",
    "make_zakharov",
]


class StartRule(Protocol):
    """The rule for start points."""

    def draw(self, seed: int) -> Tensor:
        """Return the point of this seed, shape ``[n]``, float64."""
        ...


@dataclass(frozen=True)
class FixedStart:
    """The same point for every seed.

    Attributes:
        point: Coordinates.
    """

    point: tuple[float, ...]

    def draw(self, seed: int) -> Tensor:
        """Return the point, shape ``[n]``, float64."""
        return torch.tensor(self.point, dtype=torch.float64)


@dataclass(frozen=True)
class UniformStart:
    """A point uniform in a cube.

    Attributes:
        n: Dimension.
        high: Each coordinate is from U(0, high).
    """

    n: int
    high: float

    def draw(self, seed: int) -> Tensor:
        """Return the point of this seed, shape ``[n]``, float64."""
        return self.high * torch.rand(self.n, generator=stream(seed, "start"), dtype=torch.float64)


class SyntheticProblem:
    """One point on a function.

    Args:
        function: The function.
        theta: Start point, shape ``[n]``; becomes the only parameter.
    """

    metric: str | None = None
    steps_per_epoch = 1

    def __init__(self, function: Function, theta: Tensor) -> None:
        self._function = function
        self._theta = theta.detach().clone().requires_grad_(True)
        self.parameters = [self._theta]

    def closure(self, step: int) -> Tensor:
        """Compute F and its gradient at the present point; ``step`` does not matter."""
        with torch.no_grad():
            loss, gradient = self._function.loss_and_gradient(self._theta.unsqueeze(0))
        self._theta.grad = gradient[0]
        return loss[0]

    def evaluate(self, split: Split) -> Mapping[str, float]:
        """Return F at the present point as ``loss``; there is no data, so all splits are equal."""
        with torch.no_grad():
            return {"loss": float(self._function.loss(self._theta.unsqueeze(0))[0])}


@dataclass(frozen=True)
class SyntheticTask:
    """A function with the rule for its start points.

    Attributes:
        function: The function.
        starts: Seed to start point.
        dtype: Type of parameters and arithmetic.
    """

    function: Function
    starts: StartRule
    dtype: torch.dtype = torch.float64

    def build(self, seed: int, stage: Stage) -> SyntheticProblem:
        """Make one instance; the stage does not matter."""
        return SyntheticProblem(self.function, self.start([seed])[0])

    def start(self, seeds: Sequence[int]) -> Tensor:
        """Return the start points, shape ``[B, n]``."""
        return torch.stack([self.starts.draw(seed) for seed in seeds]).to(self.dtype)

    def loss(self, theta: Tensor) -> Tensor:
        """Return F, ``[B, n]`` to ``[B]``."""
        return self.function.loss(theta)

    def loss_and_gradient(self, theta: Tensor) -> tuple[Tensor, Tensor]:
        """Return F ``[B]`` and its gradient ``[B, n]``."""
        with torch.no_grad():
            return self.function.loss_and_gradient(theta)


def make_zakharov(**options: Scalar) -> SyntheticTask:
    """Make the Zakharov task (eq. 28).

    Args:
        **options: As declared for ``zakharov`` in :mod:`ecd_tune.tasks.definitions`.

    Returns:
        The task.
    """
    chosen = check_options(TASK_DEFS["zakharov"], options)
    n, dtype = int(chosen["n"]), dtype_of(chosen)
    uniform = chosen["start"] == "uniform"
    starts: StartRule = UniformStart(n, 1.5) if uniform else FixedStart((1.0,) * n)
    return SyntheticTask(Zakharov(n, dtype), starts, dtype)


def make_ackley(**options: Scalar) -> SyntheticTask:
    """Make the regularised Ackley task (eq. 29).

    Args:
        **options: As declared for ``ackley`` in :mod:`ecd_tune.tasks.definitions`.

    Returns:
        The task.
    """
    chosen = check_options(TASK_DEFS["ackley"], options)
    uniform = chosen["start"] == "uniform"
    starts: StartRule = UniformStart(2, 3.0) if uniform else FixedStart((-4.0, 3.0))
    return SyntheticTask(Ackley(float(chosen["slope"])), starts, dtype_of(chosen))


def dtype_of(options: Mapping[str, Scalar]) -> torch.dtype:
    """Return the type that the option ``dtype`` names."""
    return torch.float32 if options["dtype"] == "float32" else torch.float64
