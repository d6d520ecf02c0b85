"""Tasks: the optimized problems and their metrics.

Names are imported when first used: reading :data:`TASK_DEFS` imports no torch.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

from ecd_tune.tasks.definitions import TASK_DEFS, check_options

if TYPE_CHECKING:
    from ecd_tune.tasks.base import (
        BatchedTask,
        ClosableProblem,
        CountedProblem,
        DigestedTask,
        GroupedProblem,
        NetworkProblem,
        NormalisedProblem,
        Problem,
        PublishedTask,
        RepeatableProblem,
        Split,
        StatefulProblem,
        Task,
        differentiate,
    )
    from ecd_tune.tasks.seeds import seed_everything
    from ecd_tune.tasks.stacking import StackableTask, StackedProblem

__all__ = [
    "TASK_DEFS",
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
    "StackableTask",
    "StackedProblem",
    "StatefulProblem",
    "Task",
    "check_options",
    "differentiate",
    "seed_everything",
]

_HOMES = dict.fromkeys(
    (
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
    ),
    "base",
) | {"seed_everything": "seeds", "StackableTask": "stacking", "StackedProblem": "stacking"}


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"{__name__}.{_HOMES[name]}"), name)
