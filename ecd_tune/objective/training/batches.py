"""The data of one optimizer step: one batch of the task, or several combined."""

from __future__ import annotations

from contextlib import AbstractContextManager

from torch import Tensor

from ecd_tune.errors import TaskError
from ecd_tune.objective.training.hardware import Precision, computing
from ecd_tune.tasks import CountedProblem, Problem, RepeatableProblem

__all__ = ["Batches"]


class Batches:
    """The losses and gradients of a problem, step by step.

    Args:
        problem: The problem.
        accumulate: Batches that make one step. Each counts by its examples, so that loss and
            gradient are those of one large batch, to rounding; the last step of an epoch takes
            what is left. Normalisation over a batch and dropout still see small ones.
        precision: How the device computes; see
            :func:`~ecd_tune.objective.training.hardware.computing`.
        again: Pass the batches of a step forward once more after it.

    Raises:
        TaskError: The problem cannot pass a batch forward once more.
    """

    def __init__(
        self,
        problem: Problem,
        accumulate: int = 1,
        precision: Precision = "fp32",
        again: bool = False,
    ) -> None:
        if again and not isinstance(problem, RepeatableProblem):
            raise TaskError(
                "[training]: second_forward = true: this task does not support a second forward "
                "pass; remove the key"
            )
        self._problem, self._accumulate, self._precision = problem, accumulate, precision
        self._again = again
        # Checked once: isinstance with a protocol takes as long as a small step.
        self._examples = problem.examples if isinstance(problem, CountedProblem) else None
        self._length = problem.steps_per_epoch
        self.steps_per_epoch = -(-self._length // accumulate)

    def precision(self) -> AbstractContextManager[None]:
        """Return the context in which the network runs, also for evaluation."""
        return computing(self._problem.parameters[0].device, self._precision)

    def closure(self, step: int) -> Tensor:
        """Compute the loss of one step of the optimizer and its gradient.

        Args:
            step: Number of the step, from 0.

        Returns:
            The loss, as :meth:`~ecd_tune.tasks.base.Problem.closure` returns it.
        """
        parts = self._parts(step)
        if len(parts) == 1:
            return self._one(parts[0])
        weights = [self._count(part) for part in parts]
        total = sum(weights)
        losses = self._one(parts[0]) * (weights[0] / total)
        gradients = _take_gradients(self._problem.parameters, weights[0] / total)
        for part, weight in zip(parts[1:], weights[1:], strict=True):
            losses = losses + self._one(part) * (weight / total)
            _add_gradients(gradients, self._problem.parameters, weight / total)
        for parameter, gradient in zip(self._problem.parameters, gradients, strict=True):
            parameter.grad = gradient
        return losses

    def finish(self, step: int) -> None:
        """Run the second forward pass after a step, if the study requires it.

        Args:
            step: Number of the step that was made.
        """
        if self._again and isinstance(self._problem, RepeatableProblem):
            for part in self._parts(step):
                with self.precision():
                    self._problem.pass_forward(part)

    def examples(self, step: int) -> int:
        """Return the number of examples of a step, or of batches if the problem has no count.

        Args:
            step: Number of the step, from 0.
        """
        return sum(self._count(part) for part in self._parts(step))

    def _one(self, part: int) -> Tensor:
        with self.precision():
            return self._problem.closure(part)

    def _count(self, part: int) -> int:
        return 1 if self._examples is None else self._examples(part)

    def _parts(self, step: int) -> range:
        epoch, place = divmod(step, self.steps_per_epoch)
        first = epoch * self._length + place * self._accumulate
        return range(first, min(first + self._accumulate, (epoch + 1) * self._length))


def _take_gradients(parameters: list[Tensor], factor: float) -> list[Tensor | None]:
    # Multiplied into new tensors: the problem may reuse its own.
    return [None if p.grad is None else p.grad * factor for p in parameters]


def _add_gradients(gradients: list[Tensor | None], parameters: list[Tensor], factor: float) -> None:
    for index, parameter in enumerate(parameters):
        if parameter.grad is None:
            continue
        before = gradients[index]
        if before is None:
            gradients[index] = parameter.grad * factor
        else:
            before.add_(parameter.grad, alpha=factor)
