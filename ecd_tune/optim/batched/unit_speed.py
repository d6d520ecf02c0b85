"""Batched ECD at unit speed for B trials."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor

from ecd_tune.optim.batched.ecdsep import BatchedOptimizer
from ecd_tune.optim.batched.fused import FusedBatch
from ecd_tune.optim.batched.rows import BatchRows, StepSizes, masked_add
from ecd_tune.optim.definitions import MOMENTS
from ecd_tune.optim.monitoring.watching import Step
from ecd_tune.optim.params.blocks import Algebra
from ecd_tune.optim.unit_speed.rules import constants_for, read_unit_rules
from ecd_tune.optim.unit_speed.step import (
    COUNTERS,
    UnitStepInput,
    begin_unit,
    make_unit_step,
)
from ecd_tune.records import Scalar

__all__ = ["BatchedECDq1", "make_ecd_auto"]


class BatchedECDq1(FusedBatch):
    """:class:`ecd_tune.optim.unit_speed.optimizer.ECDq1` for B trials.

    Args:
        theta: Parameter blocks with leading dimension B, float32 or float64; updated in place.
        seeds: Seed of each trial's noise.
        hyperparameters: One mapping per trial, as declared for ``ecdq1``; ``integrator`` and
            ``flow`` must be equal in all.
    """

    unit_speed = True

    def __init__(
        self,
        theta: list[Tensor],
        seeds: Sequence[int],
        hyperparameters: Sequence[Mapping[str, Scalar]],
    ) -> None:
        super().__init__()
        rows = BatchRows("ecdq1", hyperparameters, theta, seeds)
        for key in ("integrator", "flow"):
            rows.same(key)
        self.params = rows.theta
        self._rows, self._steps = rows, 0
        self._rules = read_unit_rules(rows.values, rows.device, single=False)
        self._sizes = StepSizes(rows)
        wd = rows.column("weight_decay")
        self._weight_decay = rows.factors(wd) if bool(wd.any()) else None
        self._state = begin_unit(torch.zeros_like(wd))
        self._e = [torch.zeros_like(block) for block in theta]
        self._all_started = False

    def _reference_step(self, loss: Tensor, grads: Sequence[Tensor], active: Tensor) -> None:
        algebra, starting = Algebra(batched=True), not self._all_started
        self._sizes.see(grads, self._steps)
        noise = self._rows.draw(self._steps) if self._rules.chaotic or starting else None
        point = UnitStepInput(
            theta=self.params,
            loss=loss.double(),
            grads=grads,
            lr=self._sizes.lr,
            top_lr=self._sizes.top,
            weight_decay=self._weight_decay,
            size=self._rows.size,
            step=self._steps,
        )
        made = make_unit_step(
            algebra, point, self._e, self._state, self._rules, noise, active, starting=starting
        )
        turning = noise if self._rules.chaotic else None
        self._show(Step.of(algebra, point, made, turning, self._rules.integrator))
        masked_add(algebra, self.params, made.go, made.moved)
        self._sizes.learn(grads, self._steps, made.go)
        self._e = algebra.where(made.go, made.e, self._e)
        self._state = made.state
        if starting:
            self._all_started = bool(self._state.started.all())

    def report(self) -> dict[str, Any]:
        """Return, of shape ``[B]`` each, the numbers of ``ECDq1.report``, and lists of remarks."""
        constants = self._rules.constants
        return {
            "updates": self._state.updates.clone(),
            **dict(zip(COUNTERS, self._state.counts.clone(), strict=True)),
            "converged": self._state.converged.clone(),
            "F0": constants.F0.clone(),
            **self._remark(self._rows.values, constants.eta, constants.conserve),
            **self._report_form(),
        }

    def diagnostics(self, *, F_min: float = math.nan, reset: bool = True) -> dict[str, Tensor]:
        """Return, of shape ``[B]`` each, the numbers of ``ECDq1.diagnostics``.

        Args:
            F_min: Smallest value of the loss, where it is known.
            reset: Restart with the next step.

        Returns:
            Name to numbers, float64, on the CPU.
        """
        rules, size = self._rules, self._rows.size
        constants = constants_for(rules, size)
        return self._read(size, constants, rules.integrator, F_min, reset, unit_speed=True)


def make_ecd_auto(
    theta: list[Tensor], seeds: Sequence[int], hyperparameters: Sequence[Mapping[str, Scalar]]
) -> BatchedOptimizer:
    """Build :func:`ecd_tune.optim.auto` for B trials; arguments as for :class:`BatchedECDq1`.

    Returns:
        The batched optimizer.
    """
    return BatchedECDq1(theta, seeds, [{"scale": MOMENTS, **row} for row in hyperparameters])
