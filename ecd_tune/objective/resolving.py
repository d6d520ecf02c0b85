"""Resolve searched values for a network of n parameters."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

from torch import Tensor

from ecd_tune.errors import TaskError
from ecd_tune.records import Outcome, Params, Scalar
from ecd_tune.space import RESOLVED
from ecd_tune.spec import OptimizerSpec
from ecd_tune.tasks import GroupedProblem, Problem

__all__ = ["Resolving"]


class Resolving:
    """Makes the optimizers of one call, and remembers what they were given.

    Args:
        spec: The optimizer in the study.
        make: Its factory, for single runs or for batches.
    """

    def __init__(self, spec: OptimizerSpec, make: Any) -> None:
        self._spec, self._make = spec, make
        self._found: list[Mapping[str, float]] = []

    def single(self, problem: Problem, seed: int, **searched: Scalar) -> Any:
        """Make an optimizer of one run.

        Args:
            problem: The problem to optimize.
            seed: Of the run.
            **searched: Values as the space has them.

        Returns:
            The optimizer.
        """
        given = self._spec.resolve(searched, sum(p.numel() for p in problem.parameters))
        self._found = [_changes(given, searched)]
        common = {name: value for name, value in given.items() if "." not in name}
        grouped = {name: value for name, value in given.items() if "." in name}
        return self._make(_in_groups(problem, grouped), seed, **common)

    def batch(self, theta: list[Tensor], seeds: Sequence[int], searched: Sequence[Params]) -> Any:
        """Create the optimizer of a batch.

        Args:
            theta: Parameter blocks, the first dimension being the batch.
            seeds: One per run.
            searched: Values of each run as the space has them.

        Returns:
            The optimizer.
        """
        n = sum(block[0].numel() for block in theta)
        given = [self._spec.resolve(params, n) for params in searched]
        self._found = [_changes(own, params) for own, params in zip(given, searched, strict=True)]
        return self._make(theta, seeds, given)

    def mark(self, outcomes: Sequence[Outcome]) -> list[Outcome]:
        """Record the resolved values.

        Args:
            outcomes: Of the runs that were made, in order.

        Returns:
            The outcomes with a metric ``resolved_NAME`` for each value that followed from
            another, or that is 0 where a small one was drawn.
        """
        return [
            replace(outcome, metrics={**outcome.metrics, **found})
            for outcome, found in zip(outcomes, self._found, strict=True)
        ]


def _in_groups(problem: Problem, grouped: Params) -> list[Tensor] | list[dict[str, Any]]:
    # NAME.GROUP for groups with their own values.
    if not grouped:
        return problem.parameters
    if not isinstance(problem, GroupedProblem):
        raise TaskError(f"{', '.join(grouped)}: the task has no parameter groups")
    groups: dict[str, dict[str, Any]] = {
        name: {"params": list(params)} for name, params in problem.groups.items()
    }
    for key, value in grouped.items():
        name, _, group = key.partition(".")
        groups[group][name] = value
    return list(groups.values())


def _changes(given: Mapping[str, Scalar], searched: Params) -> dict[str, float]:
    changed = {k: v for k, v in given.items() if k not in searched or v != searched[k]}
    return {f"{RESOLVED}{k}": float(v) for k, v in changed.items()}
