"""BBI, the Born–Infeld optimizer of the paper's reference [6], a baseline, as a torch optimizer."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, ClassVar

import torch
from torch import Tensor

from ecd_tune.optim.base import LossOptimizer
from ecd_tune.optim.bbi.step import (
    BBI_COUNTERS,
    BBIState,
    Clock,
    bbi_bounces,
    bbi_constants,
    begin_bbi,
    make_bbi_step,
)
from ecd_tune.optim.params.gather import Gathered
from ecd_tune.optim.params.ranks import GroupChoice
from ecd_tune.optim.record import read_tuple, write_record

__all__ = ["BBI", "make"]


class BBI(LossOptimizer):
    """The Born–Infeld optimizer with energy-conserving bounces.

    Args:
        params: Parameters or parameter groups; ``lr`` may differ between groups.
        lr: Step size Δt.
        v0: Loss offset; no step is made while F − v0 <= eps2.
        delta_energy: Energy above the first loss.
        T0: Steps from one fixed bounce to the next.
        T1: Steps without a new minimum of the loss before a bounce.
        n_bounces: Fixed bounces; 0 counts as 1.
        conserve_energy: Rescale the momentum to the energy surface at every step.
        eps1: Rescale only if |π² − π_c²| exceeds this.
        eps2: Smallest V at which a step is made.
        seed: Seed of the bounces; None draws one from torch's global generator.
        maximize: Maximize the loss: −F replaces F.
        foreach: Use ``torch._foreach_*``; None uses it for several blocks on one device.
        process_group: As for :class:`~ecd_tune.optim.ECDSep`.
        shard_group: As for :class:`~ecd_tune.optim.ECDSep`.

    Raises:
        HyperparameterError: A value is not allowed.
    """

    name: ClassVar[str] = "bbi"
    counters: ClassVar[tuple[str, ...]] = BBI_COUNTERS

    def __init__(
        self,
        params: Iterable[Any],
        lr: float = 1e-3,
        *,
        v0: float = 0.0,
        delta_energy: float = 0.0,
        T0: int = 1000,
        T1: int = 3000,
        n_bounces: int = 1,
        conserve_energy: bool = True,
        eps1: float = 1e-10,
        eps2: float = 1e-40,
        seed: int | None = None,
        maximize: bool = False,
        foreach: bool | None = None,
        process_group: GroupChoice = None,
        shard_group: GroupChoice = None,
    ) -> None:
        values = {
            "lr": lr,
            "v0": v0,
            "delta_energy": delta_energy,
            "T0": T0,
            "T1": T1,
            "n_bounces": n_bounces,
            "conserve_energy": conserve_energy,
            "eps1": eps1,
            "eps2": eps2,
        }
        super().__init__(
            params,
            values,
            seed=seed,
            maximize=maximize,
            foreach=foreach,
            wait=True,  # a bounce is a decision of every step
            process_group=process_group,
            shard_group=shard_group,
        )

    def _advance(self, loss: Tensor, gathered: Gathered, step: int, synced: bool) -> None:
        shared = self._shared()
        state = read_tuple(BBIState, self._working.trajectory, clock=Clock)
        state = state._replace(log_p=self._aligned(gathered, state.log_p))
        go, moved, e, state = make_bbi_step(
            gathered.algebra,
            gathered.places(),
            loss,
            gathered.grads,
            gathered.lr,
            gathered.directions,
            state,
            (bbi_constants(shared, loss.device), bbi_bounces(shared, loss.device)),
            lambda bounce: self._draw(gathered, step, uniform=bounce),
            torch.ones((), dtype=torch.bool, device=loss.device),
        )
        if go:
            gathered.move(moved)
        gathered.keep(self.state, e)
        self._working.trajectory.update(write_record(state))

    def _begin(self) -> dict[str, Tensor]:
        zero = torch.zeros((), dtype=torch.float64, device=self._home())
        skipped = torch.zeros((), dtype=torch.int64, device=zero.device)
        return {**write_record(begin_bbi(zero)), "skipped": skipped}

    def report(self) -> dict[str, Any]:
        """Return counters and global state as plain numbers.

        Returns:
            ``steps`` calls of ``step``; ``updates`` steps in which parameters moved;
            ``bounces``; ``held`` steps skipped since F − v0 <= ε2; ``bad_gradients`` steps
            skipped since the gradient was NaN or infinite; ``skipped`` calls without loss and
            gradients; ``log_energy`` and ``log_momentum`` (None before the first step).
        """
        self._adopt()
        state = read_tuple(BBIState, self._working.trajectory, clock=Clock)
        started = bool(state.started)
        return {
            "steps": int(self._working.trajectory["steps"]),
            "updates": int(state.updates),
            **dict(zip(BBI_COUNTERS, state.counts.tolist(), strict=True)),
            "skipped": int(self._working.trajectory["skipped"]),
            "log_energy": state.log_energy.item() if started else None,
            "log_momentum": state.log_p.item() if started else None,
        }


def make(params: Iterable[Any], seed: int, **hyperparameters: Any) -> BBI:
    """Build a BBI by names, for the registry.

    Args:
        params: Parameters or groups.
        seed: Seed of the bounces.
        **hyperparameters: As declared in ``OPTIMIZER_DEFS["bbi"]``.

    Returns:
        The optimizer.
    """
    return BBI(params, seed=seed, **hyperparameters)
