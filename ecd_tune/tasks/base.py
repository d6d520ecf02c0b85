"""Task protocols: the interface that the objective needs, and nothing else.

A *task* is made once from a study file's options. ``build`` turns it into a *problem*: one
instance with its own parameters and data order, all of it decided by the seed. A task knows no
optimizer. A task whose trials are independent rows of one tensor is a :class:`BatchedTask` too,
and one that learns may be a :class:`~ecd_tune.tasks.StackableTask`: then many trials run at once.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, Literal, Protocol, TypeVar, runtime_checkable

import torch
from torch import Tensor, nn

from ecd_tune.errors import TaskError
from ecd_tune.records import Stage

__all__ = [
    "BatchedTask",
    "ClosableProblem",
    "CountedProblem",
    "DigestedTask",
    "GroupedProblem",
    "NetworkProblem",
    "NormalisedProblem",
    "Problem",
    "PublishedTask",
    "RepeatableProblem",
    "Split",
    "StatefulProblem",
    "Task",
    "differentiate",
    "part_of",
]

Split = Literal["train", "val", "test"]
Part = TypeVar("Part")


def part_of(task: str, parts: Mapping[Any, Part], split: Split) -> Part:
    """Return one split of a problem's data.

    Args:
        task: Name of the task, for the message.
        parts: The data by split.
        split: The split.

    Raises:
        TaskError: The test split, in a problem built for the search.
    """
    if split not in parts:
        raise TaskError(
            f"{task}: the {split} split is not available in a search run; build the problem with "
            "Stage.CONFIRM"
        )
    return parts[split]


@runtime_checkable
class Problem(Protocol):
    """One instance of a task: parameters to optimize, and their evaluation.

    Attributes:
        parameters: Leaf tensors that the optimizer changes in place.
        steps_per_epoch: Steps of the optimizer that make one epoch; 1 where the task counts
            iterations.
        metric: Key in ``evaluate("val")`` of the metric of a trial, for example ``"accuracy"``.
            None: the loss is the metric, at every step.
    """

    parameters: list[Tensor]
    steps_per_epoch: int
    metric: str | None

    def closure(self, step: int) -> Tensor:
        """Compute the loss of one step and its gradient.

        Args:
            step: Number of the step, from 0; decides which examples are used. The same step
                always uses the same ones.

        Returns:
            The loss, 0-d and detached; ``grad`` of each parameter holds its gradient, whatever
            it held before.
        """
        ...

    def evaluate(self, split: Split) -> Mapping[str, float]:
        """Evaluate the present parameters on one part of the data.

        Args:
            split: ``train``, ``val`` or ``test``; a problem built for the search refuses
                ``test`` where it has one.

        Returns:
            Metric to value, with the key ``loss`` always among them.
        """
        ...


@runtime_checkable
class StatefulProblem(Problem, Protocol):
    """A problem whose steps depend on more than its parameters and the number of the step.

    Running means of a batch normalisation, for example. Both methods are optional: only a
    problem that has them has this state in its checkpoints.
    """

    def state_dict(self) -> dict[str, Any]:
        """Return that state: tensors, numbers, strings, and lists and dictionaries of them."""
        ...

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Restore it.

        Args:
            state: Returned by :meth:`state_dict`, read with ``torch.load(weights_only=True)``.
        """
        ...


@runtime_checkable
class ClosableProblem(Problem, Protocol):
    """A problem that holds processes or files; optional."""

    def close(self) -> None:
        """Release them; called at the end of every run."""
        ...


@runtime_checkable
class CountedProblem(Problem, Protocol):
    """A problem that knows the number of examples per step; optional.

    Where gradients of several batches are accumulated, each is weighted by its examples, and the
    speed of a run is in examples. Without it batches have equal weights.
    """

    def examples(self, step: int) -> int:
        """Return the number of examples of a step.

        Args:
            step: As for :meth:`Problem.closure`.
        """
        ...


@runtime_checkable
class GroupedProblem(Problem, Protocol):
    """A problem that names groups of its parameters; optional.

    A study may then search a factor for one of them. The task's definition has the same names.

    Attributes:
        groups: Name to parameters; each parameter is in one group.
    """

    groups: Mapping[str, Sequence[Tensor]]


@runtime_checkable
class NetworkProblem(Problem, Protocol):
    """A problem that shows its torch module; optional.

    ``[training]`` can then have it compiled, or given images in another memory format.

    Attributes:
        network: The module of every forward pass.
    """

    network: nn.Module


@runtime_checkable
class RepeatableProblem(Problem, Protocol):
    """A problem that can pass a step's batch forward once more; optional.

    The paper's code does so after each step on Tiny ImageNet and ImageNet, for the accuracy on
    the batch; its effect is a second update of running statistics.
    """

    def pass_forward(self, step: int) -> None:
        """Run the network on the batch of a step as in training, without a gradient.

        Args:
            step: The step that was made last.
        """
        ...


@runtime_checkable
class NormalisedProblem(StatefulProblem, Protocol):
    """A problem whose running statistics can be made to fit any parameters; optional."""

    def renew_statistics(self) -> None:
        """Recompute the running statistics for the present parameters."""
        ...


@runtime_checkable
class Task(Protocol):
    """A task with its options set."""

    def build(self, seed: int, stage: Stage) -> Problem:
        """Make one instance.

        Args:
            seed: Decides everything random: initial parameters, start point, data order.
            stage: Only a problem built for the confirmation gives access to test data.

        Returns:
            A problem that shares no state with any other.
        """
        ...


@runtime_checkable
class PublishedTask(Task, Protocol):
    """A task whose validation split is a part of the published training data.

    The paper has no such split: it trains on all of these data. ``build_published`` is optional;
    without it a problem of the paper's protocol trains on the same data as any other.
    """

    def build_published(self, seed: int) -> Problem:
        """Make one instance that trains on all published training data.

        Args:
            seed: As for :meth:`Task.build`.

        Returns:
            A problem that can evaluate ``train`` and ``test``.
        """
        ...


@runtime_checkable
class DigestedTask(Task, Protocol):
    """A task with a digest of its data; optional.

    Each trial stores the digest, so that trials on different data are distinguished. For the tasks
    here it is one of the files of their data sets.
    """

    def data_digest(self) -> str:
        """Return up to 16 characters that change with the data; empty where it is not known."""
        ...


@runtime_checkable
class BatchedTask(Task, Protocol):
    """A task of which B instances run as the rows of one tensor."""

    def start(self, seeds: Sequence[int]) -> Tensor:
        """Return the start points, shape ``[B, n]``: row b as ``build(seeds[b], …)`` has it."""
        ...

    def loss(self, theta: Tensor) -> Tensor:
        """Return F of each row: ``[B, n]`` to ``[B]``."""
        ...

    def loss_and_gradient(self, theta: Tensor) -> tuple[Tensor, Tensor]:
        """Return F ``[B]`` and its gradient ``[B, n]``, both detached.

        A task without a closed form calls :func:`differentiate`.
        """
        ...


def differentiate(loss: Callable[[Tensor], Tensor], theta: Tensor) -> tuple[Tensor, Tensor]:
    """Compute a batch of losses and gradients by automatic differentiation.

    Args:
        loss: Maps ``[B, n]`` to ``[B]``; row b of the result depends only on row b.
        theta: Points, shape ``[B, n]``.

    Returns:
        Loss ``[B]`` and gradient ``[B, n]``, both detached.
    """
    point = theta.detach().requires_grad_(True)
    with torch.enable_grad():
        values = loss(point)
        (gradient,) = torch.autograd.grad(values.sum(), point)
    return values.detach(), gradient
