"""Train many trials of one optimizer together: each in a lane, which is refilled when it ends.

The network's work is done for all lanes at once by a
:class:`~ecd_tune.tasks.StackedProblem`. All else of a lane is what a single run has:
optimizer, schedule, epochs, choice of the best one, pruning, checkpoints. Lanes can be at different
places of their epochs; those at the last step of one, where a batch may be shorter, compute apart.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager

import torch
from torch import Tensor

from ecd_tune.objective.checkpoints.interrupt import Interrupted, Stop
from ecd_tune.objective.checkpoints.snapshots import DamagedSnapshotError
from ecd_tune.objective.lanes.lane import Job, Lane, LaneKind
from ecd_tune.objective.lanes.row_optimizers import RowOptimizers
from ecd_tune.objective.outcomes import cause_of, failure
from ecd_tune.objective.training.stepping import steps_between_checks
from ecd_tune.records import Cause, Outcome, RunCost
from ecd_tune.tasks import Problem, StackedProblem

__all__ = ["run_lanes"]

_log = logging.getLogger(__name__)

_WAIT_STEPS = 64
"""A free lane waits at most this many steps for the end of the other lanes' epoch."""

_SAVING_SHARE = 0.05
"""Share of the time that checkpoints may take, except those before a stop."""

_SAVING_LOOK_SECONDS = 1.0
"""Seconds between two checks whether a lane must be saved."""

_Live = list[tuple[int, Lane]]


def run_lanes(
    kind: LaneKind, jobs: Callable[[int], Sequence[Job]], width: int, stop: Stop | None = None
) -> None:
    """Run jobs, many at a time, until there are none.

    Args:
        kind: Settings that they share.
        jobs: Returns up to so many further jobs. None while lanes are running means that there
            are none yet; while none is, that this was all.
        width: Lanes; halved whenever memory does not suffice.
        stop: Polled at each step; True makes this call raise.

    Raises:
        Interrupted: ``stop`` requested it; other jobs are saved if they have a handle, otherwise
            lost.
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
            _log.warning("out of memory: %s; continuing with %d trials at once", error, width)
        else:
            _log.info("%s; running trials one by one", error, exc_info=error)
            lanes.run_alone()


class _BrokenStackError(Exception):
    """The joint computation of all lanes failed."""

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
        self._unseen: list[tuple[list[tuple[Lane, int]], Tensor]] = []
        self._save_from = time.monotonic()

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
            self._under_way, self._lanes, self._unseen = {}, [], []
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
                self._begin(row, job, problem, stack, rows)
            self._start(stack, range(len(jobs)))
        while self._refill(stack, rows):
            self._look_up()
            with _computing():
                self._step(stack, rows)

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

    def _begin(
        self, row: int, job: Job, problem: Problem, stack: StackedProblem, rows: RowOptimizers
    ) -> None:
        """Start a trial, from its last checkpoint, in a row that has its problem."""
        try:
            lane = self._kind.begin(job, problem, row, rows, self._clock)
            try:
                lane.resume()
            except DamagedSnapshotError as error:
                _log.warning("checkpoint does not match, restarting the run: %s", error)
                problem = self._kind.build(job.request)
                stack.replace(row, problem)
                lane = self._kind.begin(job, problem, row, rows, self._clock)
            self._lanes[row] = lane
        except Exception as error:
            self._refuse(job, error)

    def _refuse(self, job: Job, error: Exception) -> None:
        if cause_of(error) is Cause.OUT_OF_MEMORY:
            raise error
        _log.info("trial failed", exc_info=error)
        self._done(job, failure(error, RunCost()))

    def _start(self, stack: StackedProblem, rows: Sequence[int]) -> None:
        """Evaluate the state before training of those that are new."""
        lanes = {row: lane for row in rows if (lane := self._lanes[row]) is not None}
        metrics = self._evaluate(stack, [row for row, lane in lanes.items() if not lane.begun])
        for row, lane in lanes.items():
            lane.begin(metrics.get(row))

    def _refill(self, stack: StackedProblem, rows: RowOptimizers) -> bool:
        """Finish lanes and refill them; return whether any is running."""
        while True:
            for row, lane in enumerate(self._lanes):
                if lane is not None and not lane.live:
                    self._done(lane.job, lane.outcome())
                    self._lanes[row] = None
                    rows.free(row)
            free = [row for row, lane in enumerate(self._lanes) if lane is None]
            if not free or not self._may_begin(stack):
                return True
            jobs = self._take(len(free))
            if not jobs:
                return len(free) < len(self._lanes)
            with _computing():
                for row, job in zip(free, jobs, strict=False):
                    problem = self._build(job)
                    if problem is not None:
                        stack.replace(row, problem)
                        self._begin(row, job, problem, stack, rows)
                self._start(stack, free)

    def _may_begin(self, stack: StackedProblem) -> bool:
        places = {lane.place for lane in self._lanes if lane is not None}
        length = stack.problems[0].steps_per_epoch
        return not places or 0 in places or length - max(places) > _WAIT_STEPS

    def _look_up(self) -> None:
        """Save lanes whose interval has passed, and stop if requested.

        Raises:
            Interrupted: ``stop`` requested it; all lanes are saved.
        """
        stopped = self._stop is not None and self._stop()
        if not stopped and time.monotonic() < self._save_from:
            return
        self._see()
        lanes = [lane for lane in self._lanes if lane is not None]
        if stopped:
            for lane in lanes:
                lane.save()
            raise Interrupted("stopped between two steps")
        began = time.monotonic()
        due = min((lane for lane in lanes if lane.due), key=lambda own: own.saved_at, default=None)
        if due is None:
            self._save_from = began + _SAVING_LOOK_SECONDS
        else:
            due.save()
            ended = time.monotonic()
            self._save_from = ended + (ended - began) * (1 / _SAVING_SHARE - 1)

    def _step(self, stack: StackedProblem, rows: RowOptimizers) -> None:
        """Make a step of all lanes, and evaluate those whose epoch it ends."""
        began, length = time.perf_counter(), stack.problems[0].steps_per_epoch
        live = [(row, lane) for row, lane in enumerate(self._lanes) if lane is not None]
        last = [(row, lane) for row, lane in live if lane.place == length - 1]
        others = [(row, lane) for row, lane in live if lane.place != length - 1]
        for group in (others, last):
            if group:
                self._compute(stack, group, whole=len(group) == len(live))
        every = steps_between_checks(stack.parameters[0].device)
        if last or len(self._unseen) >= every:
            self._see()
        for row, lane in live:
            if lane.broken:
                rows.free(row)
        rows.step()
        last = [(row, lane) for row, lane in last if not lane.broken]
        metrics = self._evaluate(stack, [row for row, lane in last if lane.ends_evaluated])
        self._seconds += (time.perf_counter() - began) / len(live)
        for row, lane in last:
            lane.end_epoch(metrics.get(row))

    def _compute(self, stack: StackedProblem, group: _Live, whole: bool) -> None:
        """Compute the gradients of lanes, and let each ask for its step."""
        if whole and 2 * len(group) > len(self._lanes):  # rows that are free cost less than copies
            numbers = [group[0][1].number] * len(self._lanes)
            for row, lane in group:
                numbers[row] = lane.number
            losses = stack.closure(numbers)
            if len(group) < len(self._lanes):
                losses = losses[[row for row, _ in group]]
        else:
            losses = stack.closure([lane.number for _, lane in group], [row for row, _ in group])
        if steps_between_checks(losses.device) == 1:
            for (_, lane), loss in zip(group, losses.tolist(), strict=True):
                lane.step(loss)
            return
        self._unseen.append(([(lane, lane.number) for _, lane in group], losses))
        for (_, lane), loss in zip(group, losses.unbind(), strict=True):
            lane.step(loss)

    def _see(self) -> None:
        """Process the losses of all steps since the last call."""
        unseen, self._unseen = self._unseen, []
        if not unseen:
            return
        made = [each for own, _ in unseen for each in own]
        losses = torch.cat([losses for _, losses in unseen]).tolist()
        for (lane, number), loss in zip(made, losses, strict=True):
            lane.see(loss, number)

    def _evaluate(self, stack: StackedProblem, rows: list[int]) -> dict[int, Mapping[str, float]]:
        """Return the numbers of rows on the evaluation split."""
        split = self._kind.split
        if not rows:
            return {}
        if 2 * len(rows) > len(self._lanes):
            everything = stack.evaluate(split)
            return {row: everything[row] for row in rows}
        return dict(zip(rows, stack.evaluate(split, rows), strict=True))
