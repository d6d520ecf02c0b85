"""One request of a call of the objective."""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from typing import Any

from ecd_tune.objective.checkpoints.checkpoint import (
    Callbacks,
    CheckpointHandle,
    OnStep,
    Prune,
    Report,
)
from ecd_tune.records import RunRequest, Stage

__all__ = ["Row", "make_callbacks"]


@dataclass(frozen=True)
class Row:
    """One request of a call.

    Attributes:
        request: The request.
        handle: Where its run is saved, or None.
        callbacks: Callbacks of the run.
    """

    request: RunRequest
    handle: CheckpointHandle | None
    callbacks: Callbacks


def make_callbacks(
    row: int,
    request: RunRequest,
    report: Report | None,
    prune: Prune | None,
    on_step: OnStep | None,
) -> Callbacks:
    """Return who follows one of the runs of a call.

    Args:
        row: Number of the request in the call.
        request: The request.
        report: Told of epochs, or None.
        prune: Asked whether to end it, or None.
        on_step: Told of steps, or None.
    """
    given: dict[str, Any] = {}
    if report is not None:
        given["report"] = partial(report, row)
    if prune is not None and request.stage is not Stage.CONFIRM:  # which goes to its end
        given["prune"] = partial(prune, row)
    if on_step is not None:
        given["on_step"] = partial(on_step, row)
    return Callbacks(**given)
