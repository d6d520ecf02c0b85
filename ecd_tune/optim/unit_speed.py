"""ECD at unit speed (q = 1) as a torch optimizer."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, ClassVar

import torch
from torch import Tensor

from ecd_tune.optim.base import LossOptimizer, Working
from ecd_tune.optim.dynamics import Constants
from ecd_tune.optim.fused.table import Law
from ecd_tune.optim.parameters import Gathered
from ecd_tune.optim.ranks import GroupChoice
from ecd_tune.optim.record import read_tuple, write_record
from ecd_tune.optim.scale import found_scales
from ecd_tune.optim.unit_step import (
    COUNTERS,
    UnitPoint,
    UnitRules,
    UnitState,
    begin_unit,
    make_unit_step,
)

__all__ = ["ECDq1", "make", "read_unit_rules"]


class _Working(Working):
    def reset(self) -> None:
        super().reset()
        self.rules: tuple[Any, UnitRules] | None = None


class ECDq1(LossOptimizer):
    """Energy-conserving descent at unit speed (arXiv 2501.18419, 2601.22257).

    Each step is |ΔΘ| = Δt long, Δt = Δt̂/√η, where all groups have the same ``lr``. The stationary
    law is ∝ (F + ½ wd Θ² − F0)^{−ηn/2}, that of :class:`~ecd_tune.optim.ECDSep` with ``s=0``; a
    large η does not slow the motion down. The scalar product p·∇F, for which the authors' code
    takes each tensor by itself, runs over all parameters, so that nothing depends on how they
    are cut into tensors.

    Args:
        params: Parameters or parameter groups; ``lr``, ``scale`` and ``weight_decay`` may differ.
        lr: Step size Δt̂ = √η Δt, > 0. Another one in a group is an exact change of coordinates.
        eta: Concentration exponent η, >= 1.
        nu: Chaos strength ν̂ = ν√n, >= 0, for the n numbers that take part in a step.
        F0: Loss offset; the loss must stay above it.
        weight_decay: wd of eq. 15, in the loss and in the gradient.
        scale: As for :class:`~ecd_tune.optim.ECDSep`.
        conserve_energy: Set |p| to 1 after each kick of first order; without, |p| wanders and a
            step is Δt|p| long. The exact flow keeps |p| = 1 by itself.
        integrator: ``"algorithm1"`` is kick, drift, turn; with ν̂ > 0 it samples with the exponent
            2η/(1 + λ), λ the mean cosine of a turn. ``"sync"`` kicks by half before and after
            the turn, and samples with η.
        flow: ``"exact"``: the kick is the exact motion of p in a constant force. ``"first_order"``:
            its first order in Δt, as in the authors' code, but |p| is 1 before the drift and not
            after it.
        seed: Seed of the noise; None draws one from torch's global generator.
        eps2: A step is made while F + ½ wd Θ² − F0 > eps2, and else counted as held.
        maximize: Maximize the loss: −F takes the place of F, also against ``F0``.
        foreach: Use ``torch._foreach_*``; None uses it for several blocks on one device.
        wait: As for :class:`~ecd_tune.optim.ECDSep`.
        fused: As for :class:`~ecd_tune.optim.ECDSep`.
        process_group: As for :class:`~ecd_tune.optim.ECDSep`.
        shard_group: As for :class:`~ecd_tune.optim.ECDSep`.

    Raises:
        HyperparameterError: A value is not allowed.
    """

    name: ClassVar[str] = "ecdq1"
    counters: ClassVar[tuple[str, ...]] = COUNTERS
    per_group: ClassVar[frozenset[str]] = frozenset({"lr", "scale", "weight_decay"})
    working: ClassVar[type[Working]] = _Working
    _working: _Working

    def __init__(
        self,
        params: Iterable[Any],
        lr: float = 3.0,
        *,
        eta: float = 100.0,
        nu: float = 0.0,
        F0: float = 0.0,
        weight_decay: float = 0.0,
        scale: float | str = 1.0,
        conserve_energy: bool = True,
        integrator: str = "algorithm1",
        flow: str = "exact",
        seed: int | None = None,
        eps2: float = 1e-40,
        maximize: bool = False,
        foreach: bool | None = None,
        wait: bool | None = None,
        fused: bool | None = None,
        process_group: GroupChoice = None,
        shard_group: GroupChoice = None,
    ) -> None:
        values = {
            "lr": lr,
            "eta": eta,
            "nu": nu,
            "F0": F0,
            "weight_decay": weight_decay,
            "scale": scale,
            "conserve_energy": conserve_energy,
            "integrator": integrator,
            "flow": flow,
            "eps2": eps2,
        }
        super().__init__(
            params,
            values,
            seed=seed,
            maximize=maximize,
            foreach=foreach,
            wait=wait,
            fused=fused,
            process_group=process_group,
            shard_group=shard_group,
        )

    # ---------------------------------------------------------------- one step

    def _advance(self, loss: Tensor, gathered: Gathered, step: int, looked: bool) -> None:
        rules, state = self._present_rules(), self._present_state()
        state = state._replace(log_p=self._aligned(gathered, state.log_p))
        starting = not self._working.started
        noise = self._draw(gathered, step) if rules.chaotic or starting else None
        point = UnitPoint(
            theta=gathered.places(),
            loss=loss,
            grads=gathered.grads,
            lr=gathered.lr,
            weight_decay=gathered.weight_decay,
            size=self._ranks.total(gathered.moving(), self._home()),
            step=step,
        )
        go, moved, e, state = make_unit_step(
            gathered.algebra,
            point,
            gathered.directions,
            state,
            rules,
            noise,
            torch.ones((), dtype=torch.bool, device=loss.device),
            starting=starting,
        )
        self._apply(gathered, go, moved, e, looked)
        self._working.trajectory.update(write_record(state))
        if starting:
            self._working.started = bool(state.started)

    def _law(self) -> Law | str:
        shared = self._shared()
        exact = shared["flow"] == "exact"
        return Law(
            unit_speed=True,
            sync=shared["integrator"] == "sync",
            seed=int(self._working.trajectory["seed"]),
            maximize=self.param_groups[0]["maximize"],
            conserve=exact or shared["conserve_energy"],
            exact=exact,
            **{key: shared[key] for key in ("eta", "nu", "F0", "eps2")},
        )

    # --------------------------------------------------------- rules and state

    def _begin(self) -> dict[str, Tensor]:
        zero = torch.zeros((), dtype=torch.float64, device=self._home())
        skipped = torch.zeros((), dtype=torch.int64, device=zero.device)
        scalars = write_record(begin_unit(zero))
        return {**scalars, "skipped": skipped, "normalised": skipped == 0}

    def _restore(self) -> None:
        self._working.started = bool(self._present_state().started)

    def _present_rules(self) -> UnitRules:
        shared, home = self._shared(), self._home()
        key = (*shared.values(), home)
        if self._working.rules is None or self._working.rules[0] != key:
            self._working.rules = key, read_unit_rules([shared], home, single=True)
        return self._working.rules[1]

    def _present_state(self) -> UnitState:
        state: UnitState = read_tuple(UnitState, self._working.trajectory)
        return state

    # ------------------------------------------------------------- what it says

    def report(self) -> dict[str, Any]:
        """Return counters and global state as plain numbers.

        Returns:
            ``steps`` calls of ``step``; ``updates`` steps in which parameters moved; ``held``
            steps skipped since F + ½ wd Θ² − F0 <= ε2; ``bad_gradients`` steps skipped since the
            gradient was NaN or infinite; ``skipped`` calls without loss and gradients;
            ``converged`` whether the gap is positive and at most ε2 now; ``F0``; ``scales`` as in
            the report of :class:`~ecd_tune.optim.ECDSep`, and ``form`` and ``form_reason``.
        """
        self._adopt()
        state = self._present_state()
        return {
            "steps": int(self._working.trajectory["steps"]),
            "updates": int(state.updates),
            **dict(zip(COUNTERS, state.counts.tolist(), strict=True)),
            "skipped": int(self._working.trajectory["skipped"]),
            "converged": bool(state.converged),
            "F0": self._present_rules().constants.F0.item(),
            **found_scales(self.param_groups, self.state),
            **self._report_form(),
        }


def read_unit_rules(
    rows: Sequence[Mapping[str, Any]], device: torch.device, *, single: bool
) -> UnitRules:
    """Turn checked hyperparameters into rules.

    Args:
        rows: One mapping a trial; ``integrator`` and ``flow`` must be equal in all.
        device: Where scalars live.
        single: One trajectory, whose scalars are 0-d.

    Returns:
        The rules.
    """

    def column(key: str) -> Tensor:
        values = torch.tensor([row[key] for row in rows], dtype=torch.float64, device=device)
        return values[0] if single else values

    exact, eta = rows[0]["flow"] == "exact", column("eta")
    conserve = column("conserve_energy").bool()
    zero = torch.zeros_like(eta)
    return UnitRules(
        constants=Constants(
            eta=eta,
            nu=column("nu"),
            s=zero,
            bounded=zero.bool(),
            F0=column("F0"),
            conserve=torch.ones_like(conserve) if exact else conserve,
            log_eps1=zero,
            log_eps2=zero - math.inf,
            log_delta=zero,
        ),
        eps2=column("eps2"),
        integrator=rows[0]["integrator"],
        exact=exact,
        chaotic=any(row["nu"] for row in rows),
    )


def make(params: Iterable[Any], seed: int, **hyperparameters: Any) -> ECDq1:
    """Build an ECDq1 by names, for the registry.

    Args:
        params: Parameters or groups.
        seed: Seed of the noise.
        **hyperparameters: As declared in ``OPTIMIZER_DEFS["ecdq1"]``.

    Returns:
        The optimizer.
    """
    return ECDq1(params, seed=seed, **hyperparameters)
