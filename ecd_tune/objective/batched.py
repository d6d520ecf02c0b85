"""Run a whole batch of trials at once: one row each."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from ecd_tune.objective.checkpoints.interrupt import Stop, check_stop
from ecd_tune.objective.outcomes import (
    measured_metrics,
    nonfinite,
    optimizer_metrics,
    trajectory_outcome,
)
from ecd_tune.optim import BatchedOptimizer
from ecd_tune.optim.monitoring.run_measurer import RunMeasurer
from ecd_tune.optim.monitoring.watching import Watched
from ecd_tune.records import Outcome, Params, RunCost, RunRequest
from ecd_tune.tasks import BatchedTask

__all__ = ["MakeBatched", "evaluate_batch"]

MakeBatched = Callable[[list[Tensor], Sequence[int], Sequence[Params]], BatchedOptimizer]


@dataclass(frozen=True)
class _Trace:
    """Results of a batch.

    Attributes:
        losses: Loss at each iterate, ``[steps, B]``, float64; 0 where it was not evaluated.
        lengths: Number of finite losses of each row from the start, ``[B]``.
        report: The optimizer's counters, each with one entry per row.
    """

    losses: Tensor
    lengths: Tensor
    report: Mapping[str, Any]


def evaluate_batch(
    task: BatchedTask,
    make: MakeBatched,
    requests: Sequence[RunRequest],
    steps: int,
    stop: Stop | None = None,
    measure: bool = False,
) -> list[Outcome]:
    """Run one batch.

    A row whose loss is NaN or infinite stays where it is from then on, and reaches no other.

    Args:
        task: The task.
        make: ``make(theta, seeds, hyperparameters) -> BatchedOptimizer``.
        requests: One per row, with all required hyperparameters.
        steps: Iterates to evaluate, the start included.
        stop: Polled every few steps.
        measure: Measure the runs for the checks of the theory, where their optimizer allows it.

    Returns:
        One outcome per request, in the same order. The wall time is shared equally.

    Raises:
        Interrupted: ``stop`` requested it.
    """
    began = time.perf_counter()
    measurer = RunMeasurer(steps, len(requests)) if measure else None
    trace = _descend(task, make, requests, steps, stop, measurer)
    seconds = (time.perf_counter() - began) / len(requests)
    cost = RunCost(seconds, str(trace.losses.device))
    measured = [{}] * len(requests) if measurer is None else measured_metrics(measurer)
    return [_row_outcome(trace, row, cost, measured[row]) for row in range(len(requests))]


def _descend(
    task: BatchedTask,
    make: MakeBatched,
    requests: Sequence[RunRequest],
    steps: int,
    stop: Stop | None,
    measurer: RunMeasurer | None,
) -> _Trace:
    seeds = [request.seed for request in requests]
    theta = task.start(seeds)
    optimizer = make([theta], seeds, [request.params for request in requests])
    if measurer is not None and isinstance(optimizer, Watched):
        optimizer.watch(measurer)
    losses = theta.new_zeros((steps, len(seeds)), dtype=torch.float64)
    active = torch.ones(len(seeds), dtype=torch.bool, device=theta.device)
    lengths = torch.zeros_like(active, dtype=torch.int64)
    for step in range(steps):
        check_stop(stop, step)
        loss, gradient = task.loss_and_gradient(theta)
        losses[step] = loss
        active &= loss.isfinite()
        lengths += active
        if not active.any():
            break
        optimizer.step(loss, [gradient], active)
    return _Trace(losses, lengths, optimizer.report())


def _row_outcome(trace: _Trace, row: int, cost: RunCost, measured: Mapping[str, float]) -> Outcome:
    length = int(trace.lengths[row])
    values = trace.losses[:length, row].numpy(force=True)
    reason = None
    if length < len(trace.losses):
        reason = nonfinite("loss", float(trace.losses[length, row]), f"at iteration {length}")
    report = {name: column[row] for name, column in trace.report.items()}
    metrics = {**optimizer_metrics(report), **({} if reason else measured)}
    return trajectory_outcome(values, reason, cost, metrics)
