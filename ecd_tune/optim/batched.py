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
from ecd_tune.optim.account import initial_energy
from ecd_tune.optim.blocks import Algebra, Blocks, split_flat
from ecd_tune.optim.definitions import AUTO, check_hyperparameters
from ecd_tune.optim.diagnostics import Diagnostics
from ecd_tune.optim.dynamics import (
    Constants,
    Phase,
    Survey,
    advance,
    decay,
    lowered_offset,
    rebase,
    start,
    survey,
)
from ecd_tune.optim.ecdsep import SHIFT_FACTOR
from ecd_tune.optim.noise import NoiseBatch
from ecd_tune.optim.tuning import Tuner, known, left_to_run, set_aside_lr
from ecd_tune.optim.watching import Step, Watcher
from ecd_tune.records import Scalar

__all__ = ["BatchedECDSep", "BatchedOptimizer", "Rows", "choose", "make_ecdsep", "masked_add"]


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

    def report(self) -> dict[str, Tensor]:
        """Return counters and states by name, each of shape ``[B]``."""


class Rows:
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


class BatchedECDSep:
    """:class:`ecd_tune.optim.ecdsep.ECDSep` for B trials.

    Args:
        theta: Parameter blocks with leading dimension B, float32 or float64; updated in place.
        seeds: Seed of each trial's noise.
        hyperparameters: One mapping a trial, as declared for ``ecdsep``; only ``integrator``
            must be equal in all.
    """

    def __init__(
        self,
        theta: list[Tensor],
        seeds: Sequence[int],
        hyperparameters: Sequence[Mapping[str, Scalar]],
    ) -> None:
        rows = Rows("ecdsep", hyperparameters, theta, seeds)
        rows.values = [set_aside_lr("ecdsep", row) for row in rows.values]
        self.params = rows.theta
        self._algebra = Algebra(batched=True)
        self._constants = _constants(rows)
        self._rate = rows.column("lr")
        self._lr = rows.factors(self._rate)
        self._size = sum(block[0].numel() for block in self.params)
        left = left_to_run(rows.values, rows.device)
        self._tuner = None if left is None else Tuner(left)
        decoupled = rows.column("decoupled_weight_decay")
        wd = rows.column("weight_decay")
        self._weight_decay = _unless_zero(rows, torch.where(decoupled, 0.0, wd))
        self._decay = torch.where(decoupled, self._rate * wd, 0.0)
        self._decays = bool(self._decay.any())
        self._integrator: str = rows.same("integrator")
        self._chaotic = rows.any("nu")
        self._noise = NoiseBatch(seeds, rows.device)
        self._stops = rows.tensor([row["on_gap"] == "stop" for row in rows.values])
        self._shifts = rows.tensor(
            [row["on_gap"] == "shift" and row["F0"] != AUTO for row in rows.values]
        )
        self._may_shift, self._may_stop = bool(self._shifts.any()), bool(self._stops.any())
        count = torch.zeros_like(wd, dtype=torch.int64)
        nothing = torch.zeros_like(wd)
        directions = [torch.zeros_like(block) for block in theta]
        self._phase = Phase(directions, nothing - torch.inf, nothing, count)
        self._started = count.bool()
        self._all_started = False
        self._stopped = count.bool()
        self._watchers: tuple[Watcher, ...] = ()
        self._diagnostics = Diagnostics()
        self._counts = {key: count.clone() for key in ("held", "converged_steps", "unreachable")}

    @torch.no_grad()
    def step(self, loss: Tensor, grads: Sequence[Tensor], active: Tensor) -> None:
        """Make one step of every active trial; see :class:`BatchedOptimizer`.

        Args:
            loss: Shape ``[B]``.
            grads: Shaped as ``params``.
            active: Shape ``[B]``, bool.
        """
        algebra, constants = self._algebra, self._constants
        loss = loss.double()
        seen = survey(algebra, self.params, loss, grads, self._lr, self._weight_decay, constants)
        live = active & ~self._stopped if self._may_stop else active
        noise = self._draw() if self._chaotic or not self._all_started else None
        if not self._all_started:
            fresh = live & (seen.gap > 0) & (algebra.norm(grads) < torch.inf) & ~self._started
            assert noise is not None
            first = start(algebra, grads, noise, seen, constants)
            self._phase = choose(algebra, fresh, first, self._phase)
            self._started = self._started | fresh
            self._all_started = bool(self._started.all())
        go = live & seen.ok
        if self._tuner is not None:
            lr, energy = self._rate, self._phase.log_energy
            constants = self._tuner.steer(seen, energy, constants, lr, self._size, go)
        moved, phase, info = advance(
            algebra,
            self._phase,
            seen,
            self._lr,
            noise if self._chaotic else None,
            constants,
            self._integrator,
        )
        step = Step(
            made=go,
            held=live & ~seen.ok,
            algebra=algebra,
            theta=self.params,
            loss=loss,
            grads=grads,
            lr=self._lr,
            weight_decay=self._weight_decay,
            noise=noise if self._chaotic else None,
            moved=moved,
            seen=seen,
            info=info,
            log_energy=self._phase.log_energy,
            constants=constants,
            integrator=self._integrator,
        )
        for watcher in (self._diagnostics, *self._watchers):
            watcher.saw(step)
        if self._decays:
            rates = [self._decay] * len(self.params)
            moved = algebra.plus(moved, decay(algebra, self.params, rates, constants.pace))
        masked_add(algebra, self.params, go, moved)
        self._phase = choose(algebra, go, phase, self._phase)
        self._counts["unreachable"] += go & info.unreachable
        below = live & seen.below
        self._counts["held"] += below
        self._counts["converged_steps"] += live & seen.converged
        if self._may_stop:
            self._stopped = self._stopped | (below & self._stops)
        self._constants = constants
        if self._tuner is not None:
            self._learn(self._tuner, seen, live)
        if self._may_shift:
            self._shift(below & self._shifts, seen.gap, loss)

    def report(self) -> dict[str, Tensor]:
        """Return, of shape ``[B]`` each, the numbers of ``ECDSep.report`` under their names."""
        return {
            "updates": self._phase.t.clone(),
            **{key: value.clone() for key, value in self._counts.items()},
            "stopped": self._stopped.clone(),
            "F0": self._constants.F0.clone(),
            "log_energy": self._phase.log_energy.clone(),
            "log_momentum": self._phase.log_p.clone(),
            **(self._tuner.report(self._constants.F0) if self._tuner is not None else {}),
        }

    def watch(self, watcher: Watcher) -> None:
        """Show every further step to ``watcher``."""
        self._watchers = (*self._watchers, watcher)

    def diagnostics(self, *, F_min: float = math.nan, reset: bool = True) -> dict[str, Tensor]:
        """Return, of shape ``[B]`` each, the numbers of ``ECDSep.diagnostics``.

        Args:
            F_min: Smallest value of the loss, where it is known.
            reset: Begin anew with the next step.

        Returns:
            Name to numbers, float64, on the CPU.
        """
        found = self._diagnostics.read(self._size, self._constants, self._integrator, F_min)
        if reset:
            self._diagnostics.reset()
        return {name: torch.as_tensor(column) for name, column in found.items()}

    def _draw(self) -> list[Tensor]:
        double = all(block.dtype == torch.float64 for block in self.params)
        dtype = torch.float64 if double else torch.float32
        return split_flat(self._noise.draw(self._size, dtype), self.params, lead=1)

    def _learn(self, tuner: Tuner, seen: Survey, live: Tensor) -> None:
        learnt = tuner.learn(seen, self._constants, live)
        if learnt is None:
            return
        F0, log_ratio = learnt
        self._constants = self._constants._replace(F0=F0)
        phase, eta = self._phase, self._constants.eta
        log_p, log_energy = rebase(phase.log_p, phase.log_energy, log_ratio, eta)
        self._phase = phase._replace(log_p=log_p, log_energy=log_energy)

    def _shift(self, rows: Tensor, gap: Tensor, loss: Tensor) -> None:
        constants = self._constants
        lower = lowered_offset(
            constants.F0, gap, loss, constants.eta, constants.log_eps2, SHIFT_FACTOR
        )
        self._constants = constants._replace(F0=torch.where(rows, lower, constants.F0))


def _unless_zero(rows: Rows, column: Tensor) -> list[Tensor] | None:
    return rows.factors(column) if bool(column.any()) else None


def _constants(rows: Rows) -> Constants:
    delta = [initial_energy("ecdsep", row["s"], row["delta_energy"]) for row in rows.values]
    s = rows.column("s")
    return Constants(
        eta=rows.column("eta"),
        nu=rows.tensor([known(row["nu"]) for row in rows.values]),
        s=s,
        bounded=s == 1,
        F0=rows.tensor([known(row["F0"]) for row in rows.values]),
        conserve=rows.column("conserve_energy"),
        log_eps1=rows.column("eps1").log(),
        log_eps2=rows.column("eps2").log(),
        log_delta=rows.tensor(delta).log(),
    )


def choose(algebra: Algebra, mask: Tensor, new: Phase, old: Phase) -> Phase:
    """Return ``new`` for the trials of ``mask``, ``old`` for the others."""
    return Phase(
        algebra.where(mask, new.e, old.e),
        torch.where(mask, new.log_p, old.log_p),
        torch.where(mask, new.log_energy, old.log_energy),
        torch.where(mask, new.t, old.t),
    )


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
