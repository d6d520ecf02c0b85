"""Hyperparameters, noise and step sizes of B trials, as columns."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor

from ecd_tune.errors import HyperparameterError
from ecd_tune.optim.definitions import MOMENTS, SHARE, check_hyperparameters
from ecd_tune.optim.params.blocks import Algebra, Blocks, split_flat
from ecd_tune.optim.params.moments import learn, refine
from ecd_tune.optim.params.noise import Noise, aligned
from ecd_tune.optim.params.scale import BATCHES, factor_of, no_shares, with_share
from ecd_tune.records import Scalar

__all__ = ["BatchRows", "StepSizes", "masked_add"]


class BatchRows:
    """Checked hyperparameters of B trials, as columns.

    Args:
        name: Registry name of the optimizer.
        hyperparameters: One mapping per trial; missing hyperparameters have their defaults.
        theta: Parameter blocks; their leading dimension must be the number of trials.
        seeds: One seed per trial.

    Attributes:
        begins: Start of each block in the vector of all parameters of a trial.
        total: Length of that vector.

    Raises:
        HyperparameterError: A value is not allowed, or the numbers of trials do not agree.
    """

    def __init__(
        self,
        name: str,
        hyperparameters: Sequence[Mapping[str, Scalar]],
        theta: Sequence[Tensor],
        seeds: Sequence[int],
    ) -> None:
        self.name = name
        self.values = [check_hyperparameters(name, row) for row in hyperparameters]
        self.device = theta[0].device
        counts = {len(block) for block in theta} | {len(seeds), len(self.values)}
        if len(counts) != 1:
            raise HyperparameterError(
                f"{name}: {len(self.values)} sets of hyperparameters, {len(seeds)} seeds and "
                f"blocks of {[len(block) for block in theta]} trials; all must be equal"
            )
        self.theta = list(theta)
        self.size = sum(block[0].numel() for block in theta)
        self.seeds = list(seeds)
        self.begins: list[int] = []
        self.total = 0
        for block in theta:
            self.total = aligned(self.total, block[0].numel())
            self.begins.append(self.total)
            self.total += block[0].numel()
        self._noise = Noise(list(seeds), self.device)

    def replace(self, row: int, values: Mapping[str, Scalar]) -> dict[str, Any]:
        """Give a row other hyperparameters.

        Args:
            row: The row.
            values: Its hyperparameters; missing ones have their defaults.

        Returns:
            All of them.

        Raises:
            HyperparameterError: A value is not allowed.
        """
        self.values[row] = check_hyperparameters(self.name, values)
        return self.values[row]

    def draw(self, step: int, *, uniform: bool = False) -> list[Tensor]:
        """Return the random numbers of a step, one block per parameter block.

        Args:
            step: Number of the step.
            uniform: From [-½, ½) instead of the normal law.

        Returns:
            Blocks; row b has what the single optimizer with ``seed=seeds[b]`` draws.
        """
        double = all(block.dtype == torch.float64 for block in self.theta)
        dtype = torch.float64 if double else torch.float32
        numbers = self._noise.uniform if uniform else self._noise.normal
        lengths = [block[0].numel() for block in self.theta]
        spans = list(zip(self.begins, lengths, strict=True))
        return split_flat(numbers(step, self.total, spans, dtype), self.theta, lead=1)

    def column(self, key: str) -> Tensor:
        """Return one hyperparameter of all trials, float64 or bool, shape ``[B]``."""
        return self.tensor([row[key] for row in self.values])

    def tensor(self, values: Sequence[Any]) -> Tensor:
        """Return one value per trial, bool if they are bool, else float64."""
        dtype = torch.bool if isinstance(values[0], bool) else torch.float64
        return torch.tensor(values, dtype=dtype, device=self.device)

    def factors(self, column: Tensor) -> list[Tensor]:
        """Return ``column`` shaped to multiply each of the parameter blocks."""
        algebra = Algebra(batched=True)
        return [algebra.spread(column, block) for block in self.theta]

    def any(self, key: str) -> bool:
        """Return whether any trial has a value that is not 0, False or None."""
        return any(row[key] for row in self.values)

    def same(self, key: str) -> Any:
        """Return the one value that all trials have.

        Raises:
            HyperparameterError: They differ.
        """
        values = {row[key] for row in self.values}
        if len(values) > 1:
            raise HyperparameterError(
                f"{self.name}: {key} must be equal in a batch, not {sorted(values)}; run one batch "
                "per value"
            )
        return values.pop()


class StepSizes:
    """Δt of each trial and block, with the scales that are given or found.

    Args:
        rows: The trials; they have ``lr`` and ``scale``.

    Attributes:
        top: Δt without scales, ``[B]``.
        lr: Δt of each block with them, shaped to multiply it.
        scales: Factor of each block, of the same shape, or None if all are 1.
    """

    def __init__(self, rows: BatchRows) -> None:
        self.top = rows.column("lr")
        self._blocks = rows.theta
        given = [row["scale"] for row in rows.values]
        self._shared = rows.tensor([scale in (SHARE, MOMENTS) for scale in given])
        self._refined = rows.tensor([scale == MOMENTS for scale in given])
        self._any_shared, self._any_refined = bool(self._shared.any()), bool(self._refined.any())
        numbers = [1.0 if scale in (SHARE, MOMENTS) else scale for scale in given]
        self._factors = [rows.tensor(numbers)] * len(rows.theta)
        nothing = no_shares(self.top)[:, None].expand(2, len(self.top))
        self._seen = [nothing] * len(rows.theta)
        self._moments = [torch.zeros_like(block) for block in rows.theta if self._any_refined]
        self._log_k = self._mean = torch.zeros_like(self.top)
        self._refined_by: list[Tensor] = []
        self._spread()

    def _spread(self) -> None:
        algebra = Algebra(batched=True)
        pairs = list(zip(self._factors, self._blocks, strict=True))
        plain = all(bool((factor == 1).all()) for factor in self._factors)
        self.lr = [algebra.spread(self.top * factor, block) for factor, block in pairs]
        self.scales = None if plain else self._shares()

    def settled(self, step: int) -> bool:
        """Return whether the factors by the share rule are fixed."""
        return step >= BATCHES or not self._any_shared

    def by_share(self) -> list[Tensor]:
        """Return the factor of each block, ``[B]``, without those of each number."""
        return self._factors

    @property
    def moments(self) -> list[Tensor]:
        """Second moments of each block, ``[B, …]``; none where no trial has them."""
        return self._moments

    @property
    def scaling(self) -> tuple[Tensor, Tensor]:
        """Log k and ⟨v⟩ of ``moments.py``, ``[B]``."""
        return self._log_k, self._mean

    @scaling.setter
    def scaling(self, pair: tuple[Tensor, Tensor]) -> None:
        self._log_k, self._mean = pair

    def see(self, grads: Sequence[Tensor], step: int) -> None:
        """Determine the automatic scales of a step.

        Args:
            grads: Gradients, with leading dimension B.
            step: Number of the step.
        """
        if self._any_shared and step < BATCHES:
            self._see_shares(grads)
        if self._any_refined:
            self._refine(step)

    def learn(self, grads: Sequence[Tensor], step: int, made: Tensor) -> None:
        """Update the scales of later steps from the gradients of a step.

        Args:
            grads: Gradients, with leading dimension B.
            step: Number of the step.
            made: Trials in which it is made, bool, ``[B]``.
        """
        if not self._any_refined:
            return
        algebra = Algebra(batched=True)
        self._moments, self._log_k, self._mean = learn(
            algebra,
            algebra.times_each(grads, self._shares()),
            self._refined_by,
            self._moments,
            self._log_k,
            self._mean,
            step,
            made & self._refined,
        )

    def _see_shares(self, grads: Sequence[Tensor]) -> None:
        for number, grad in enumerate(grads):
            rows = grad.reshape(len(grad), -1)
            share = (rows != 0).sum(1, dtype=torch.float64) / max(rows.shape[1], 1)
            self._seen[number] = with_share(self._seen[number], share)
            found = factor_of(self._seen[number])
            self._factors[number] = torch.where(self._shared, found, self._factors[number])
        self._spread()

    def _shares(self) -> list[Tensor]:
        algebra = Algebra(batched=True)
        pairs = zip(self._factors, self._blocks, strict=True)
        return [algebra.spread(factor, block) for factor, block in pairs]

    def _refine(self, step: int) -> None:
        algebra = Algebra(batched=True)
        self._spread()
        factors = refine(algebra, self._moments, self._log_k, self._mean, step)
        ones = [torch.ones_like(f) for f in factors]
        self._refined_by = algebra.where(self._refined, factors, ones)
        self.lr = algebra.times_each(self.lr, self._refined_by)
        self.scales = algebra.times_each(self._shares(), self._refined_by)


def masked_add(algebra: Algebra, blocks: Blocks, mask: Tensor, amounts: Blocks) -> None:
    """Add in place for the trials of ``mask``; other entries may be NaN."""
    still = [torch.zeros((), dtype=b.dtype, device=b.device) for b in blocks]
    for block, amount in zip(blocks, algebra.where(mask, amounts, still), strict=True):
        block.add_(amount)
