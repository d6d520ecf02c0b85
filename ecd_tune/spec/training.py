"""``[training]``: how a learning task is trained, apart from the optimizer's hyperparameters."""

from __future__ import annotations

from typing import Literal

from pydantic import BaseModel, ConfigDict, Field

__all__ = ["Schedule", "TrainingSpec"]


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
