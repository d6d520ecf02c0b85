"""The live display of a run: a table in a terminal, plain lines elsewhere."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from typing import Protocol

from rich import box
from rich.console import Console, Group, RenderableType
from rich.live import Live
from rich.table import Table
from rich.text import Text

from ecd_tune.analysis.rate import RateMeter, format_rate, format_time, runs_to_come
from ecd_tune.launch import WorkerState, WorkerView
from ecd_tune.records import Stage
from ecd_tune.spec import StudySpec
from ecd_tune.store import Progress
from ecd_tune.text import count

__all__ = ["Display", "RateEstimator", "make_display"]

_PLAIN_SECONDS = 5.0
_UNCHANGED_SECONDS = 60.0
_RERUNS = {Stage.SELECT: "select", Stage.CONFIRM: "confirm"}


class Display(AbstractContextManager["Display"], Protocol):
    """Shows how far a run is."""

    def update(self, progress: Sequence[Progress], workers: Sequence[WorkerView]) -> None:
        """Show the newest state.

        Args:
            progress: One entry per study key.
            workers: State of the workers; empty when all have ended.
        """


class RateEstimator:
    """Counts what is done and to come, and estimates the rate and the time left.

    Args:
        spec: The study.
        clock: Seconds; tests replace it.
    """

    def __init__(self, spec: StudySpec, clock: Callable[[], float] = time.monotonic) -> None:
        self._spec, self._pace = spec, RateMeter(clock)
        self.done, self.failed = 0, 0
        self.total = sum(spec.runs(key, stage) for key in spec.optimizers for stage in spec.stages)
        self._rate: float | None = None
        self._left: float | None = None

    def update(self, progress: Sequence[Progress]) -> None:
        """Take the newest counts.

        Args:
            progress: One entry per study key.
        """
        own = [p for p in progress if p.key.optimizer in self._spec.optimizers]
        pace = self._pace.add(self._spec.name, own)
        self.done, self.failed = sum(p.finished for p in own), sum(p.failed for p in own)
        self.total = self.done + sum(runs_to_come(own))
        self._rate, self._left = pace["per_second"], pace["seconds_left"]

    def describe(self, workers: Sequence[WorkerView]) -> str:
        """Say in one line how far the run is."""
        about = f", about {format_time(self._left)} left" if self._left and workers else ""
        running = sum(view.state is WorkerState.RUNNING for view in workers)
        by = f", {count(running, 'worker')}" if workers else ""
        rate = f", {format_rate(self._rate)}" if self._rate else ""
        failed = f" ({self.failed} failed)" if self.failed else ""
        return f"{self.done}/{self.total} trials{failed}{rate}{about}{by}"


def make_display(spec: StudySpec, terminal: bool) -> Display:
    """Choose the display: live for a terminal, plain lines for a file or a pipe."""
    spec = spec.by_search()
    return _Live(spec) if terminal else _Plain(spec)


class _Plain:
    def __init__(self, spec: StudySpec) -> None:
        self._spec, self._meter = spec, RateEstimator(spec)
        self._last, self._shown = -math.inf, -1
        self._said: dict[int, tuple[str, int]] = {}

    def __enter__(self) -> _Plain:
        return self

    def __exit__(self, *error: object) -> None:
        pass

    def update(self, progress: Sequence[Progress], workers: Sequence[WorkerView]) -> None:
        self._say_changes(workers)
        now = time.monotonic()
        self._meter.update(progress)
        pause = _PLAIN_SECONDS if self._meter.done != self._shown else _UNCHANGED_SECONDS
        if workers and now - self._last < pause:
            return
        self._last, self._shown = now, self._meter.done
        best = ", ".join(
            f"{p.key.optimizer} {_number(p.best)}{_mark(self._spec)}"
            for p in progress
            if p.key.stage is Stage.SEARCH and p.key.optimizer in self._spec.optimizers
        )
        print(f"{self._meter.describe(workers)}; best: {best}", flush=True)  # noqa: T201

    def _say_changes(self, workers: Sequence[WorkerView]) -> None:
        for view in workers:
            if view.reason and view.state in (WorkerState.WAITING, WorkerState.FAILED):
                line = f"worker {view.index} {view.reason}; {view.state.value}"
                if self._said.get(view.index) != (line, view.restarts):
                    self._said[view.index] = (line, view.restarts)
                    print(line, flush=True)  # noqa: T201


class _Live:
    def __init__(self, spec: StudySpec) -> None:
        self._spec, self._meter = spec, RateEstimator(spec)
        self._live = Live(console=Console(), refresh_per_second=4)

    def __enter__(self) -> _Live:
        self._live.start()
        return self

    def __exit__(self, *error: object) -> None:
        self._live.stop()

    def update(self, progress: Sequence[Progress], workers: Sequence[WorkerView]) -> None:
        self._meter.update(progress)
        self._live.update(self._render(progress, workers), refresh=True)

    def _render(
        self, progress: Sequence[Progress], workers: Sequence[WorkerView]
    ) -> RenderableType:
        title = self._spec.title or self._spec.name
        table = Table(box=box.SIMPLE_HEAD, title=title, collapse_padding=True, pad_edge=False)
        best = f"best{_mark(self._spec)}"
        ended = "diverged" if self._spec.pruning.kind == "none" else "pruned or diverged"
        reruns = [_RERUNS[stage] for stage in self._spec.stages[1:]]
        # In a narrow terminal headers and names may break, numbers never.
        table.add_column("optimizer", overflow="fold")
        for column in ("search", best, ended, "failed", *reruns):
            table.add_column(column.replace(" ", "\n"), justify="right", no_wrap=True)
        by_key = {p.key: p for p in progress}
        for key in self._spec.optimizers:
            search = by_key[self._spec.key(key)]
            done = [
                f"{by_key[self._spec.key(key, stage)].finished}/{self._spec.runs(key, stage)}"
                for stage in self._spec.stages
            ]
            middle = (_number(search.best), str(search.pruned), str(search.failed))
            table.add_row(key, done[0], *middle, *done[1:])
        parts: list[RenderableType] = [table, Text(f"  {self._meter.describe(workers)}")]
        if _needs_table(workers):
            parts.append(_worker_table(workers))
        return Group(*parts)


def _needs_table(workers: Sequence[WorkerView]) -> bool:
    return any(view.reason or view.placement.gpus or view.placement.cores for view in workers)


def _worker_table(workers: Sequence[WorkerView]) -> Table:
    table = Table(box=box.SIMPLE_HEAD)
    for column in ("worker", "pid", "GPUs", "cores", "state", "restarts", "last end"):
        table.add_column(column)
    for view in workers:
        table.add_row(
            str(view.index),
            str(view.pid),
            ",".join(view.placement.gpus) or "–",
            ",".join(map(str, view.placement.cores)) or "–",
            view.state.value,
            str(view.restarts),
            view.reason,
        )
    return table


def _mark(spec: StudySpec) -> str:
    return " (oracle)" if spec.oracle else ""


def _number(value: float | None) -> str:
    return "–" if value is None else f"{value:.4g}"
