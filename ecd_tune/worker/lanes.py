"""Train leased trials together, and those that follow."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

from ecd_tune.objective import Callbacks, CheckpointHandle, Job, Objective
from ecd_tune.records import Lease, RunRequest, Stage
from ecd_tune.store import ReportBuffer
from ecd_tune.worker.feed import Feed
from ecd_tune.worker.pruning import TrialPruner

__all__ = ["follow", "train_lanes"]


def train_lanes(
    objective: Objective,
    stage: Stage,
    feed: Feed,
    width: int,
    callbacks: Callable[[Lease], Callbacks],
    stop: Callable[[], bool],
    handle: Callable[[Lease], CheckpointHandle | None] = lambda lease: None,
    request: Callable[[Lease], RunRequest] = lambda lease: lease.request,
) -> None:
    """Train the trials of a feed until it is empty.

    Args:
        objective: Of the trials' optimizer.
        stage: Of all trials.
        feed: Brings trials and takes their outcomes.
        width: Trials at once.
        callbacks: Returns the callbacks of a trial.
        stop: Polled at each step.
        handle: Returns where a trial is saved, or None.
        request: Returns what is to be run of a lease.

    Raises:
        Interrupted: ``stop`` requested it.
    """

    def jobs(count: int) -> list[Job]:
        return [
            Job(request(lease), partial(feed.put, lease), callbacks(lease), handle(lease))
            for lease in feed.take(count)
        ]

    with feed.flowing():
        objective.run_lanes(stage, jobs, width, stop)


def follow(reports: ReportBuffer, pruner: TrialPruner | None, lease: Lease) -> Callbacks:
    """Return the callbacks of a trial.

    Args:
        reports: Takes the metric of each epoch.
        pruner: Decides whether it continues, or None.
        lease: The trial.
    """
    points: dict[int, float] = {}

    def report(step: int, value: float) -> None:
        points[step] = value
        reports.report(lease, step, value)

    if pruner is None:
        return Callbacks(report)
    return Callbacks(report, lambda: pruner.decide(lease, points))
