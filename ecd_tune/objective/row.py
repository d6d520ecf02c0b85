"""One request of a call of the objective."""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from typing import Any

from ecd_tune.objective.checkpoint import Audience, Prune, Report, Slot, Tick
from ecd_tune.records import RunRequest, Stage

__all__ = ["Row", "make_audience"]


@dataclass(frozen=True)
class Row:
    """One request of a call.

    Attributes:
        request: The request.
        slot: Where its run is kept, or None.
        audience: Who follows the run.
    """

    request: RunRequest
    slot: Slot | None
    audience: Audience


def make_audience(
    row: int,
    request: RunRequest,
    report: Report | None,
    prune: Prune | None,
    tick: Tick | None,
) -> Audience:
    """Return who follows one of the runs of a call.

    Args:
        row: Number of the request in the call.
        request: The request.
        report: Told of epochs, or None.
        prune: Asked whether to end it, or None.
        tick: Told of steps, or None.
    """
    given: dict[str, Any] = {}
    if report is not None:
        given["report"] = partial(report, row)
    if prune is not None and request.stage is not Stage.CONFIRM:  # which goes to its end
        given["prune"] = partial(prune, row)
    if tick is not None:
        given["tick"] = partial(tick, row)
    return Audience(**given)
