"""What ECDSep and ECDq1 share: watchers of their steps, and sums over steps that are saved."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, ClassVar

import numpy as np
import torch
from torch import Tensor

from ecd_tune.optim.base import LossOptimizer
from ecd_tune.optim.driver import StepInput, StepResult
from ecd_tune.optim.dynamics import Constants
from ecd_tune.optim.fused.table import FusedRules, Rows
from ecd_tune.optim.monitoring.course import CourseRecorder
from ecd_tune.optim.monitoring.diagnostics import Diagnostics
from ecd_tune.optim.monitoring.remarks import Setting, report_course
from ecd_tune.optim.monitoring.step_recorder import StepRecorder
from ecd_tune.optim.monitoring.watching import Step, Watcher
from ecd_tune.optim.params.gather import Gathered
from ecd_tune.optim.params.layout import block_size
from ecd_tune.optim.unit_speed.step import UnitStepInput
from ecd_tune.optim.working import Working

__all__ = ["WatchedBatch", "WatchedOptimizer", "WatchedWorking", "begin_sums"]


def begin_sums(zero: Tensor) -> dict[str, Tensor]:
    """Return what is saved of the steps of a run before its first one.

    Args:
        zero: 0.0, float64, 0-d.

    Returns:
        Name to tensor.
    """
    return {**Diagnostics().state_dict(zero), **CourseRecorder().state_dict(zero)}


class WatchedWorking(Working):
    """As the base, with the watchers, and the sums over the steps."""

    def __init__(self) -> None:
        self.watchers: tuple[Watcher, ...] = ()
        super().__init__()

    def reset(self) -> None:
        """Drop what can be recomputed; watchers stay."""
        super().reset()
        self.diagnostics, self.course = Diagnostics(), CourseRecorder()
        self.recorder = StepRecorder(self.diagnostics, self.course)
        self.compared = False


class WatchedOptimizer(LossOptimizer):
    """Base of ECDSep and ECDq1; a :class:`~ecd_tune.optim.monitoring.watching.Watched`."""

    compares_losses: ClassVar[bool] = True
    """The work of the force shows whether the loss belongs to the gradient."""
    _working: WatchedWorking

    def watch(self, watcher: Watcher) -> None:
        """Show every further step to ``watcher``; it is no part of ``state_dict``."""
        self._working.watchers = (*self._working.watchers, watcher)

    def _show(
        self,
        gathered: Gathered,
        point: StepInput | UnitStepInput,
        made: StepResult[Any],
        noise: list[Tensor] | None,
    ) -> None:
        step = Step.of(gathered.algebra, point, made, noise, self.param_groups[0]["integrator"])
        self._compare_losses(step.constants.eta, step.decays)
        for watcher in (self._working.recorder, *self._working.watchers):
            watcher.on_step(step)

    def _watched(self) -> bool:
        return bool(self._working.watchers)

    def _compare_losses(self, eta: Tensor, decays: bool) -> None:
        """Let the first steps tell whether the losses can be those of the gradients."""
        if self._working.compared:
            return
        self._working.compared = True
        algorithm1 = self.param_groups[0]["integrator"] == "algorithm1"
        if self.compares_losses and algorithm1 and not decays:
            self._working.diagnostics.compare_with(eta)

    def _rows(self, rules: FusedRules, decays: bool) -> Rows:
        eta = torch.tensor(rules.eta, dtype=torch.float64, device=self._home())
        self._compare_losses(eta, decays)
        return self._working.recorder.open(self._home())

    def _flush_rows(self) -> None:
        self._working.recorder.flush()

    def _restore(self) -> None:
        self._working.recorder.clear()
        for part in (self._working.diagnostics, self._working.course):
            part.load_state_dict(self._working.trajectory)

    def _flush(self) -> None:
        super()._flush()
        self._working.recorder.flush()
        zero = torch.zeros((), dtype=torch.float64, device=self._home())
        for part in (self._working.diagnostics, self._working.course):
            self._working.trajectory.update(part.state_dict(zero))

    def _remark(self, eta: Tensor, limited: Tensor) -> dict[str, Any]:
        """Return the report's entries about the run as a whole; None for unknown values."""
        options = self.param_groups[0]
        self._working.recorder.flush()
        courses = self._working.course.read(eta, limited, options["integrator"])
        (found,) = report_course(courses, [Setting.of(options)])
        return {name: None if value != value else value for name, value in found.items()}

    def _present_size(self) -> int:
        """Return how many numbers take part in a step, over all processes, 1 at least."""
        size = sum(block_size(p) for p in self.state if p not in self._working.away)
        return max(1, self._ranks.total(size, self._home()))

    def _read(
        self, size: int, constants: Constants, F_min: float, reset: bool, *, unit_speed: bool
    ) -> dict[str, float]:
        """Return the sums as ``diagnostics`` does."""
        diagnostics, integrator = self._working.diagnostics, self.param_groups[0]["integrator"]
        self._working.recorder.flush()
        found = diagnostics.read(size, constants, integrator, F_min, unit_speed=unit_speed)
        if reset:
            diagnostics.reset()
        return {name: float(value) for name, value in found.items()}


class WatchedBatch:
    """Base of the batched forms of the same optimizers."""

    def __init__(self) -> None:
        self._watchers: tuple[Watcher, ...] = ()
        self._diagnostics, self._course = Diagnostics(), CourseRecorder()
        self._recorder = StepRecorder(self._diagnostics, self._course)

    def watch(self, watcher: Watcher) -> None:
        """Show every further step to ``watcher``."""
        self._watchers = (*self._watchers, watcher)

    def _show(self, step: Step) -> None:
        for watcher in (self._recorder, *self._watchers):
            watcher.on_step(step)

    def _remark(
        self, rows: Sequence[Mapping[str, Any]], eta: Tensor, limited: Tensor
    ) -> dict[str, Any]:
        """Return the report's entries about whole runs: tensors ``[B]``, and the remarks."""
        self._recorder.flush()
        courses = self._course.read(eta, limited, rows[0]["integrator"])
        found = report_course(courses, [Setting.of(row) for row in rows])
        columns = {name: [row[name] for row in found] for name in found[0]}
        remarks = columns.pop("remarks")
        tensors = {name: torch.from_numpy(np.array(c)) for name, c in columns.items()}
        return {**tensors, "remarks": remarks}

    def _read(
        self,
        size: int,
        constants: Constants,
        integrator: str,
        F_min: float,
        reset: bool,
        *,
        unit_speed: bool,
    ) -> dict[str, Tensor]:
        """Return the sums as ``diagnostics`` does."""
        self._recorder.flush()
        found = self._diagnostics.read(size, constants, integrator, F_min, unit_speed=unit_speed)
        if reset:
            self._diagnostics.reset()
        return {name: torch.as_tensor(column, device="cpu") for name, column in found.items()}
