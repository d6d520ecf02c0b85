"""Training data and evaluation split of a run, by the study's protocol."""

from __future__ import annotations

from collections.abc import Callable
from typing import Literal

from ecd_tune.records import Stage
from ecd_tune.tasks import PublishedTask, Split, Task
from ecd_tune.tasks.base import Problem

__all__ = ["Build", "Protocol", "builder", "evaluation_split"]

Protocol = Literal["paper", "clean"]
Build = Callable[[int, Stage], Problem]
"""``build(seed, stage)``: one problem."""


def evaluation_split(protocol: Protocol) -> Split:
    """Return the split that chooses epoch and hyperparameters.

    Args:
        protocol: Of the study.

    Returns:
        ``"test"`` under the paper's protocol, which reports the metric that it selects by.
    """
    return "test" if protocol == "paper" else "val"


def builder(task: Task, protocol: Protocol) -> Build:
    """Return the function that builds the problems of a study.

    Args:
        task: The task.
        protocol: Of the study.

    Returns:
        Under the clean protocol the task's own ``build``. Under the paper's protocol problems hold
        the test split in both stages; if the validation split is part of the published training
        data, it is used for training too.
    """
    if protocol == "clean":
        return task.build
    if isinstance(task, PublishedTask):
        return lambda seed, stage: task.build_published(seed)
    return lambda seed, stage: task.build(seed, Stage.CONFIRM)
