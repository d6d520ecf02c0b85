"""How a batched optimizer makes its steps in a fused form where it can."""

from __future__ import annotations

import importlib
from collections.abc import Callable, Sequence
from typing import Any, ClassVar, NamedTuple

import torch
from torch import Tensor

from ecd_tune.optim.batched.rows import BatchRows, StepSizes
from ecd_tune.optim.definitions import MOMENTS
from ecd_tune.optim.dynamics import unit
from ecd_tune.optim.fused.plan import FORMS, form_problem
from ecd_tune.optim.fused.table import (
    FUSED_ROWS,
    BatchRunner,
    FusedRules,
    ParamBlock,
    ParamTable,
    Rows,
    Scalars,
)
from ecd_tune.optim.monitoring.watched import WatchedBatch
from ecd_tune.optim.params.blocks import Algebra

__all__ = ["FusedBatch"]


class _Plan(NamedTuple):
    """Makes fused steps while the blocks keep their memory."""

    runner: BatchRunner
    places: list[int]
    """Addresses of the blocks."""
    rows: Rows


class FusedBatch(WatchedBatch):
    """The fused half of the batched optimizers, which have the other one.

    Momenta are then without norm 1, as in the fused form of one run: the next step divides it out,
    and the reference form first of all.
    """

    unit_speed: ClassVar[bool]
    params: list[Tensor]
    _rows: BatchRows
    _sizes: StepSizes
    _state: Any
    _e: list[Tensor]
    _steps: int
    _all_started: bool

    def __init__(self) -> None:
        super().__init__()
        self._plan: _Plan | None = None
        self._normalised = True

    @torch.no_grad()
    def step(self, loss: Tensor, grads: Sequence[Tensor], active: Tensor) -> None:
        """Make one step of every active trial; see :class:`~ecd_tune.optim.BatchedOptimizer`.

        Args:
            loss: Shape ``[B]``.
            grads: Shaped as ``params``.
            active: Shape ``[B]``, bool.
        """
        if not self._fuses():
            self._leave_plan()
            self._reference_step(loss, grads, active)
        else:
            left = active if self._all_started else self._start(loss, grads, active)
            if self._all_started or bool(left.any()):
                self._fused_step(loss, grads, left)
        self._steps += 1

    def _reference_step(self, loss: Tensor, grads: Sequence[Tensor], active: Tensor) -> None:
        """Make a step in reference form, without counting it."""
        raise NotImplementedError

    def _fuses(self) -> bool:
        if self._watchers or not self._sizes.settled(self._steps):
            return False
        return self._plan is not None or self._form_reason() is None

    def _start(self, loss: Tensor, grads: Sequence[Tensor], active: Tensor) -> Tensor:
        """Make the first step of some trials, whose energy the reference form sets.

        Returns:
            The other active ones: they continue as they would without those.
        """
        started = self._state.started.clone()
        starting = active & ~started
        if bool(starting.any()):
            self._close_plan()
            self._reference_step(loss, grads, starting)
        others: Tensor = active & started
        return others

    def _fused_step(self, loss: Tensor, grads: Sequence[Tensor], active: Tensor) -> None:
        places = [block.data_ptr() for block in self.params]
        if self._plan is None or self._plan.places != places:
            self._close_plan()
            self._plan = self._make_plan(places)
        fitting = [_as(g, p) for g, p in zip(grads, self.params, strict=True)]
        self._plan.runner.step(loss.double(), fitting, active)
        self._normalised = False
        if int(self._plan.rows.filled[0]) == FUSED_ROWS:
            self._recorder.flush()

    def _form_reason(self) -> str | None:
        """Return why no step is made in fused form, or None."""
        values = self._rows.values
        if self._undecided():
            return 'lr, nu or F0 is "auto"'
        if self._watchers:
            return "watchers are registered"
        if not all(block.is_contiguous() for block in self.params):
            return "a block of parameters is not contiguous"
        if self._rows.device.type != "cpu" and len({row["scale"] == MOMENTS for row in values}) > 1:
            return "scale = 'moments' in some trials only"
        return form_problem(self._rows.device)

    def _report_form(self) -> dict[str, list[str | None]]:
        """Return the form in which steps are made, and why, once for each trial."""
        reason, trials = self._form_reason(), len(self._rows.values)
        form = "fused" if reason is None else "reference"
        return {"form": [form] * trials, "form_reason": [reason] * trials}

    def _undecided(self) -> bool:
        """Return whether any of lr, nu and F0 is "auto"."""
        return False

    def _close_plan(self) -> None:
        if self._plan is not None:
            self._plan.runner.complete()
            self._plan.rows.complete = None
            self._plan = None

    def _leave_plan(self) -> None:
        """Let the reference form continue."""
        self._close_plan()
        if not self._normalised:
            algebra = Algebra(batched=True)
            self._e = unit(algebra, self._e, algebra.norm(self._e))
            self._normalised = True

    def _make_plan(self, places: list[int]) -> _Plan:
        self._e = [block.contiguous() for block in self._e]
        device, values = self._rows.device, self._rows.values
        scaling = dict(zip(("log_scale", "mean_moment"), self._sizes.scaling, strict=True))
        known = {k: v for k, v in self._state._asdict().items() if v is not None}
        steps = torch.full((len(values),), self._steps, dtype=torch.int64, device="cpu")
        trajectory = {**known, **scaling, "steps": steps}
        scalars = Scalars(trajectory, device)
        self._state = self._state._replace(**{k: trajectory[k] for k in known})
        self._sizes.scaling = trajectory["log_scale"], trajectory["mean_moment"]
        rules = [
            FusedRules.of(row, seed, unit_speed=self.unit_speed)
            for row, seed in zip(values, self._rows.seeds, strict=True)
        ]
        rows = self._recorder.open(device, len(values))
        rows.lrs.append((int(rows.filled[0]), self._sizes.top))
        build: Callable[..., BatchRunner] = importlib.import_module(FORMS[device.type]).BatchRunner
        moments = self._sizes.moments
        runner = build(self._tables(moments), rules, scalars, rows, (self.params, self._e, moments))
        rows.complete = runner.complete
        return _Plan(runner, places, rows)

    def _tables(self, moments: Sequence[Tensor]) -> list[ParamTable]:
        begins, total = self._rows.begins, self._rows.total
        factors = [factor.tolist() for factor in self._sizes.by_share()]
        tables = []
        for b, row in enumerate(self._rows.values):
            refined = row["scale"] == MOMENTS
            blocks = [
                ParamBlock(
                    p[b],
                    e[b],
                    {**row, "lr": float(self._sizes.top[b])},
                    factors[j][b],
                    begins[j],
                    moments[j][b] if refined else None,
                )
                for j, (p, e) in enumerate(zip(self.params, self._e, strict=True))
            ]
            tables.append(ParamTable(blocks, (), total, (), ()))
        return tables


def _as(gradient: Tensor, block: Tensor) -> Tensor:
    """Return a gradient in the dtype and the layout of its parameter."""
    return gradient.to(block.dtype).contiguous()
