"""The objective of a study: evaluates one optimizer's hyperparameters on the task."""

from __future__ import annotations

import hashlib
import json
import logging
import time
import traceback
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import torch

from ecd_tune.errors import EcdTuneError, TaskError, UnknownNameError
from ecd_tune.objective.batched import evaluate_batch
from ecd_tune.objective.checkpoints.checkpoint import (
    Callbacks,
    CheckpointHandle,
    OnStep,
    Prune,
    Report,
)
from ecd_tune.objective.checkpoints.interrupt import Interrupted, Stop
from ecd_tune.objective.checkpoints.snapshots import Snapshots
from ecd_tune.objective.lanes.kinds import lane_kind, why_not_stacked
from ecd_tune.objective.lanes.lane import Job
from ecd_tune.objective.lanes.lanes import run_lanes
from ecd_tune.objective.lanes.widths import choose_width
from ecd_tune.objective.loops.loop import evaluate_loop
from ecd_tune.objective.origin import find_origin, own_version
from ecd_tune.objective.outcomes import failure
from ecd_tune.objective.resolving import Resolving
from ecd_tune.objective.row import Row, make_callbacks
from ecd_tune.objective.single import RunPlan, evaluate_single
from ecd_tune.objective.training.protocols import Protocol, builder
from ecd_tune.records import Origin, Outcome, RunCost, RunRequest, Stage
from ecd_tune.references import is_reference, place_of, trim_traceback
from ecd_tune.registry import load_attribute
from ecd_tune.spec import StudySpec

__all__ = ["Objective"]

_log = logging.getLogger(__name__)
_PACKAGE = Path(__file__).parents[1]


_Run = Callable[[Sequence[Row]], list[Outcome]]


class Objective:
    """Evaluates hyperparameters of one optimizer of a study.

    Divergence is a value (``DIVERGED`` with the best finite value and the reason), and so is an
    exception in a trial (``FAILED`` with type and message). Only a task that cannot be created
    raises an error: every trial would fail.

    Args:
        spec: The study.
        optimizer: Key of the optimizer in the study.

    Raises:
        UnknownNameError: The study has no optimizer of that key.
    """

    def __init__(self, spec: StudySpec, optimizer: str) -> None:
        if optimizer not in spec.optimizers:
            raise UnknownNameError(f"optimizer of study {spec.name}", optimizer, spec.optimizers)
        self._spec, self._task_def = spec, spec.task_def
        self._definition = spec.optimizers[optimizer].definition
        self._optimizer, self._training = optimizer, spec.training_for(optimizer)
        self._protocol: Protocol = "paper" if spec.oracle else "clean"
        self._tasks: dict[Stage, Any] = {}
        self._origins: dict[Stage, Origin] = {}
        self._met: set[tuple[type, str]] = set()

    @property
    def batched(self) -> bool:
        """Whether all requests of one call run at once."""
        return self._task_def.batched and self._definition.batched is not None

    def prepare(self, stage: Stage) -> None:
        """Import and load what runs of a stage need, so that the first one does not wait for it.

        Args:
            stage: Search or confirmation.

        Raises:
            TaskError: The task cannot be made, for example because its data are missing.
        """
        self._runner(stage, None)
        self.origin(stage)  # reads all data, where no process of this machine has done so before
        if not self.batched:
            # The first optimizer of a process makes torch import its compiler, for a second.
            torch.optim.SGD([torch.zeros(1, requires_grad=True)], lr=0.1)

    def origin(self, stage: Stage) -> Origin:
        """Return the origin (data and code) of runs of a stage; determined once.

        Args:
            stage: Search or confirmation.

        Raises:
            TaskError: The task cannot be made.
        """
        if stage not in self._origins:
            options = self._spec.task_options(stage)
            self._origins[stage] = find_origin(self.task(stage), self._task_def.name, options)
        return self._origins[stage]

    def evaluate(
        self,
        requests: Sequence[RunRequest],
        *,
        stop: Stop | None = None,
        checkpoints: Sequence[CheckpointHandle | None] | None = None,
        report: Report | None = None,
        prune: Prune | None = None,
        on_step: OnStep | None = None,
    ) -> list[Outcome]:
        """Run all requests.

        Each outcome depends only on its own request, not on the others, nor on whether the run was
        interrupted and resumed from a checkpoint.

        Args:
            requests: Hyperparameters, seed and stage of each run.
            stop: Polled every few steps; True makes this call raise.
            checkpoints: For each request where its run is saved and continued from, or None.
                Not used where requests run as one batch, which takes less than such saving.
            report: Called after each epoch with row, epoch and metric, of tasks that have
                epochs. A continued run reports its earlier epochs again.
            prune: Called after each new report of a search; a returned reason ends the run as
                PRUNED.
            on_step: Called before each step with row, steps done and all steps, of tasks that have
                epochs.

        Returns:
            One outcome per request, in the same order.

        Raises:
            Interrupted: ``stop`` requested it; unfinished runs are in the checkpoints, or lost.
            TaskError: The task cannot be made, for example because its data are missing.
        """
        handles = checkpoints or [None] * len(requests)
        rows = [
            Row(request, handle, make_callbacks(number, request, report, prune, on_step))
            for number, (request, handle) in enumerate(zip(requests, handles, strict=True))
        ]
        outcomes: dict[int, Outcome] = {}
        for stage in Stage:
            numbers = [n for n, request in enumerate(requests) if request.stage is stage]
            if numbers:
                chosen = [rows[number] for number in numbers]
                outcomes |= zip(numbers, self._evaluate_stage(stage, chosen, stop), strict=True)
        return [outcomes[row] for row in range(len(requests))]

    def why_not_stacked(self, stage: Stage) -> str | None:
        """Return why trials of a task that learns run one by one here, or None.

        Args:
            stage: Search or confirmation.

        Raises:
            TaskError: The task cannot be created.
        """
        return why_not_stacked(self.task(stage), self._definition, self._training)

    def width(self, stage: Stage, bound: int) -> int:
        """Return how many trials of a task that learns are best trained at once here.

        Args:
            stage: Search or confirmation.
            bound: Largest number.

        Returns:
            1 where they run one by one; else measured, see
            :func:`~ecd_tune.objective.lanes.widths.choose_width`.

        Raises:
            TaskError: The task cannot be created.
        """
        if bound == 1 or self.why_not_stacked(stage) is not None:
            return 1
        task, build = self.task(stage), builder(self.task(stage), self._protocol)
        return choose_width(lambda seed: build(seed, stage), task.stack, bound)

    def run_lanes(
        self,
        stage: Stage,
        jobs: Callable[[int], Sequence[Job]],
        width: int,
        stop: Stop | None = None,
    ) -> None:
        """Train many trials together; to be called where :meth:`why_not_stacked` is None.

        Outcomes are those of :meth:`evaluate` to rounding.

        Args:
            stage: Of all jobs.
            jobs: Returns up to so many further jobs, between two steps. None while some are
                running means that there are none yet; while none is, that this was all.
            width: Trials at once; halved whenever memory does not suffice.
            stop: Polled at each step; True makes this call raise.

        Raises:
            Interrupted: ``stop`` requested it; other unfinished jobs are in their handles, or lost.
            TaskError: The task cannot be created.
        """
        run = self._runner(stage, stop)

        def alone(job: Job) -> Outcome:
            return self._attempt(run, Row(job.request, job.handle, job.callbacks))

        def snapshots(job: Job) -> Snapshots | None:
            return self._snapshots(Row(job.request, job.handle, job.callbacks))

        def plan(request: RunRequest) -> RunPlan:
            return self._plan(Row(request, None, Callbacks()))

        optimizer = self._spec.optimizers[self._optimizer]
        kind = lane_kind(self.task(stage), optimizer, self._protocol, plan, alone, snapshots)
        run_lanes(kind, jobs, width, stop)

    def _evaluate_stage(
        self, stage: Stage, rows: Sequence[Row], stop: Stop | None
    ) -> list[Outcome]:
        run = self._runner(stage, stop)
        if self.batched and len(rows) > 1:
            try:
                return run(rows)
            except Interrupted:
                raise
            except Exception as error:
                # One bad request must not fail the others: run them one by one.
                _log.info("batch of %d: %s; running its trials one by one", len(rows), error)
        return [self._attempt(run, row) for row in rows]

    def _attempt(self, run: _Run, row: Row) -> Outcome:
        began = time.perf_counter()
        try:
            return run([row])[0]
        except Interrupted:
            raise
        except Exception as error:
            place = _place(error)
            met, self._met = (type(error), place) in self._met, {*self._met, (type(error), place)}
            own = is_reference(self._spec.task.name)
            if own:
                trim_traceback(error, _PACKAGE)
            # Each kind once: a fault that ends every trial would fill the log.
            _log.log(logging.INFO if met else logging.ERROR, "trial failed", exc_info=not met)
            trace = "" if met else "".join(traceback.format_exception(error))
            cost = RunCost(time.perf_counter() - began)
            where = place if own and not place.startswith(str(_PACKAGE)) else ""
            return failure(error, cost, where, trace)

    def _runner(self, stage: Stage, stop: Stop | None) -> _Run:
        # Task and optimizer are imported and created outside of any trial: an error here would
        # occur in all trials.
        task, steps = self.task(stage), self._spec.steps(stage)
        definition = self._definition
        optimizer = self._spec.optimizers[self._optimizer]
        if self.batched:
            batch = Resolving(optimizer, load_attribute(definition.batched or ""))
            measure = self._spec.measure
            return lambda rows: batch.mark(
                evaluate_batch(task, batch.batch, [r.request for r in rows], steps, stop, measure)
            )
        resolving = Resolving(optimizer, load_attribute(definition.factory))
        evaluate = evaluate_loop if getattr(task, "loops", False) else evaluate_single

        def run(rows: Sequence[Row]) -> list[Outcome]:
            outcomes = []
            for row in rows:
                outcome = evaluate(
                    task,
                    resolving.single,
                    row.request,
                    self._plan(row),
                    stop,
                    self._snapshots(row),
                    row.callbacks,
                )
                outcomes += resolving.mark([outcome])
            return outcomes

        return run

    def _plan(self, row: Row) -> RunPlan:
        request = row.request
        return RunPlan(
            self._spec.steps(request.stage),
            self._task_def.direction,
            self._protocol,
            self._spec.training_for(self._optimizer, request.params),
            self._spec.measure,
            request.until,
            self._copies(row),
            self._spec.confirmation.runs > 0,
        )

    def _copies(self, row: Row) -> Callable[[int], CheckpointHandle] | None:
        handle = row.handle
        if handle is None:
            return None
        # Named after the run: a file of another version's attempt is none of ours.
        run = hashlib.sha256(self._identity(row.request).encode()).hexdigest()[:32]
        return lambda epoch: handle.part(f"{run}/weights/{epoch}")

    def _snapshots(self, row: Row) -> Snapshots | None:
        return None if row.handle is None else Snapshots(row.handle, self._identity(row.request))

    def _identity(self, request: RunRequest) -> str:
        """Return everything that determines a run, including the software."""
        return json.dumps(
            {
                "task": [self._task_def.name, self._spec.task_options(request.stage)],
                "optimizer": self._definition.name,
                "params": self._spec.optimizers[self._optimizer].space.resolve(request.params),
                "seed": request.seed,
                "stage": request.stage,
                "steps": self._spec.steps(request.stage),
                "training": self._training.identity(),
                "protocol": self._protocol,
                "software": _software(),
            },
            sort_keys=True,
        )

    def task(self, stage: Stage) -> Any:
        """Make the task of a stage, once.

        Args:
            stage: Search or confirmation.

        Returns:
            The task.

        Raises:
            TaskError: It cannot be made, for example because its data are missing.
            EcdTuneError: The task gives the reason.
        """
        if stage not in self._tasks:
            make = load_attribute(self._task_def.factory)
            options = self._spec.task_options(stage)
            if self._training.device != "auto" and "device" in self._task_def.options:
                options["device"] = self._training.device
            try:
                self._tasks[stage] = make(**options)
            except EcdTuneError:
                raise
            except Exception as error:
                # The error of a reader for a damaged file, or of a user's task.
                raise TaskError(
                    f"task {self._task_def.name!r} cannot be created: {_place(error)}: "
                    f"{type(error).__name__}: {error}; if its data are damaged, download them again"
                ) from error
        return self._tasks[stage]


def _place(error: Exception) -> str:
    return place_of(error, _PACKAGE)


def _software() -> list[str]:
    # Another version may round otherwise, and half a run of each is neither.
    return [own_version(), torch.__version__]
