"""Batched optimizers: every tensor has a leading trial dimension B.

Row b of a batched optimizer goes exactly the way of the single optimizer with the same
hyperparameters and ``seed=seeds[b]``: the mathematics and the noise are the same code.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from functools import partial
from typing import Any, Protocol, runtime_checkable

import torch
from torch import Tensor

from ecd_tune.optim.batched.fused import FusedBatch
from ecd_tune.optim.batched.rows import BatchRows, StepSizes, masked_add
from ecd_tune.optim.driver import (
    COUNTERS,
    StepInput,
    begin_state,
    make_step,
    present_constants,
)
from ecd_tune.optim.monitoring.watching import Step
from ecd_tune.optim.params.blocks import Algebra
from ecd_tune.optim.rules import read_rules
from ecd_tune.optim.self_tuning.adaptive import report_auto, split_auto_lr
from ecd_tune.records import Scalar

__all__ = [
    "BatchedECDSep",
    "BatchedOptimizer",
    "RefillableOptimizer",
    "make_ecdsep_f0",
]


class BatchedOptimizer(Protocol):
    """Interface of an optimizer that runs B trials at once.

    Attributes:
        params: Blocks with leading dimension B, updated in place by :meth:`step`.
    """

    params: list[Tensor]

    def step(self, loss: Tensor, grads: Sequence[Tensor], active: Tensor) -> None:
        """Make one step of every active trial.

        A trial that is not active keeps its parameters and state, bit for bit, and may have
        non-finite values that reach no other trial.

        Args:
            loss: Shape ``[B]``, loss of each trial at its present parameters.
            grads: Gradients of the trials' own losses, shaped as ``params``.
            active: Shape ``[B]``, bool.
        """

    def report(self) -> dict[str, Any]:
        """Return counters and states by name, each with one entry per trial."""


@runtime_checkable
class RefillableOptimizer(BatchedOptimizer, Protocol):
    """A batched optimizer of which a row can be given to another trial at any time."""

    def begin_row(self, row: int, hyperparameters: Mapping[str, Scalar]) -> float:
        """Start a trial in a row.

        Args:
            row: The row.
            hyperparameters: Of the trial; ``scale`` is a number.

        Returns:
            Its learning rate.

        Raises:
            HyperparameterError: A value is not allowed.
        """

    def set_lr(self, lr: Sequence[float]) -> None:
        """Set the learning rate of each row for the steps that follow.

        Args:
            lr: One a row.
        """

    def row_state(self, row: int) -> list[dict[str, Tensor]]:
        """Return what the single optimizer of a row's trial would have in ``state``.

        Args:
            row: The row.

        Returns:
            One dictionary per parameter, empty before the first step; copies.
        """

    def load_row_state(self, row: int, state: Sequence[Mapping[str, Any]]) -> None:
        """Resume a trial in a row from the state of another run.

        Args:
            row: Which; a trial has begun in it.
            state: As :meth:`row_state` returns it.

        Raises:
            ValueError: It is not of such an optimizer.
        """


class BatchedECDSep(FusedBatch):
    """:class:`ecd_tune.optim.ecdsep.ECDSep` for B trials.

    Args:
        theta: Parameter blocks with leading dimension B, float32 or float64; updated in place.
        seeds: Seed of each trial's noise.
        hyperparameters: One mapping per trial, as declared for ``name``; only ``integrator`` and
            the additional hyperparameters of Algorithm 2 must be equal in all.
        name: ``"ecdsep"`` or ``"ecdsep_f0"``.
    """

    unit_speed = False

    def __init__(
        self,
        theta: list[Tensor],
        seeds: Sequence[int],
        hyperparameters: Sequence[Mapping[str, Scalar]],
        name: str = "ecdsep",
    ) -> None:
        super().__init__()
        rows = BatchRows(name, hyperparameters, theta, seeds)
        if "orbit_step" in rows.values[0]:
            rows.values = [split_auto_lr(name, row) for row in rows.values]
        for key in {"integrator", "shift_factor", "reset_energy"} & set(rows.values[0]):
            rows.same(key)
        self.params = rows.theta
        self._rows, self._steps = rows, 0
        self._rules = read_rules(name, rows.values, rows.device, single=False)
        self._sizes = StepSizes(rows)
        wd = rows.column("weight_decay")
        decoupled = rows.tensor([row.get("decoupled_weight_decay", False) for row in rows.values])
        in_loss, rate = torch.where(decoupled, 0.0, wd), torch.where(decoupled, wd, 0.0)
        self._weight_decay = rows.factors(in_loss) if bool(in_loss.any()) else None
        decay = [self._sizes.top * rate] * len(theta)
        self._decay = decay if bool(rate.any()) else None
        self._state = begin_state(torch.zeros_like(wd), self._rules)
        self._e = [torch.zeros_like(block) for block in theta]
        self._all_started = False

    def _reference_step(self, loss: Tensor, grads: Sequence[Tensor], active: Tensor) -> None:
        algebra, rules = Algebra(batched=True), self._rules
        self._sizes.see(grads, self._steps)
        noise = None
        if rules.chaotic or not self._all_started:
            noise = self._rows.draw(self._steps)
        point = StepInput(
            theta=self.params,
            loss=loss.double(),
            grads=grads,
            lr=self._sizes.lr,
            top_lr=self._sizes.top,
            scales=self._sizes.scales,
            weight_decay=self._weight_decay,
            decay=self._decay,
            size=self._rows.size,
            step=self._steps,
        )
        made = make_step(
            algebra,
            point,
            self._e,
            self._state,
            rules,
            noise,
            active,
            starting=not self._all_started,
        )
        turning = noise if rules.chaotic else None
        self._show(Step.of(algebra, point, made, turning, rules.integrator))
        masked_add(algebra, self.params, made.go, made.moved)
        self._sizes.learn(grads, self._steps, made.go)
        self._e = algebra.where(made.go, made.e, self._e)
        self._state = made.state
        if not self._all_started:
            self._all_started = bool(made.state.started.all())

    def report(self) -> dict[str, Any]:
        """Return, of shape ``[B]`` each, the numbers of ``ECDSep.report``, and lists of remarks.

        Unknown values are NaN.
        """
        rules, state = self._rules, self._state
        F0 = rules.constants.F0 + state.shift
        found = {}
        if rules.auto is not None and state.auto is not None:
            found = report_auto(rules.auto, state.auto, F0)
        return {
            "updates": state.updates.clone(),
            **dict(zip(COUNTERS, state.counts.clone(), strict=True)),
            "stopped": state.stopped.clone(),
            "F0": F0,
            "log_energy": state.log_energy.clone(),
            "log_momentum": state.log_p.clone(),
            **found,
            **self._remark(self._rows.values, rules.constants.eta, rules.constants.bounded),
            **self._report_form(),
        }

    def _undecided(self) -> bool:
        return self._rules.auto is not None

    def diagnostics(self, *, F_min: float = math.nan, reset: bool = True) -> dict[str, Tensor]:
        """Return, of shape ``[B]`` each, the numbers of ``ECDSep.diagnostics``.

        Args:
            F_min: Smallest value of the loss, where it is known.
            reset: Restart with the next step.

        Returns:
            Name to numbers, float64, on the CPU.
        """
        rules, size = self._rules, self._rows.size
        constants = present_constants(rules, self._state)
        return self._read(size, constants, rules.integrator, F_min, reset, unit_speed=False)


make_ecdsep_f0 = partial(BatchedECDSep, name="ecdsep_f0")
"""Build Algorithm 2 for B trials."""
