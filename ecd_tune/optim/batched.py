"""Many trials of one optimizer at once: every tensor has a leading trial dimension B.

Row b of a batched optimizer goes exactly the way of the single optimizer with the same
hyperparameters and ``seed=seeds[b]``: the mathematics and the noise are the same code.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any, Protocol

import torch
from torch import Tensor

from ecd_tune.errors import HyperparameterError
from ecd_tune.optim.adaptive import report_auto, set_aside_lr
from ecd_tune.optim.blocks import Algebra, Blocks, split_flat
from ecd_tune.optim.definitions import MOMENTS, SHARE, check_hyperparameters
from ecd_tune.optim.driver import (
    COUNTERS,
    Point,
    begin_state,
    make_step,
    present_constants,
)
from ecd_tune.optim.moments import learn, refine
from ecd_tune.optim.noise import Noise, aligned
from ecd_tune.optim.rules import read_rules
from ecd_tune.optim.scale import BATCHES, factor_of, no_shares, with_share
from ecd_tune.optim.watched import WatchedBatch
from ecd_tune.optim.watching import Step
from ecd_tune.records import Scalar

__all__ = [
    "BatchedECDSep",
    "BatchedOptimizer",
    "BatchRows",
    "StepSizes",
    "make_ecdsep",
    "make_ecdsep_f0",
    "masked_add",
]


class BatchedOptimizer(Protocol):
    """What the objective needs of an optimizer that runs B trials at once.

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
        """Return counters and states by name, each with one entry a trial."""


class BatchRows:
    """Checked hyperparameters of B trials, as columns.

    Args:
        name: Registry name of the optimizer.
        hyperparameters: One mapping a trial; what one does not name takes its default.
        theta: Parameter blocks; their leading dimension must be the number of trials.
        seeds: One seed a trial.

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
        self._noise = Noise(list(seeds), self.device)

    def draw(self, step: int, *, uniform: bool = False) -> list[Tensor]:
        """Return the random numbers of a step, one block a parameter block.

        Args:
            step: Number of the step.
            uniform: From [-½, ½) instead of the normal law.

        Returns:
            Blocks; row b has what the single optimizer with ``seed=seeds[b]`` draws.
        """
        double = all(block.dtype == torch.float64 for block in self.theta)
        dtype = torch.float64 if double else torch.float32
        numbers = self._noise.uniform if uniform else self._noise.normal
        spans, at = [], 0
        for block in self.theta:
            at = aligned(at, block[0].numel())
            spans.append((at, block[0].numel()))
            at += block[0].numel()
        return split_flat(numbers(step, at, spans, dtype), self.theta, lead=1)

    def column(self, key: str) -> Tensor:
        """Return one hyperparameter of all trials, float64 or bool, shape ``[B]``."""
        return self.tensor([row[key] for row in self.values])

    def tensor(self, values: Sequence[Any]) -> Tensor:
        """Return one value a trial, bool if they are bool, else float64."""
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
                f"{self.name}: {key} must be equal in a batch, not {sorted(values)}; "
                "run one batch for each"
            )
        return values.pop()


class StepSizes:
    """Δt of each trial and block, with the scales that are given or found.

    Args:
        rows: The trials; they have ``lr`` and ``scale``.

    Attributes:
        top: Δt without scales, ``[B]``.
        lr: Δt of each block with them, shaped to multiply it.
        scales: Factor of each block, shaped alike, or None where all are 1.
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

    def see(self, grads: Sequence[Tensor], step: int) -> None:
        """Find the scales of a step that are left to the run.

        Args:
            grads: Gradients, with leading dimension B.
            step: Number of the step.
        """
        if self._any_shared and step < BATCHES:
            self._see_shares(grads)
        if self._any_refined:
            self._refine(step)

    def learn(self, grads: Sequence[Tensor], step: int, made: Tensor) -> None:
        """Let the gradients of a step tell the scales of those that follow.

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


class BatchedECDSep(WatchedBatch):
    """:class:`ecd_tune.optim.ecdsep.ECDSep` for B trials.

    Args:
        theta: Parameter blocks with leading dimension B, float32 or float64; updated in place.
        seeds: Seed of each trial's noise.
        hyperparameters: One mapping a trial, as declared for ``name``; only ``integrator``, and
            what Algorithm 2 has beside ``eta``, must be equal in all.
        name: ``"ecdsep"`` or ``"ecdsep_f0"``.
    """

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
            rows.values = [set_aside_lr(name, row) for row in rows.values]
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

    @torch.no_grad()
    def step(self, loss: Tensor, grads: Sequence[Tensor], active: Tensor) -> None:
        """Make one step of every active trial; see :class:`BatchedOptimizer`.

        Args:
            loss: Shape ``[B]``.
            grads: Shaped as ``params``.
            active: Shape ``[B]``, bool.
        """
        algebra, rules = Algebra(batched=True), self._rules
        self._sizes.see(grads, self._steps)
        noise = None
        if rules.chaotic or not self._all_started:
            noise = self._rows.draw(self._steps)
        point = Point(
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
        self._steps += 1
        if not self._all_started:
            self._all_started = bool(made.state.started.all())

    def report(self) -> dict[str, Any]:
        """Return, of shape ``[B]`` each, the numbers of ``ECDSep.report``, and lists of remarks.

        What is not known is NaN.
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
        }

    def diagnostics(self, *, F_min: float = math.nan, reset: bool = True) -> dict[str, Tensor]:
        """Return, of shape ``[B]`` each, the numbers of ``ECDSep.diagnostics``.

        Args:
            F_min: Smallest value of the loss, where it is known.
            reset: Begin anew with the next step.

        Returns:
            Name to numbers, float64, on the CPU.
        """
        rules, size = self._rules, self._rows.size
        constants = present_constants(rules, self._state)
        return self._read(size, constants, rules.integrator, F_min, reset, unit_speed=False)


def masked_add(algebra: Algebra, blocks: Blocks, mask: Tensor, amounts: Blocks) -> None:
    """Add in place for the trials of ``mask``; what is not added may be NaN."""
    still = [torch.zeros((), dtype=b.dtype, device=b.device) for b in blocks]
    for block, amount in zip(blocks, algebra.where(mask, amounts, still), strict=True):
        block.add_(amount)


def make_ecdsep(
    theta: list[Tensor], seeds: Sequence[int], hyperparameters: Sequence[Mapping[str, Scalar]]
) -> BatchedOptimizer:
    """Build a :class:`BatchedECDSep`, for the registry.

    Args:
        theta: Parameter blocks with leading dimension B; updated in place.
        seeds: One seed a trial.
        hyperparameters: One mapping a trial.

    Returns:
        The batched optimizer.
    """
    return BatchedECDSep(theta, seeds, hyperparameters)


def make_ecdsep_f0(
    theta: list[Tensor], seeds: Sequence[int], hyperparameters: Sequence[Mapping[str, Scalar]]
) -> BatchedOptimizer:
    """Build Algorithm 2 for B trials; arguments as for :func:`make_ecdsep`.

    Returns:
        The batched optimizer.
    """
    return BatchedECDSep(theta, seeds, hyperparameters, name="ecdsep_f0")
