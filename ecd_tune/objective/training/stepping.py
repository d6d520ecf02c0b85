"""A problem and its optimizer, one step after the other, and all of their state."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor

from ecd_tune.errors import NonFiniteLossError
from ecd_tune.objective.outcomes import measured_metrics, nonfinite, optimizer_metrics
from ecd_tune.objective.training.batches import Batches
from ecd_tune.optim.base import LossOptimizer
from ecd_tune.optim.monitoring.run_measurer import RunMeasurer
from ecd_tune.optim.monitoring.watching import Watched
from ecd_tune.tasks import Problem, StatefulProblem

__all__ = ["Stepper", "copy_into", "steps_between_checks"]

_LOOK_EVERY = 16


class Stepper:
    """Makes the steps of one run.

    Args:
        problem: The problem.
        optimizer: Its optimizer.
        pace: Number of a step to the factor of each group's ``lr`` at it; None leaves ``lr``
            unchanged.
        clip: Largest norm of the gradient, or None.
        batches: What a step sees; None: one batch of the problem.
        diagnose: Record the optimizer's diagnostics, if it has them.
        measurer: Measures the run for the checks of the theory, or None.
        advance: Makes a step of :meth:`take` in place of the optimizer's own, or None.

    Attributes:
        problem: The problem.
        batches: What a step sees.
        number: Number of the next step, from 0.
    """

    def __init__(
        self,
        problem: Problem,
        optimizer: torch.optim.Optimizer,
        pace: Callable[[int], float] | None = None,
        clip: float | None = None,
        batches: Batches | None = None,
        diagnose: bool = False,
        measurer: RunMeasurer | None = None,
        advance: Callable[[float | Tensor], None] | None = None,
    ) -> None:
        self.problem, self._optimizer = problem, optimizer
        self._pace, self._clip, self._diagnose = pace, clip, diagnose
        self._measurer = measurer
        if measurer is not None and isinstance(optimizer, Watched):
            optimizer.watch(measurer)
        self.batches = batches or Batches(problem)
        self._full_lr = [group["lr"] for group in optimizer.param_groups]
        self._advance = advance
        self._look_every = steps_between_checks(problem.parameters[0].device)
        self.number = 0
        self._losses: list[float] = []
        self._unseen: list[tuple[int, Tensor]] = []

    @property
    def device(self) -> str:
        """Device of the parameters, for example ``"cpu"``."""
        return str(self.problem.parameters[0].device)

    @property
    def losses(self) -> list[float]:
        """Losses of the steps so far; the caller may empty it.

        Raises:
            NonFiniteLossError: One is NaN or infinite.
        """
        self._look()
        return self._losses

    def step(self) -> None:
        """Make one step.

        Raises:
            NonFiniteLossError: The loss is NaN or infinite. On the CPU nothing was changed; on
                a GPU, which is not waited for, some steps may have been made since.
        """
        number = self.number
        first = len(self._unseen)
        self._set_lr(number)

        def closure() -> Tensor:
            loss = self.batches.closure(number)
            # Check it before the optimizer uses it: not all optimizers check the loss.
            if self._look_every == 1:
                _check(float(loss), number)
            if len(self._unseen) == first:  # some optimizers ask twice
                self._unseen.append((number, loss.detach()))
            if self._clip is not None:
                torch.nn.utils.clip_grad_norm_(self.problem.parameters, self._clip)
            return loss

        if isinstance(self._optimizer, LossOptimizer):
            self._optimizer.step(loss=closure())  # a closure costs it fifty times as much
        else:
            self._optimizer.step(closure)  # type: ignore[arg-type]  # torch says float
        self.batches.finish(number)
        self.number += 1
        if len(self._unseen) >= self._look_every:
            self._look()

    def take(self, loss: float | Tensor) -> None:
        """Make one step for a loss whose gradient the parameters already have.

        Args:
            loss: The loss, which :meth:`see` has seen, or will see within
                :func:`steps_between_checks` steps.
        """
        self._set_lr(self.number)
        if self._clip is not None:
            torch.nn.utils.clip_grad_norm_(self.problem.parameters, self._clip)
        if self._advance is not None:
            self._advance(loss)
        elif isinstance(self._optimizer, LossOptimizer):
            self._optimizer.step(loss=loss)
        else:
            self._optimizer.step(lambda: loss)  # type: ignore[arg-type, return-value]
        self.number += 1

    def see(self, loss: float, number: int) -> None:
        """Process the loss of a step of :meth:`take`.

        Args:
            loss: The loss.
            number: Number of the step; the one after that seen last.

        Raises:
            NonFiniteLossError: It is NaN or infinite.
        """
        _check(loss, number)
        self._losses.append(loss)

    def _look(self) -> None:
        if not self._unseen:
            return
        unseen, self._unseen = self._unseen, []
        values = torch.stack([loss for _, loss in unseen]).tolist()
        for (number, _), value in zip(unseen, values, strict=True):
            _check(value, number)
            self._losses.append(value)

    def _set_lr(self, number: int) -> None:
        if self._pace is not None:
            factor = self._pace(number)
            for group, full in zip(self._optimizer.param_groups, self._full_lr, strict=True):
                group["lr"] = full * factor

    @contextmanager
    def evaluating(self) -> Iterator[None]:
        """Let an optimizer with two modes put its averaged weights in place meanwhile."""
        modes = [getattr(self._optimizer, name, None) for name in ("eval", "train")]
        if not all(map(callable, modes)):
            yield
            return
        self._optimizer.eval()  # type: ignore[attr-defined]
        try:
            yield
        finally:
            self._optimizer.train()  # type: ignore[attr-defined]

    def report(self) -> dict[str, float]:
        """Return the optimizer's counters, if it has any."""
        report = getattr(self._optimizer, "report", None)
        return optimizer_metrics(report()) if report is not None else {}

    def measured(self) -> dict[str, float]:
        """Return the measurements of a completed run as metrics."""
        return {} if self._measurer is None else measured_metrics(self._measurer)[0]

    def diagnostics(self) -> dict[str, float]:
        """Return the optimizer's diagnostics since the last call, without undefined values.

        Returns:
            Name to number, as in ``ECDSep.diagnostics``; empty if not requested or not available.
        """
        diagnostics = getattr(self._optimizer, "diagnostics", None)
        if not self._diagnose or diagnostics is None:
            return {}
        said: dict[str, float] = diagnostics()
        return {
            name: value for name, value in said.items() if name != "steps" and math.isfinite(value)
        }

    def state_dict(self) -> dict[str, Any]:
        """Return all that the next steps depend on."""
        problem = self.problem
        return {
            "number": self.number,
            "losses": list(self.losses),
            "parameters": [parameter.detach() for parameter in problem.parameters],
            "optimizer": self._optimizer.state_dict(),
            "problem": problem.state_dict() if isinstance(problem, StatefulProblem) else None,
            "meter": None if self._measurer is None else self._measurer.state_dict(),
        }

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Resume the saved run.

        Args:
            state: Returned by :meth:`state_dict`.

        Raises:
            ValueError: It does not fit this problem.
        """
        problem, extra = self.problem, state["problem"]
        copy_into(problem.parameters, state["parameters"])
        self._optimizer.load_state_dict(state["optimizer"])
        if isinstance(problem, StatefulProblem) != (extra is not None):
            raise ValueError("only one of problem and checkpoint has additional state")
        if isinstance(problem, StatefulProblem):
            problem.load_state_dict(extra)
        if (self._measurer is None) != (state["meter"] is None):
            raise ValueError("only one of the run and its checkpoint has measurements")
        if self._measurer is not None:
            self._measurer.load_state_dict(state["meter"], problem.parameters[0].device)
        self._losses, self._unseen = [float(loss) for loss in state["losses"]], []
        self.number = int(state["number"])


def steps_between_checks(device: torch.device) -> int:
    """Return the number of steps between two checks of the losses.

    Args:
        device: Where they are computed. A look waits for all that was asked of a GPU.
    """
    return 1 if device.type == "cpu" else _LOOK_EVERY


def _check(value: float, number: int) -> None:
    if not math.isfinite(value):
        raise NonFiniteLossError(nonfinite("loss", value, f"at iteration {number}"))


@torch.no_grad()
def copy_into(parameters: list[Tensor], saved: list[Tensor]) -> None:
    """Write saved values into parameters, in place.

    Args:
        parameters: Target parameters.
        saved: One per parameter.

    Raises:
        ValueError: Number, shapes or dtypes differ; ``copy_`` would broadcast and round.
    """
    present = [(tuple(p.shape), p.dtype) for p in parameters]
    kept = [(tuple(s.shape), s.dtype) for s in saved]
    if present != kept:
        raise ValueError(f"the parameters have shapes {present}, the saved ones {kept}")
    for parameter, value in zip(parameters, saved, strict=True):
        parameter.copy_(value)
