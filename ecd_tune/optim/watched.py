"""What ECDSep and ECDq1 share: whoever watches their steps, and sums over them that are saved."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from ecd_tune.optim.base import LossOptimizer, Working
from ecd_tune.optim.diagnostics import Diagnostics
from ecd_tune.optim.driver import Made, Point
from ecd_tune.optim.dynamics import Constants
from ecd_tune.optim.parameters import Gathered, block_size
from ecd_tune.optim.unit_step import UnitPoint
from ecd_tune.optim.watching import Step, Watcher

__all__ = ["WatchedBatch", "WatchedOptimizer", "WatchedWorking"]


class WatchedWorking(Working):
    """As the base, with the watchers, and the sums over the steps."""

    def __init__(self) -> None:
        self.watchers: tuple[Watcher, ...] = ()
        super().__init__()

    def reset(self) -> None:
        """Drop what is made anew; watchers stay."""
        super().reset()
        self.diagnostics = Diagnostics()


class WatchedOptimizer(LossOptimizer):
    """Base of ECDSep and ECDq1; a :class:`~ecd_tune.optim.watching.Watched` optimizer."""

    _working: WatchedWorking

    def watch(self, watcher: Watcher) -> None:
        """Show every further step to ``watcher``; it is no part of ``state_dict``."""
        self._working.watchers = (*self._working.watchers, watcher)

    def _show(
        self,
        gathered: Gathered,
        point: Point | UnitPoint,
        made: Made[Any],
        noise: list[Tensor] | None,
    ) -> None:
        step = Step.of(gathered.algebra, point, made, noise, self.param_groups[0]["integrator"])
        for watcher in (self._working.diagnostics, *self._working.watchers):
            watcher.saw(step)

    def _restore(self) -> None:
        self._working.diagnostics.load_state_dict(self._working.trajectory)

    def _flush(self) -> None:
        super()._flush()
        zero = torch.zeros((), dtype=torch.float64, device=self._home())
        self._working.trajectory.update(self._working.diagnostics.state_dict(zero))

    def _present_size(self) -> int:
        """Return how many numbers take part in a step, over all processes, 1 at least."""
        size = sum(block_size(p) for p in self.state if p not in self._working.away)
        return max(1, self._ranks.total(size, self._home()))

    def _read(
        self, size: int, constants: Constants, F_min: float, reset: bool, *, unit_speed: bool
    ) -> dict[str, float]:
        """Return the sums as ``diagnostics`` does."""
        diagnostics, integrator = self._working.diagnostics, self.param_groups[0]["integrator"]
        found = diagnostics.read(size, constants, integrator, F_min, unit_speed=unit_speed)
        if reset:
            diagnostics.reset()
        return {name: float(value) for name, value in found.items()}


class WatchedBatch:
    """Base of the batched forms of the same optimizers."""

    def __init__(self) -> None:
        self._watchers: tuple[Watcher, ...] = ()
        self._diagnostics = Diagnostics()

    def watch(self, watcher: Watcher) -> None:
        """Show every further step to ``watcher``."""
        self._watchers = (*self._watchers, watcher)

    def _show(self, step: Step) -> None:
        for watcher in (self._diagnostics, *self._watchers):
            watcher.saw(step)

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
        found = self._diagnostics.read(size, constants, integrator, F_min, unit_speed=unit_speed)
        if reset:
            self._diagnostics.reset()
        return {name: torch.as_tensor(column) for name, column in found.items()}
