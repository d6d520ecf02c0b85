"""Means of tensors, and of the nested states that hold them."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor
from torch.optim.swa_utils import get_swa_multi_avg_fn

from ecd_tune.objective.training.stepping import copy_into
from ecd_tune.tasks import Problem, StatefulProblem

__all__ = ["Mean", "Weights", "copy_state", "mix"]

_include = get_swa_multi_avg_fn()  # type: ignore[no-untyped-call]


class Weights:
    """Parameters of a problem, and its running statistics where it has any.

    Args:
        parameters: Copies, one per parameter.
        state: Of a stateful problem, or None.
    """

    def __init__(self, parameters: list[Tensor], state: dict[str, Any] | None) -> None:
        self.parameters, self.state = parameters, state

    @classmethod
    def of(cls, problem: Problem) -> Weights:
        """Copy the present ones.

        Args:
            problem: The problem.

        Returns:
            A copy that later steps do not change.
        """
        # Not isinstance: for a protocol it takes longer than the copy.
        state_of = getattr(problem, "state_dict", None)
        state = None if state_of is None else copy_state(state_of())
        return cls([p.detach().clone() for p in problem.parameters], state)

    def put(self, problem: Problem) -> None:
        """Write them into a problem.

        Args:
            problem: The one they are from, or its like.
        """
        copy_into(problem.parameters, self.parameters)
        if isinstance(problem, StatefulProblem) and self.state is not None:
            problem.load_state_dict(self.state)

    def to_dict(self) -> dict[str, Any]:
        """Return the input of :meth:`from_dict`."""
        return {"parameters": list(self.parameters), "state": self.state}

    @classmethod
    def from_dict(cls, held: dict[str, Any], like: Problem) -> Weights:
        """Restore the result of :meth:`to_dict`, perhaps read from a file.

        Args:
            held: Parameters and state.
            like: A problem that they must fit.

        Returns:
            Weights in separate memory, on the problem's device.
        """
        own = [p.detach().clone() for p in like.parameters]
        copy_into(own, held["parameters"])
        return cls(own, copy_state(held["state"], own[0].device))


class Mean:
    """A running mean of weights, each with the same share.

    Attributes:
        count: How many are in it.
        weights: The mean; None before the first.
    """

    def __init__(self) -> None:
        self.count = 0
        self.weights: Weights | None = None

    def include(self, new: Weights) -> Weights:
        """Add one.

        Args:
            new: Not changed, but the mean may keep its memory.

        Returns:
            The mean.
        """
        mean = self.weights
        if mean is None:
            mean = self.weights = Weights(
                [p.clone() for p in new.parameters], copy_state(new.state)
            )
        else:
            _include(mean.parameters, new.parameters, self.count)
            mean.state = mix(mean.state, new.state, 1 / (self.count + 1))
        self.count += 1
        return mean

    def to_dict(self) -> dict[str, Any]:
        """Return the input of :meth:`from_dict`."""
        held = None if self.weights is None else self.weights.to_dict()
        return {"count": self.count, "weights": held}

    @classmethod
    def from_dict(cls, held: dict[str, Any], like: Problem) -> Mean:
        """Restore the result of :meth:`to_dict`.

        Args:
            held: The mean.
            like: A problem that it must fit.

        Returns:
            The mean.

        Raises:
            ValueError: A count without weights, or weights without one.
        """
        mean = cls()
        mean.count = int(held["count"])
        if (mean.count > 0) != (held["weights"] is not None):
            raise ValueError(f"a mean of {mean.count} has weights, or none")
        if held["weights"] is not None:
            mean.weights = Weights.from_dict(held["weights"], like)
        return mean


def mix(mean: Any, new: Any, share: float) -> Any:
    """Move a nested state towards another one of the same shape.

    Args:
        mean: Tensors, numbers and texts in lists and dictionaries.
        new: The same with other values.
        share: Of the new one, in [0, 1].

    Returns:
        A new state; what is no real tensor or float, such as a count, is the new one's.
    """
    if isinstance(mean, Tensor) and mean.is_floating_point():
        return torch.lerp(mean, new, share)
    if isinstance(mean, dict):
        return {key: mix(value, new[key], share) for key, value in mean.items()}
    if isinstance(mean, (list, tuple)):
        return type(mean)(mix(a, b, share) for a, b in zip(mean, new, strict=True))
    if isinstance(mean, float):
        return mean + (new - mean) * share
    return new


def copy_state(state: Any, device: torch.device | None = None) -> Any:
    """Copy a nested state.

    Args:
        state: Tensors, numbers and texts in lists and dictionaries.
        device: Device of the copies; None where the originals do.

    Returns:
        A copy that later steps do not change.
    """
    if isinstance(state, Tensor):
        return state.detach().to(device or state.device, copy=True)
    if isinstance(state, dict):
        return {key: copy_state(value, device) for key, value in state.items()}
    if isinstance(state, (list, tuple)):
        return type(state)(copy_state(value, device) for value in state)
    return state
