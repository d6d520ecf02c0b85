"""A user task with its options set: builds problems, or runs a loop."""

from __future__ import annotations

import inspect
from typing import TYPE_CHECKING

from ecd_tune.records import Stage
from ecd_tune.tasks._device import choose_device
from ecd_tune.tasks.own.problem import ModelProblem
from ecd_tune.tasks.own.run import Description, Driver, KeepsLoop, Run
from ecd_tune.tasks.own.stack import why_not_stacked
from ecd_tune.tasks.seeds import seed_everything
from ecd_tune.tasks.stacked_networks import StacksNetworks

if TYPE_CHECKING:
    from ecd_tune.tasks.own.definition import OwnTask

__all__ = ["FunctionTask"]


class FunctionTask(StacksNetworks):
    """A user task.

    Args:
        own: The decorated function.
        device: As the option of that name.

    Attributes:
        metric: Name of its metric.
    """

    def __init__(self, own: OwnTask, device: str) -> None:
        self._own, self._device = own, choose_device(device)
        self.metric = own.metric
        self._why_alone: tuple[str | None] | None = None

    @property
    def loops(self) -> bool:
        """Whether the function has its own loop; it is called once to find out."""
        if self._own.loops is None:
            run = self._run(0, Stage.SEARCH, None)
            try:
                self._own.function(run)
                run.describe()
            except KeepsLoop:
                self._own.loops = True
            else:
                self._own.loops, self._own.data_digest = False, run.data_digest()
        return self._own.loops

    def data_digest(self) -> str:
        """Return the digest of the data for seed 0; empty for a task with its own loop."""
        return "" if self.loops else self._own.data_digest

    def source(self) -> tuple[str, str]:
        """Return the file of the function, empty where there is none, and its source."""
        function = inspect.unwrap(self._own.function)
        try:
            return inspect.getsourcefile(function) or "", inspect.getsource(function)
        except (OSError, TypeError):  # typed at a prompt, or no function at all
            return "", ""

    def describe(self, seed: int, stage: Stage) -> Description:
        """Return what the task is for one seed.

        Args:
            seed: Decides the model's initial values.
            stage: It holds the test split only in a confirmation.

        Returns:
            The description; its model is a new one.

        Raises:
            KeepsLoop: It has its own loop.
            TaskError: The function's description is incomplete.
        """
        run = self._run(seed, stage, None)
        self._own.function(run)
        return run.describe()

    def build(self, seed: int, stage: Stage) -> ModelProblem:
        """Make one instance of a task of the first form."""
        return ModelProblem(self.describe(seed, stage), seed)

    def why_not_stacked(self) -> str | None:
        """Return why its models do not compute together, or None; tried once."""
        if self._why_alone is None:
            kept = "it has its own loop" if self.loops else None
            found = kept or why_not_stacked(lambda seed: self.build(seed, Stage.SEARCH))
            self._why_alone = (found,)
        return self._why_alone[0]

    def drive(self, seed: int, stage: Stage, driver: Driver) -> None:
        """Run the loop of a task of the second form.

        Args:
            seed: Of the run.
            stage: Search or confirmation.
            driver: The implementation behind the run.
        """
        self._own.function(self._run(seed, stage, driver))

    def _run(self, seed: int, stage: Stage, driver: Driver | None) -> Run:
        seed_everything(seed, "build")
        return Run(seed, self._device, self._own.metric, stage is Stage.CONFIRM, driver)
