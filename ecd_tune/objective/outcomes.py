"""Convert measurements to an :class:`ecd_tune.records.Outcome`."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from ecd_tune.errors import NonFiniteLossError
from ecd_tune.optim.monitoring.run_measurer import RunMeasurer
from ecd_tune.records import METRIC, Cause, Curve, Outcome, RunCost, Status

__all__ = [
    "cause_of",
    "failure",
    "measured_metrics",
    "nonfinite",
    "optimizer_metrics",
    "paused_after",
    "thin_steps",
    "trajectory_outcome",
]

_CURVE_POINTS = 70
_GRID_POINTS = 90
_OUT_OF_MEMORY = ("not enough memory", "can't allocate memory", "out of memory", "ALLOC_FAILED")
_REPORTED = (
    "updates", "held", "converged_steps", "unreachable", "shifts", "bounces",
    "found_nu", "found_lr", "found_F0", "share_hot", "path", "path_needed", "hot", "slow",
    "plateau", "plateau_gap", "plateau_floor",
)  # fmt: skip
"""Numbers of an optimizer's ``report()`` that are stored with a trial."""


def nonfinite(what: str, value: float, place: str) -> str:
    """Return the reason for a non-finite number.

    Returns:
        For example ``"loss became non-finite (inf) at iteration 37"``.
    """
    return f"{what} became non-finite ({value}) {place}"


def paused_after(epoch: int) -> str:
    """Return the reason of a run paused after an epoch; final unless the run is continued."""
    return f"paused after epoch {epoch}"


def failure(error: Exception, cost: RunCost, place: str = "", trace: str = "") -> Outcome:
    """Make the outcome of a run that an exception ended.

    Args:
        error: The exception; its type gives the cause, type and message become the reason.
        cost: Cost of the run until then.
        place: The line that it comes from, where its reader can change that.
        trace: Its traceback, if it should be shown.

    Returns:
        An outcome without a value.
    """
    reason = f"{type(error).__name__}: {error}" + (f" ({place})" if place else "")
    return Outcome(Status.FAILED, reason=reason, cost=cost, cause=cause_of(error), trace=trace)


def cause_of(error: Exception) -> Cause:
    """Return the cause of a run that an exception ended.

    Args:
        error: The exception.

    Returns:
        ``NON_FINITE``, ``OUT_OF_MEMORY`` or ``EXCEPTION``.
    """
    if isinstance(error, NonFiniteLossError):
        return Cause.NON_FINITE
    if isinstance(error, MemoryError | torch.OutOfMemoryError):
        return Cause.OUT_OF_MEMORY
    # Torch has no exception type for it on a CPU, and in its libraries on a GPU.
    lacking = isinstance(error, RuntimeError) and any(t in str(error) for t in _OUT_OF_MEMORY)
    return Cause.OUT_OF_MEMORY if lacking else Cause.EXCEPTION


def trajectory_outcome(
    values: NDArray[np.float64],
    reason: str | None,
    cost: RunCost,
    metrics: Mapping[str, float] | None = None,
) -> Outcome:
    """Return the outcome of a run that is evaluated by its smallest loss.

    Args:
        values: Loss at each evaluated iterate, the start first, up to the last finite one.
        reason: Why the run ended early, or None.
        cost: Its cost.
        metrics: Further numbers.

    Returns:
        COMPLETE; DIVERGED when there is a reason; FAILED when no value is finite.
    """
    if len(values) == 0:
        return Outcome(Status.FAILED, reason=reason, cost=cost, cause=Cause.NON_FINITE)
    best = int(values.argmin())
    steps = thin_steps(len(values))
    own = {
        "start": float(values[0]),
        "final": float(values[-1]),
        "best": float(values[best]),
        "best_step": float(best),
    }
    return Outcome(
        status=Status.COMPLETE if reason is None else Status.DIVERGED,
        value=own["best"],
        metrics={**own, **(metrics or {})},
        curves={METRIC: Curve(steps, tuple(float(values[k]) for k in steps))},
        reason=reason,
        cost=cost,
    )


def thin_steps(count: int) -> tuple[int, ...]:
    """Choose about 70 of the steps 0 … count - 1, evenly on a logarithmic scale.

    Args:
        count: Number of steps, at least 1.

    Returns:
        Increasing steps, with the first and the last; all of them when there are few.
    """
    if count <= _CURVE_POINTS:
        return tuple(range(count))
    # Rounding merges the dense beginning, so the grid is finer than what is wanted.
    grid = np.geomspace(1, count, _GRID_POINTS).round().astype(int) - 1
    return tuple(int(step) for step in np.unique(grid))


def measured_metrics(measurer: RunMeasurer) -> list[dict[str, float]]:
    """Return the measurements as metrics that are stored with a trial.

    Args:
        measurer: Of completed runs.

    Returns:
        One mapping per row of the batch; empty where nothing could be measured.
    """
    return [{} if found is None else found.to_metrics() for found in measurer.read()]


def optimizer_metrics(report: Mapping[str, Any]) -> dict[str, float]:
    """Select the counters of an optimizer's report that are stored with a trial.

    Args:
        report: Name to number.

    Returns:
        The known and finite ones.
    """
    chosen = {name: float(report[name]) for name in _REPORTED if report.get(name) is not None}
    return {name: value for name, value in chosen.items() if math.isfinite(value)}
