"""ECD at unit speed (q = 1) as a torch optimizer."""

from __future__ import annotations

import math
from collections.abc import Iterable
from typing import Any, ClassVar

import torch
from torch import Tensor

from ecd_tune.optim.definitions import MOMENTS
from ecd_tune.optim.fused.table import FusedRules
from ecd_tune.optim.monitoring.watched import WatchedOptimizer, WatchedWorking, begin_sums
from ecd_tune.optim.params.gather import Gathered
from ecd_tune.optim.params.ranks import GroupChoice
from ecd_tune.optim.params.scale import found_scales
from ecd_tune.optim.record import read_tuple, write_record
from ecd_tune.optim.unit_speed.rules import UnitRules, constants_for, read_unit_rules
from ecd_tune.optim.unit_speed.step import (
    COUNTERS,
    UnitState,
    UnitStepInput,
    begin_unit,
    make_unit_step,
)
from ecd_tune.optim.working import Working

__all__ = ["ECDq1", "auto", "make", "make_auto"]


class _Working(WatchedWorking):
    def reset(self) -> None:
        super().reset()
        self.rules: tuple[Any, UnitRules] | None = None


class ECDq1(WatchedOptimizer):
    """Energy-conserving descent at unit speed (arXiv 2501.18419, 2601.22257).

    Each step is |ΔΘ| = Δt long, Δt = Δt̂/√η, where all groups have the same ``lr``. The stationary
    law is ∝ (F + ½ wd Θ² − F0)^{−ηn/2}, that of :class:`~ecd_tune.optim.ECDSep` with ``s=0``; a
    large η does not slow the motion down. The scalar product p·∇F is over all parameters (the
    authors' code computes it for each tensor), so that results do not depend on how the parameters
    are split into tensors.

    Args:
        params: Parameters or parameter groups; ``lr``, ``scale`` and ``weight_decay`` may differ.
        lr: Step size Δt̂ = √η Δt, > 0; the value of a group is an exact change of coordinates.
        eta: Concentration exponent η, >= 1.
        nu: Chaos strength ν̂ = ν√n, >= 0, for the n elements that are updated in a step.
        F0: Loss offset; the loss must stay above it.
        weight_decay: wd of eq. 15, in the loss and in the gradient.
        scale: As for :class:`~ecd_tune.optim.ECDSep`.
        conserve_energy: Set |p| to 1 after each kick of first order; otherwise |p| drifts and a
            step has length Δt|p|. The exact flow keeps |p| = 1.
        integrator: ``"algorithm1"`` is kick, drift, turn; with ν̂ > 0 it samples with the exponent
            2η/(1 + λ), λ the mean cosine of a turn. ``"sync"`` kicks by half before and after
            the turn, and samples with η.
        flow: ``"exact"``: the kick is the exact motion of p in a constant force. ``"first_order"``:
            the first order in Δt, as in the authors' code, except that |p| is set to 1 before
            the drift instead of after it.
        seed: Seed of the noise; None draws one from torch's global generator.
        eps2: A step is made while F + ½ wd Θ² − F0 > eps2; other steps are counted as held.
        maximize: Maximize the loss: −F replaces F, also in the comparison with ``F0``.
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
    compares_losses: ClassVar[bool] = False
    per_group: ClassVar[frozenset[str]] = frozenset({"lr", "scale", "weight_decay"})
    working: ClassVar[type[Working]] = _Working
    _working: _Working

    def __init__(
        self,
        params: Iterable[Any],
        lr: float = 0.8,
        *,
        eta: float = 30.0,
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

    def _advance(self, loss: Tensor, gathered: Gathered, step: int, synced: bool) -> None:
        rules, state = self._present_rules(), self._present_state()
        state = state._replace(log_p=self._aligned(gathered, state.log_p))
        starting = not self._working.started
        noise = self._draw(gathered, step) if rules.chaotic or starting else None
        point = UnitStepInput(
            theta=gathered.places(),
            loss=loss,
            grads=gathered.grads,
            lr=gathered.lr,
            top_lr=gathered.top_lr,
            weight_decay=gathered.weight_decay,
            size=self._ranks.total(gathered.moving(), self._home()),
            step=step,
        )
        made = make_unit_step(
            gathered.algebra,
            point,
            gathered.directions,
            state,
            rules,
            noise,
            torch.ones((), dtype=torch.bool, device=loss.device),
            starting=starting,
        )
        self._show(gathered, point, made, noise if rules.chaotic else None)
        self._apply(gathered, made.go, made.moved, made.e, synced)
        self._working.trajectory.update(write_record(made.state))
        if starting:
            self._working.started = bool(made.state.started)

    def _fused_rules(self) -> FusedRules | str:
        return FusedRules.of(
            self._shared(),
            int(self._working.trajectory["seed"]),
            unit_speed=True,
            maximize=self.param_groups[0]["maximize"],
        )

    # --------------------------------------------------------- rules and state

    def _begin(self) -> dict[str, Tensor]:
        zero = torch.zeros((), dtype=torch.float64, device=self._home())
        skipped = torch.zeros((), dtype=torch.int64, device=zero.device)
        scalars = {**write_record(begin_unit(zero)), **begin_sums(zero)}
        scalars |= {"log_scale": zero, "mean_moment": zero, "normalised": skipped == 0}
        return {**scalars, "skipped": skipped}

    def _restore(self) -> None:
        super()._restore()
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
            ``converged`` whether the gap is positive and at most ε2 now; ``F0``; ``scales``, and
            from ``share_hot`` to ``remarks`` what the report of
            :class:`~ecd_tune.optim.ECDSep` has, ``form`` and ``form_reason`` too.
        """
        self._adopt()
        state = self._present_state()
        constants = self._present_rules().constants
        return {
            "steps": int(self._working.trajectory["steps"]),
            "updates": int(state.updates),
            **dict(zip(COUNTERS, state.counts.tolist(), strict=True)),
            "skipped": int(self._working.trajectory["skipped"]),
            "converged": bool(state.converged),
            "F0": constants.F0.item(),
            **found_scales(self.param_groups, self.state),
            **self._remark(constants.eta, constants.conserve),
            **self._report_form(),
        }

    def diagnostics(self, *, F_min: float = math.nan, reset: bool = True) -> dict[str, float]:
        """Return what the steps since the last reset say about the dynamics.

        As for :meth:`ecd_tune.optim.ECDSep.diagnostics`; φ = F + ½ wd |Θ|² − F0.

        Args:
            F_min: Smallest value of the loss, where it is known, for ``predicted_gap``.
            reset: Restart the sums with the next step.

        Returns:
            ``steps``: calls of ``step``;
            ``share_held``: share of them at which no step was made (φ <= ε2, or not finite); of
            those made:
            ``speed_drift``: root mean square of log|p| after the kick that precedes the drift and
            before |p| is set to 1: the error of one kick of first order, or without energy
            conservation of all so far; 0 with the exact flow. It has the place of ``energy_drift``;
            ``bounce_angle``: radians, as for ECDSep; 0 without turns;
            ``gap``: mean φ, in units of the loss;
            ``speed``: mean |ΔΘ|/Δt = |p|, 1 with energy conservation;
            ``predicted_gap``: mean φ on the plateau of a quadratic basin, of the stationary law
            (η_eff = 2η/(1+λ) for ``"algorithm1"``, η for ``"sync"``; small Δt, full batches);
            ``implied_minimum``: the minimum of the loss of whose plateau the mean 1/φ that was
            seen is, F0 + (1−1/η_eff)/⟨1/φ⟩. Undefined values are NaN.
        """
        self._adopt()
        size = self._present_size()
        constants = constants_for(self._present_rules(), size)
        return self._read(size, constants, F_min, reset, unit_speed=True)


def auto(params: Iterable[Any], **options: Any) -> ECDq1:
    """Return an optimizer without hyperparameters to tune: ECDq1 with ``scale="moments"``.

    One setting for all networks, measured on seven tasks (``docs/results/auto.md``). Set
    ``F0`` if the loss can be negative, and ``weight_decay`` if needed.

    Args:
        params: Parameters or parameter groups.
        **options: As for :class:`ECDq1`.

    Returns:
        The optimizer; ``step`` needs the loss, as for every optimizer of this package.

    Raises:
        HyperparameterError: As for :class:`ECDq1`.
    """
    return ECDq1(params, **{"scale": MOMENTS, **options})


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


def make_auto(params: Iterable[Any], seed: int, **hyperparameters: Any) -> ECDq1:
    """Build :func:`auto` by names, for the registry.

    Args:
        params: Parameters or groups.
        seed: Seed of the noise.
        **hyperparameters: As declared in ``OPTIMIZER_DEFS["ecd_auto"]``.

    Returns:
        The optimizer.
    """
    return auto(params, seed=seed, **hyperparameters)
