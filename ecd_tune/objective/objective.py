"""The objective of a study: what one optimizer's hyperparameters are worth on the task."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Sequence
from typing import Any

from ecd_tune.errors import UnknownNameError
from ecd_tune.objective.batched import evaluate_batch
from ecd_tune.objective.interrupt import Interrupted, Stop
from ecd_tune.objective.outcomes import failure
from ecd_tune.objective.single import evaluate_single
from ecd_tune.records import Outcome, RunCost, RunRequest, Stage
from ecd_tune.registry import load_attribute
from ecd_tune.spec import StudySpec

__all__ = ["Objective"]

_log = logging.getLogger(__name__)

_Run = Callable[[Sequence[RunRequest]], list[Outcome]]


class Objective:
    """Evaluates hyperparameters of one optimizer of a study.

    Divergence is a value (``DIVERGED`` with the best finite value and the reason), and so is an
    exception in a trial (``FAILED`` with type and message). Only a task that cannot be made at
    all raises: every trial would fail alike.

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
        self._tasks: dict[Stage, Any] = {}

    @property
    def batched(self) -> bool:
        """Whether all requests of one call run at once."""
        return self._task_def.batched and self._definition.batched is not None

    def evaluate(
        self, requests: Sequence[RunRequest], *, stop: Callable[[], bool] | None = None
    ) -> list[Outcome]:
        """Run all requests.

        Each outcome depends on its own request alone, not on which others stand beside it.

        Args:
            requests: Hyperparameters, seed and stage of each run.
            stop: Polled every few steps; True makes this call raise.

        Returns:
            One outcome a request, in their order.

        Raises:
            Interrupted: ``stop`` said so; what was done is lost.
            TaskError: The task cannot be made, for example for want of data.
        """
        outcomes: dict[int, Outcome] = {}
        for stage in Stage:
            rows = [row for row, request in enumerate(requests) if request.stage is stage]
            chosen = [requests[row] for row in rows]
            if chosen:
                outcomes |= zip(rows, self._evaluate_stage(stage, chosen, stop), strict=True)
        return [outcomes[row] for row in range(len(requests))]

    def _evaluate_stage(
        self, stage: Stage, requests: Sequence[RunRequest], stop: Stop | None
    ) -> list[Outcome]:
        run = self._runner(stage, stop)
        if self.batched and len(requests) > 1:
            try:
                return run(requests)
            except Interrupted:
                raise
            except Exception as error:
                # One bad request must not take the others with it; alone, it fails alone.
                _log.info("batch of %d: %s; running one by one", len(requests), error)
        return [_attempt(run, request) for request in requests]

    def _runner(self, stage: Stage, stop: Stop | None) -> _Run:
        # Task and optimizer are imported and made here, outside of any trial: what fails now
        # would fail in all trials.
        task, steps = self._task(stage), self._spec.steps(stage)
        definition, direction = self._definition, self._task_def.direction
        if self.batched:
            make = load_attribute(definition.batched or "")
            return lambda requests: evaluate_batch(task, make, requests, steps, stop)
        make = load_attribute(definition.factory)
        return lambda requests: [
            evaluate_single(task, make, request, steps, direction, stop) for request in requests
        ]

    def _task(self, stage: Stage) -> Any:
        if stage not in self._tasks:
            make = load_attribute(self._task_def.factory)
            self._tasks[stage] = make(**self._spec.task_options(stage))
        return self._tasks[stage]


def _attempt(run: _Run, request: RunRequest) -> Outcome:
    began = time.perf_counter()
    try:
        return run([request])[0]
    except Interrupted:
        raise
    except Exception as error:
        _log.info("trial failed", exc_info=True)
        return failure(error, RunCost(time.perf_counter() - began))
