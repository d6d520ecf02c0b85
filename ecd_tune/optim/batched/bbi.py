"""Batched BBI for B trials."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import torch
from torch import Tensor

from ecd_tune.optim.batched.rows import BatchRows, masked_add
from ecd_tune.optim.bbi.step import bbi_bounces, bbi_constants, begin_bbi, make_bbi_step
from ecd_tune.optim.params.blocks import Algebra
from ecd_tune.records import Scalar

__all__ = ["BatchedBBI"]


class BatchedBBI:
    """:class:`ecd_tune.optim.bbi.optimizer.BBI` for B trials.

    Args:
        theta: Parameter blocks with leading dimension B, float32 or float64; updated in place.
        seeds: Seed of each trial's bounces.
        hyperparameters: One mapping per trial, as declared for ``bbi``.
    """

    def __init__(
        self,
        theta: list[Tensor],
        seeds: Sequence[int],
        hyperparameters: Sequence[Mapping[str, Scalar]],
    ) -> None:
        rows = BatchRows("bbi", hyperparameters, theta, seeds)
        self.params = rows.theta
        columns = {key: [row[key] for row in rows.values] for key in rows.values[0]}
        constants = bbi_constants(columns, rows.device)
        self._rules = (constants, bbi_bounces(columns, rows.device))
        self._lr = rows.factors(rows.column("lr"))
        self._rows, self._steps = rows, 0
        self._state = begin_bbi(torch.zeros_like(constants.F0))
        self._e = [torch.zeros_like(block) for block in theta]

    @torch.no_grad()
    def step(self, loss: Tensor, grads: Sequence[Tensor], active: Tensor) -> None:
        """Make one step of every active trial; see ``BatchedOptimizer``.

        Args:
            loss: Shape ``[B]``.
            grads: Shaped as ``params``.
            active: Shape ``[B]``, bool.
        """
        algebra = Algebra(batched=True)
        go, moved, self._e, self._state = make_bbi_step(
            algebra,
            self.params,
            loss.double(),
            grads,
            self._lr,
            self._e,
            self._state,
            self._rules,
            lambda bounce: self._rows.draw(self._steps, uniform=bounce),
            active,
        )
        masked_add(algebra, self.params, go, moved)
        self._steps += 1

    def report(self) -> dict[str, Tensor]:
        """Return, of shape ``[B]`` each, the numbers of ``BBI.report`` under their names."""
        state = self._state
        held, bad, bounces = state.counts.clone()
        return {
            "updates": state.updates.clone(),
            "held": held,
            "bad_gradients": bad,
            "bounces": bounces,
            "log_energy": state.log_energy.clone(),
            "log_momentum": state.log_p.clone(),
        }
