"""``@ecd_tune.task``: a user task, made from one function."""

from __future__ import annotations

from collections.abc import Callable
from functools import update_wrapper
from typing import TYPE_CHECKING, Any, Literal

from ecd_tune.errors import TaskError
from ecd_tune.records import Direction
from ecd_tune.references import reference_to, short_reference
from ecd_tune.registry import Option, TaskDef

if TYPE_CHECKING:
    from ecd_tune.tasks.own.run import Run
    from ecd_tune.tasks.own.task import FunctionTask

__all__ = ["OwnTask", "task"]

_OPTIONS = {
    "device": Option(str, "auto", "auto (a GPU if there is one), cpu, cuda or cuda:N"),
}


class OwnTask:
    """A function as a task.

    Args:
        function: Describes a model on a :class:`~ecd_tune.tasks.own.run.Run`, or trains one.
        metric: The metric of a trial.
        direction: Whether a smaller or a larger metric is better.
        epochs: Length of a trial.
        title: Title in reports.

    Attributes:
        function: The function.
        metric: The metric.
        direction: The direction.
    """

    def __init__(
        self,
        function: Callable[[Run], object],
        metric: str,
        direction: Direction,
        epochs: int,
        title: str,
    ) -> None:
        self.function, self.metric, self.direction = function, metric, direction
        self._epochs, self._title = epochs, title
        self.loops: bool | None = None
        self.data_digest = ""
        update_wrapper(self, function)

    def __call__(self, run: Run) -> object:
        """Call the function."""
        return self.function(run)

    @property
    def reference(self) -> str:
        """The name under which any process finds this task.

        Raises:
            TaskError: It is defined inside a function.
        """
        return reference_to(self.function.__module__, self.function.__qualname__)

    def define(self, reference: str) -> TaskDef:
        """Return the definition that replaces a registered one.

        Args:
            reference: Under which the task was found.

        Returns:
            The definition.
        """
        words = self.metric.replace("_", " ")
        best = "best" if self.direction is Direction.MAXIMIZE else "lowest"
        return TaskDef(
            name=short_reference(reference),
            title=self._title,
            factory=f"{reference}.make",
            metric=f"{best} validation {words} over the epochs",
            direction=self.direction,
            budget_unit="epochs",
            options=_OPTIONS,
            confirm_metric=f"test_{self.metric}",
            source=short_reference(reference),
            steps=self._epochs,
        )

    def make(self, **options: Any) -> FunctionTask:
        """Make the task with its options set.

        Args:
            **options: ``device``.

        Returns:
            The task.

        Raises:
            TaskError: There is no such option.
        """
        from ecd_tune.tasks.own.task import FunctionTask

        unknown = sorted(set(options) - set(_OPTIONS))
        if unknown:
            raise TaskError(f"{self._title} has no option {unknown[0]}; known: device")
        return FunctionTask(self, str(options.get("device", "auto")))


def task(
    *,
    metric: str,
    direction: Literal["minimize", "maximize"],
    epochs: int,
    title: str = "",
) -> Callable[[Callable[[Run], object]], OwnTask]:
    """Define a task by a function.

    Args:
        metric: Name of the metric, for example ``"accuracy"``; ``"loss"`` if the loss is the
            metric.
        direction: Whether a smaller or a larger metric is better.
        epochs: Length of a trial.
        title: Title in reports; the function's name when not given.

    Returns:
        A decorator; its result replaces the function.

    Raises:
        TaskError: An argument is not allowed.
    """
    if not isinstance(metric, str) or not metric.isidentifier():
        raise TaskError(
            f"@task(metric={metric!r}): must be one word of letters, digits and _, "
            'such as "accuracy"'
        )
    if direction not in tuple(Direction):
        raise TaskError(f'@task(direction={direction!r}): must be "minimize" or "maximize"')
    if metric == "loss" and direction == "maximize":
        raise TaskError('@task(metric="loss", direction="maximize"): a loss is minimized')
    if not isinstance(epochs, int) or isinstance(epochs, bool) or epochs < 1:
        raise TaskError(f"@task(epochs={epochs!r}): must be a whole number, >= 1")

    def decorate(function: Callable[[Run], object]) -> OwnTask:
        name = title or getattr(function, "__name__", "task")
        return OwnTask(function, metric, Direction(direction), epochs, name)

    return decorate
