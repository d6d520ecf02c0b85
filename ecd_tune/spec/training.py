"""``[training]``: how a learning task is trained, apart from the optimizer's hyperparameters."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal, Self

from pydantic import BaseModel, ConfigDict, Field

from ecd_tune.records import Params
from ecd_tune.registry import Hyperparameter

__all__ = ["SEARCHABLE_SCHEDULE", "Schedule", "TrainingSpec"]

SEARCHABLE_SCHEDULE: Mapping[str, Hyperparameter] = {
    "schedule": Hyperparameter(
        str,
        "the learning rate over the run",
        choices=("constant", "linear", "cosine", "step"),
    ),
    "schedule_warmup": Hyperparameter(
        float, "share of all steps over which lr first rises", low=0.0, high=1.0, high_open=True
    ),
    "schedule_final": Hyperparameter(
        float, "factor of lr at the end of linear and cosine", low=0.0, high=1.0
    ),
}
"""What a search space may name beside hyperparameters: name, ``warmup`` and ``final`` of the
schedule of a task that learns."""


class _Table(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class Schedule(_Table):
    """``[training.schedule]``: the learning rate over the run, as a factor of ``lr``.

    It acts on each parameter group's ``lr``, whatever the optimizer.

    Attributes:
        name: ``constant``, ``linear`` (to ``final``), ``cosine`` (to ``final``) or ``step``.
        warmup: Share of all steps over which the factor first rises from 0 to 1.
        final: Factor at the end of ``linear`` and ``cosine``.
        every: Epochs between two drops of ``step``.
        factor: What ``step`` multiplies by at each drop.
    """

    name: Literal["constant", "linear", "cosine", "step"] = "constant"
    warmup: float = Field(default=0.0, ge=0.0, lt=1.0)
    final: float = Field(default=0.0, ge=0.0, le=1.0)
    every: int = Field(default=30, ge=1)
    factor: float = Field(default=0.1, gt=0.0, le=1.0)


class TrainingSpec(_Table):
    """``[training]``: the training loop's settings; tasks that count iterations have none.

    Attributes:
        clip: Largest norm of the gradient of one step, or None.
        eval_every: Epochs between two evaluations; the first and the last epoch always are.
        schedule: The learning rate over the run.
    """

    clip: float | None = Field(default=None, gt=0.0)
    eval_every: int = Field(default=1, ge=1)
    schedule: Schedule = Schedule()

    def with_searched(self, params: Params) -> Self:
        """Return these settings with what a search space says of the schedule.

        Args:
            params: Searched values; others than those of the schedule do not matter.

        Returns:
            A changed copy, or this object where nothing is said.
        """
        found: dict[str, Any] = {
            name.removeprefix("schedule_"): params[name]
            for name in SEARCHABLE_SCHEDULE
            if name in params
        }
        if not found:
            return self
        if "schedule" in found:
            found["name"] = found.pop("schedule")
        schedule = Schedule.model_validate({**self.schedule.model_dump(), **found})
        return self.model_copy(update={"schedule": schedule})
