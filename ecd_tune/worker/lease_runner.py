"""Run leased trials, as a batch or one by one, within the time that they may take."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from pathlib import Path

import ecd_tune
from ecd_tune.objective import CheckpointHandle, Objective
from ecd_tune.records import Cause, Lease, Outcome, RunCost, RunRequest, Status, StudyKey
from ecd_tune.references import is_reference, place_of
from ecd_tune.spec import StudySpec
from ecd_tune.store import ReportBuffer
from ecd_tune.worker.pruning import TrialPruner
from ecd_tune.worker.time_limit import TimeLimit, TimeLimitError

__all__ = ["LeaseRunner"]

Result = tuple[Lease, Outcome]


class LeaseRunner:
    """Evaluates leased trials with all that follows them.

    Args:
        spec: The study, search by search.
        reports: Takes the metric of each epoch.
        handle: Returns where a run that goes step by step is saved and found again; None nowhere.
        stop: Polled during evaluations.
        pruner: Returns who ends trials of an Optuna study early, or None.
        on_step: Callback for the steps of a run, or None.
        request: Returns the run of a lease.
        give_up: Receives the results of runs that exceeded their time limit and do not return;
            called from another thread.
    """

    def __init__(
        self,
        spec: StudySpec,
        reports: ReportBuffer,
        handle: Callable[[Lease], CheckpointHandle | None],
        stop: Callable[[], bool],
        pruner: Callable[[StudyKey], TrialPruner | None],
        on_step: Callable[[Lease, int, int], None] | None,
        request: Callable[[Lease], RunRequest],
        give_up: Callable[[Sequence[Result]], None],
    ) -> None:
        self._spec, self._reports, self._handle = spec, reports, handle
        self._stop, self._pruner, self._on_step = stop, pruner, on_step
        self._request, self._give_up = request, give_up

    def run(self, objective: Objective, leases: Sequence[Lease]) -> list[Outcome]:
        """Run trials of one Optuna study.

        Args:
            objective: Of their optimizer.
            leases: The trials; more than one if they run as a batch.

        Returns:
            One outcome per lease.

        Raises:
            Interrupted: ``stop`` requested it.
        """
        key, began = leases[0].key, time.perf_counter()
        limit = self._spec.timeout(key.stage)
        # A batch has the time of all its trials.
        seconds = None if limit is None else limit * len(leases)

        def over(error: BaseException | None = None) -> list[Outcome]:
            spent = (time.perf_counter() - began) / len(leases)
            return [self._too_long(limit, spent, error)] * len(leases)

        time_limit = TimeLimit(lambda: self._give_up(list(zip(leases, over(), strict=True))))
        with self._reports.flushing():
            try:
                with time_limit.holding(seconds):
                    return self._evaluate(objective, leases, time_limit.check)
            except TimeLimitError as error:
                return over(error)

    def _evaluate(
        self, objective: Objective, leases: Sequence[Lease], check: Callable[[], None]
    ) -> list[Outcome]:
        requests = [self._request(lease) for lease in leases]
        if objective.batched:
            return objective.evaluate(requests, stop=self._stop)
        pruner = self._pruner(leases[0].key)
        points: list[dict[int, float]] = [{} for _ in leases]

        def report(row: int, step: int, value: float) -> None:
            points[row][step] = value
            self._reports.report(leases[row], step, value)

        def prune(row: int) -> str | None:
            return None if pruner is None else pruner.decide(leases[row], points[row])

        def on_step(row: int, step: int, steps: int) -> None:
            check()
            if self._on_step is not None:
                self._on_step(leases[row], step, steps)

        return objective.evaluate(
            requests,
            stop=self._stop,
            checkpoints=[self._handle(lease) for lease in leases],
            report=report,
            prune=prune,
            on_step=on_step,
        )

    def _too_long(
        self, limit: float | None, seconds: float, error: BaseException | None
    ) -> Outcome:
        reason = f"exceeded the time limit of {limit:g} s ([budget] timeout)"
        if error is not None and is_reference(self._spec.task.name):
            reason += f" ({place_of(error, Path(ecd_tune.__file__).parent)})"
        cost = RunCost(seconds)
        return Outcome(Status.FAILED, reason=reason, cause=Cause.TIMEOUT, cost=cost)
