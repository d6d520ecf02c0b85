"""Train many trials of one optimizer together: each in a lane, which is refilled when it ends.

The network's work is done for all lanes at once by a
:class:`~ecd_tune.tasks.StackedProblem`. All else of a lane is what a single run has:
optimizer, schedule, epochs, choice of the best one, pruning. A lane that is free is given the next
trial at the end of the epoch under way, so that all lanes are at one place of their epochs.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager

from ecd_tune.objective.interrupt import Interrupted, Stop
from ecd_tune.objective.lane import Job, Lane, LaneKind
from ecd_tune.objective.outcomes import cause_of, failure
from ecd_tune.objective.row_optimizers import RowOptimizers
from ecd_tune.records import Cause, Outcome, RunCost
from ecd_tune.tasks import Problem, StackedProblem

__all__ = ["run_lanes"]

_log = logging.getLogger(__name__)


def run_lanes(
    kind: LaneKind, jobs: Callable[[int], Sequence[Job]], width: int, stop: Stop | None = None
) -> None:
    """Run jobs, many at a time, until there are none.

    Args:
        kind: What they have in common.
        jobs: Returns up to so many further jobs. None while lanes are running means that there
            are none yet; while none is, that this was all.
        width: Lanes; halved whenever memory does not suffice.
        stop: Polled at each step; True makes this call raise.

    Raises:
        Interrupted: ``stop`` said so; jobs that were not done are forgotten.
    """
    lanes = _Lanes(kind, jobs, stop)
    while True:
        try:
            lanes.run(width)
            return
        except _BrokenStackError as broken:
            error = broken.error
        if cause_of(error) is Cause.OUT_OF_MEMORY and width > 1:
            width //= 2
            _log.warning("out of memory: %s; going on with %d trials at once", error, width)
        else:
            _log.info("%s; running trials one by one", error, exc_info=error)
            lanes.run_alone()


class _BrokenStackError(Exception):
    """What is computed for all lanes together could not be."""

    def __init__(self, error: Exception) -> None:
        super().__init__(str(error))
        self.error = error


@contextmanager
def _computing() -> Iterator[None]:
    try:
        yield
    except (Interrupted, _BrokenStackError):
        raise
    except Exception as error:
        raise _BrokenStackError(error) from error


class _Lanes:
    def __init__(
        self, kind: LaneKind, jobs: Callable[[int], Sequence[Job]], stop: Stop | None
    ) -> None:
        self._kind, self._jobs, self._stop = kind, jobs, stop
        self._waiting: list[Job] = []
        self._under_way: dict[int, Job] = {}
        self._lanes: list[Lane | None] = []
        self._seconds = 0.0

    def run(self, width: int) -> None:
        """Run jobs until there are none.

        Raises:
            _BrokenStackError: Those under way have to begin again.
        """
        try:
            jobs = self._take(width)
            with _computing():
                problems = {id(job): self._build(job) for job in jobs}
            jobs = [job for job in jobs if problems[id(job)] is not None]
            if jobs:
                self._run_stack(jobs, [p for p in problems.values() if p is not None])
        except _BrokenStackError:
            self._waiting = [*self._under_way.values(), *self._waiting]
            self._under_way, self._lanes = {}, []
            raise

    def run_alone(self) -> None:
        """Run those that were under way one by one."""
        waiting, self._waiting = self._waiting, []
        for job in waiting:
            job.done(self._kind.alone(job))

    def _run_stack(self, jobs: Sequence[Job], problems: Sequence[Problem]) -> None:
        with _computing():
            stack = self._kind.stack(problems)
            rows = RowOptimizers(stack)
            self._lanes = [None] * len(jobs)
            for row, (job, problem) in enumerate(zip(jobs, problems, strict=True)):
                self._begin(row, job, problem, rows)
        while self._refill(stack, rows):
            with _computing():
                self._run_epoch(stack, rows)

    def _take(self, count: int) -> list[Job]:
        own, self._waiting = self._waiting[:count], self._waiting[count:]
        left = count - len(own)
        taken = [*own, *(self._jobs(left) if left else ())]
        self._under_way |= {id(job): job for job in taken}
        return taken

    def _done(self, job: Job, outcome: Outcome) -> None:
        del self._under_way[id(job)]
        job.done(outcome)

    def _clock(self) -> float:
        return self._seconds

    def _build(self, job: Job) -> Problem | None:
        try:
            return self._kind.build(job.request)
        except Exception as error:
            self._refuse(job, error)
            return None

    def _begin(self, row: int, job: Job, problem: Problem, rows: RowOptimizers) -> None:
        try:
            self._lanes[row] = self._kind.begin(job, problem, row, rows, self._clock)
        except Exception as error:
            self._refuse(job, error)

    def _refuse(self, job: Job, error: Exception) -> None:
        if cause_of(error) is Cause.OUT_OF_MEMORY:
            raise error
        _log.info("trial failed", exc_info=error)
        self._done(job, failure(error, RunCost()))

    def _refill(self, stack: StackedProblem, rows: RowOptimizers) -> bool:
        """End lanes and begin others in their place; say whether any is running."""
        while True:
            for row, lane in enumerate(self._lanes):
                if lane is not None and not lane.live:
                    self._done(lane.job, lane.outcome())
                    self._lanes[row] = None
                    rows.free(row)
            free = [row for row, lane in enumerate(self._lanes) if lane is None]
            jobs = self._take(len(free)) if free else []
            if not jobs:
                return len(free) < len(self._lanes)
            with _computing():
                for row, job in zip(free, jobs, strict=False):
                    problem = self._build(job)
                    if problem is not None:
                        stack.replace(row, problem)
                        self._begin(row, job, problem, rows)

    def _run_epoch(self, stack: StackedProblem, rows: RowOptimizers) -> None:
        began = time.perf_counter()
        lanes = [(row, lane) for row, lane in enumerate(self._lanes) if lane is not None]
        count = len(lanes)
        for place in range(stack.problems[0].steps_per_epoch):
            if self._stop is not None and self._stop():
                raise Interrupted("stopped between two steps")
            numbers = [place] * len(self._lanes)
            for row, lane in lanes:
                numbers[row] = lane.number
            losses = stack.closure(numbers).tolist()
            for row, lane in lanes:
                lane.step(losses[row])
                if lane.broken:
                    rows.free(row)
            rows.step()
            lanes = [(row, lane) for row, lane in lanes if not lane.broken]
        judged: Sequence[Mapping[str, float]] = []
        if any(lane.ends_judged for _, lane in lanes):
            judged = stack.evaluate(self._kind.split)
        self._seconds += (time.perf_counter() - began) / count
        for row, lane in lanes:
            lane.end_epoch(judged[row] if judged else None)
