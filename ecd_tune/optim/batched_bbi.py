"""BBI for B trials at once."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import torch
from torch import Tensor

from ecd_tune.optim.batched import BatchedOptimizer, Rows, choose, masked_add
from ecd_tune.optim.bbi import (
    Clock,
    advance_bbi,
    bbi_bounces,
    bbi_constants,
    due,
    new_clock,
    start_bbi,
    tick,
)
from ecd_tune.optim.blocks import Algebra, split_flat
from ecd_tune.optim.dynamics import Phase, survey, unit
from ecd_tune.optim.noise import NoiseSource
from ecd_tune.records import Scalar

__all__ = ["BatchedBBI", "make_bbi"]


class BatchedBBI:
    """:class:`ecd_tune.optim.bbi.BBI` for B trials.

    Args:
        theta: Parameter blocks with leading dimension B, float32 or float64; updated in place.
        seeds: Seed of each trial's bounces.
        hyperparameters: One mapping a trial, as declared for ``bbi``.
    """

    def __init__(
        self,
        theta: list[Tensor],
        seeds: Sequence[int],
        hyperparameters: Sequence[Mapping[str, Scalar]],
    ) -> None:
        rows = Rows("bbi", hyperparameters, theta, seeds)
        self.params = rows.theta
        self._algebra = Algebra(batched=True)
        columns = {key: [row[key] for row in rows.values] for key in rows.values[0]}
        self._constants = bbi_constants(columns, rows.device)
        self._bounces = bbi_bounces(columns, rows.device)
        self._lr = rows.factors(rows.column("lr"))
        self._sources = [NoiseSource(seed, rows.device) for seed in seeds]
        zero = torch.zeros_like(self._constants.F0)
        self._clock = new_clock(zero)
        directions = [torch.zeros_like(block) for block in theta]
        self._phase = Phase(directions, zero - torch.inf, zero, zero.long())
        self._started = zero.bool()
        self._all_started = False
        self._counts = {"held": zero.long(), "bounces": zero.long()}

    @torch.no_grad()
    def step(self, loss: Tensor, grads: Sequence[Tensor], active: Tensor) -> None:
        """Make one step of every active trial; see ``BatchedOptimizer``.

        Args:
            loss: Shape ``[B]``.
            grads: Shaped as ``params``.
            active: Shape ``[B]``, bool.
        """
        algebra = self._algebra
        seen = survey(algebra, self.params, loss.double(), grads, self._lr, None, self._constants)
        go = active & seen.ok
        if not self._all_started:
            fresh = go & ~self._started
            noise = self._draw(fresh, bounce=False)
            first = start_bbi(algebra, grads, noise, seen, self._constants.log_delta)
            self._phase = choose(algebra, fresh, first, self._phase)
            self._started = self._started | fresh
            self._all_started = bool(self._started.all())
        bounce = due(self._clock, self._bounces) & go
        ticked = tick(self._clock, self._bounces, bounce, seen.log_potential)
        pairs = zip(ticked, self._clock, strict=True)
        self._clock = Clock(*(torch.where(go, new, old) for new, old in pairs))
        moved, phase = advance_bbi(algebra, self._phase, seen, self._lr, self._constants)
        glide = go & ~bounce
        masked_add(algebra, self.params, glide, moved)
        self._phase = choose(algebra, glide, phase, self._phase)
        if bool(bounce.any()):
            random = self._draw(bounce, bounce=True)
            scattered = unit(algebra, random, algebra.norm(random))
            e = algebra.where(bounce, scattered, self._phase.e)
            self._phase = self._phase._replace(e=e)
        self._counts["held"] += active & (seen.below | seen.converged)
        self._counts["bounces"] += bounce

    def report(self) -> dict[str, Tensor]:
        """Return, of shape ``[B]`` each, the numbers of ``BBI.report`` under their names."""
        return {
            "updates": self._phase.t.clone(),
            **{key: value.clone() for key, value in self._counts.items()},
            "log_energy": self._phase.log_energy.clone(),
            "log_momentum": self._phase.log_p.clone(),
        }

    def _draw(self, rows: Tensor, bounce: bool) -> list[Tensor]:
        """Draw numbers for some trials only, as their single optimizers would; others get 1."""
        size = sum(block[0].numel() for block in self.params)
        double = all(block.dtype == torch.float64 for block in self.params)
        dtype = torch.float64 if double else torch.float32
        flat = torch.ones(len(self._sources), size, dtype=dtype, device=rows.device)
        for b in rows.nonzero().flatten().tolist():
            source = self._sources[b]
            flat[b] = source.uniform(size, dtype) if bounce else source.draw(size, dtype)
        return split_flat(flat, self.params, lead=1)


def make_bbi(
    theta: list[Tensor], seeds: Sequence[int], hyperparameters: Sequence[Mapping[str, Scalar]]
) -> BatchedOptimizer:
    """Build a :class:`BatchedBBI`, for the registry.

    Args:
        theta: Parameter blocks with leading dimension B; updated in place.
        seeds: One seed a trial.
        hyperparameters: One mapping a trial.

    Returns:
        The batched optimizer.
    """
    return BatchedBBI(theta, seeds, hyperparameters)
