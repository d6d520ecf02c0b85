"""Whether trials of a study can be trained together, and the settings of their lanes."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

from ecd_tune.objective.checkpoints.snapshots import Snapshots
from ecd_tune.objective.lanes.lane import Job, Lane, LaneKind
from ecd_tune.objective.lanes.row_optimizers import RowOptimizers
from ecd_tune.objective.resolving import Resolving
from ecd_tune.objective.single import RunPlan, make_training
from ecd_tune.objective.training.protocols import Protocol, builder, evaluation_split
from ecd_tune.objective.training.speed import Clock
from ecd_tune.records import Outcome, RunRequest, Scalar
from ecd_tune.registry import OptimizerDef, load_attribute
from ecd_tune.spec import OptimizerSpec, TrainingSpec
from ecd_tune.tasks import Problem, StackableTask, Task

__all__ = ["lane_kind", "why_not_stacked"]


def why_not_stacked(task: Task, definition: OptimizerDef, training: TrainingSpec) -> str | None:
    """Return why the trials of an optimizer are trained one by one, or None.

    Args:
        task: The task.
        definition: Of the optimizer.
        training: How it is trained.
    """
    if not isinstance(task, StackableTask):
        return "the task has no batched form"
    if definition.batched is None:
        return f"optimizer {definition.name!r} has no batched form"
    unsupported = {
        "averaging": training.averaging is not None,
        "accumulate": training.accumulate > 1,
        "precision": training.precision != "fp32",
        "second_forward": training.second_forward,
        "memory_format": training.memory_format != "contiguous",
        "compile": training.compile,
    }
    named = [key for key, found in unsupported.items() if found]
    if named:
        return f"[training] {', '.join(named)}: needs single trials"
    return task.why_not_stacked()


def lane_kind(
    task: Any,
    optimizer: OptimizerSpec,
    protocol: Protocol,
    plan: Callable[[RunRequest], RunPlan],
    alone: Callable[[Job], Outcome],
    snapshots: Callable[[Job], Snapshots | None],
) -> LaneKind:
    """Return the settings of an optimizer's lanes.

    Args:
        task: The task; a :class:`~ecd_tune.tasks.StackableTask`.
        optimizer: The optimizer in the study.
        protocol: Of the study.
        plan: How the run of a request goes.
        alone: Runs a job by itself.
        snapshots: Returns where a job is saved, or None.

    Returns:
        The arguments of :func:`~ecd_tune.objective.lanes.lanes.run_lanes`.
    """
    build = builder(task, protocol)
    definition = optimizer.definition
    single = load_attribute(definition.factory)
    batched = load_attribute(definition.batched or "")

    def make(row: int, rows: RowOptimizers, params: Any, seed: int, **values: Scalar) -> Any:
        own = single(params, seed, **values)
        grouped = isinstance(params[0], dict)
        return own if grouped else rows.offer(batched, row, own, values) or own

    def begin(job: Job, problem: Problem, row: int, rows: RowOptimizers, clock: Clock) -> Lane:
        request, metric = job.request, problem.metric
        assert metric is not None  # a task that learns
        resolving = Resolving(optimizer, partial(make, row, rows))
        made = resolving.single(problem, request.seed, **request.params)
        advance = rows.join(row, made)
        parts = make_training(problem, made, metric, plan(request), job.callbacks, clock, advance)
        kept = snapshots(job)
        return Lane(job, *parts, clock, lambda outcome: resolving.mark([outcome])[0], kept)

    return LaneKind(
        task.stack,
        lambda request: build(request.seed, request.stage),
        begin,
        alone,
        evaluation_split(protocol),
    )
