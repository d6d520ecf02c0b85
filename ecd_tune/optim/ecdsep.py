"""ECDSep, the paper's Algorithm 1, as a torch optimizer."""

from __future__ import annotations

import math
from collections.abc import Iterable
from typing import Any, ClassVar

import torch
from torch import Tensor

from ecd_tune.errors import HyperparameterError
from ecd_tune.optim.definitions import AUTO, check_hyperparameters
from ecd_tune.optim.driver import (
    COUNTERS,
    RunState,
    StepInput,
    begin_state,
    make_step,
    present_constants,
)
from ecd_tune.optim.fused.table import FusedRules
from ecd_tune.optim.monitoring.watched import WatchedOptimizer, WatchedWorking, begin_sums
from ecd_tune.optim.params.gather import Gathered
from ecd_tune.optim.params.groups import tensor_lr
from ecd_tune.optim.params.ranks import GroupChoice
from ecd_tune.optim.params.scale import found_scales
from ecd_tune.optim.record import read_record, write_record
from ecd_tune.optim.rules import Rules, initial_energy, read_rules
from ecd_tune.optim.self_tuning.adaptive import report_auto, split_auto_lr
from ecd_tune.optim.working import Working

__all__ = ["ECDSep", "make"]


class _Working(WatchedWorking):
    def reset(self) -> None:
        super().reset()
        self.rules: tuple[Any, Rules] | None = None
        self.run: RunState | None = None


class ECDSep(WatchedOptimizer):
    """Energy-conserving descent with a separable Hamiltonian (Algorithm 1).

    The loss must stay above ``F0``: V = (F + ½ wd Θ² − F0)^η. Energy and momentum are stored as
    logarithms, so no finite loss overflows. ``lr``, ``weight_decay`` and
    ``decoupled_weight_decay`` may differ between parameter groups and are read at every step, so
    that schedulers work; all others are global.

    Args:
        params: Parameters or parameter groups.
        lr: Step size Δt, > 0. ``"auto"``: the step size with the orbit step ``orbit_step``; the
            ``lr`` of a group is then a factor, 1 unless the group or a scheduler sets it.
        eta: Concentration exponent η, >= 1.
        nu: Chaos strength ν, >= 0. ``"auto"``: ν* for the observed orbit (:mod:`.orbit`).
        F0: Loss offset. ``"auto"``: starts at 0, then follows the observed plateaus, and is never
            above an observed loss (:mod:`.plateau`); such a loss lowers it for any ``on_gap``,
            unless that stops the run.
        orbit_step: Target α* of ``lr="auto"``, in radians, > 0; None means 0.3. Larger values are
            faster and less exact; use at most 1 with ``"sync"``.
        delta_energy: Initial |Π|², δE. None means 0 for ``s=1`` and 1 for ``s=0``; with
            ``s=0`` it must be > 0.
        s: 1: the reachable region is bounded; 0: it is not.
        weight_decay: wd of eq. 15, in the loss and in the gradient.
        scale: Factor of a tensor's Δt in kick and drift, > 0, an exact change of its coordinates;
            1 is the paper's form. ``"share"``: 1/(share of its gradient that is not 0), averaged
            over the first 16 batches and then fixed, so that embeddings, of which a batch uses few
            rows, move as fast as other tensors. ``"moments"``: in addition a diagonal
            preconditioner, a power of the running second moments of the gradient, which takes
            effect gradually over the first 300 steps (:mod:`.moments`). May differ between
            groups.
        decoupled_weight_decay: Let wd shrink the parameters by exp(−Δt wd) in every step instead
            (§3.4). V then changes while Π does not, so 𝓔 is conserved only with
            ``conserve_energy``.
        conserve_energy: Rescale the momentum to the energy surface at every step.
        integrator: ``"algorithm1"``, or ``"sync"``: the same phases in an order whose energy
            error is of second order in Δt.
        seed: Seed of the noise; None draws one from torch's global generator.
        eps1: Rescale only if |Π² − π_c²| exceeds this.
        eps2: No step is made while V < eps2; ``report()["converged"]`` is then True.
        on_gap: What to do if F + ½ wd Θ² − F0 <= 0, where V is undefined. ``"hold"`` skips the step
            and counts it. ``"stop"`` freezes the parameters permanently. ``"shift"`` skips the step
            and lowers F0 by five times the depth, so that the same loss has a gap of four times the
            depth (at least ε2^{1/η}); 𝓔 is kept.
        maximize: Maximize the loss: −F replaces F, also in the comparison with ``F0``.
        foreach: Use ``torch._foreach_*``; None uses it for several blocks on one device.
        wait: Check in every step that the loss is finite, which synchronizes with the device;
            None means only on the CPU. Without it a non-finite loss changes nothing either, but
            raises up to 16 steps later.
        fused: Make steps in one compiled pass each over gradients and parameters (:mod:`.fused`).
            None means where possible: ``report()["form"]`` says whether it is used. False is the
            reference form; the fused forms differ from it by rounding.
        process_group: Processes that each compute the loss of their own batch (DDP, FSDP): the
            loss is averaged over them, and the seed of the first is used. A group, or True for
            the default group; False if all processes pass the same loss. None means False, with a
            warning if several processes run.
        shard_group: Processes that each hold different parameters as plain tensors (FSDP1,
            ZeroRedundancyOptimizer): norms are summed over them, and the loss is averaged over
            them. Not needed for DTensors (FSDP2).

    Raises:
        HyperparameterError: A value is not allowed, or ``fused`` is True but not possible.
    """

    name: ClassVar[str] = "ecdsep"
    counters: ClassVar[tuple[str, ...]] = COUNTERS
    working: ClassVar[type[Working]] = _Working
    _working: _Working
    per_group: ClassVar[frozenset[str]] = frozenset(
        {"lr", "scale", "weight_decay", "decoupled_weight_decay"}
    )

    def __init__(
        self,
        params: Iterable[Any],
        lr: float | str = 0.4,
        *,
        eta: float,
        nu: float | str = 1e-5,
        F0: float | str = 0.0,
        orbit_step: float | None = None,
        delta_energy: float | None = None,
        s: int = 1,
        weight_decay: float = 0.0,
        scale: float | str = 1.0,
        decoupled_weight_decay: bool = False,
        conserve_energy: bool = True,
        integrator: str = "algorithm1",
        seed: int | None = None,
        eps1: float = 1e-10,
        eps2: float = 1e-40,
        on_gap: str = "hold",
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
            "orbit_step": orbit_step,
            "delta_energy": delta_energy,
            "s": s,
            "weight_decay": weight_decay,
            "scale": scale,
            "decoupled_weight_decay": decoupled_weight_decay,
            "conserve_energy": conserve_energy,
            "integrator": integrator,
            "eps1": eps1,
            "eps2": eps2,
            "on_gap": on_gap,
        }
        checked = check_hyperparameters(self.name, values)
        super().__init__(
            params,
            {**split_auto_lr(self.name, checked), **tensor_lr(values)},
            seed=seed,
            maximize=maximize,
            foreach=foreach,
            wait=wait,
            fused=fused,
            process_group=process_group,
            shard_group=shard_group,
        )

    def _check_group(self, group: dict[str, Any]) -> None:
        if group["lr"] == AUTO:
            if group.get("orbit_step") is None:
                raise HyperparameterError(
                    f"{self.name}: lr = 'auto' applies to all groups; the lr of a group must be a "
                    "number, which is a factor if the optimizer has lr = 'auto'"
                )
            group["lr"] = 1.0
        super()._check_group(group)
        initial_energy(self.name, group["s"], group["delta_energy"])

    # ---------------------------------------------------------------- one step

    def _advance(self, loss: Tensor, gathered: Gathered, step: int, synced: bool) -> None:
        rules, state = self._present_rules(), self._present_state()
        state = state._replace(log_p=self._aligned(gathered, state.log_p))
        noise = None
        if rules.chaotic or not self._working.started:
            noise = self._draw(gathered, step)
        point = StepInput(
            theta=gathered.places(),
            loss=loss,
            grads=gathered.grads,
            lr=gathered.lr,
            top_lr=gathered.top_lr,
            scales=gathered.scales,
            weight_decay=gathered.weight_decay,
            decay=gathered.decay,
            size=self._moving(gathered, rules),
            step=step,
        )
        active = torch.ones((), dtype=torch.bool, device=loss.device)
        made = make_step(
            gathered.algebra,
            point,
            gathered.directions,
            state,
            rules,
            noise,
            active,
            starting=not self._working.started,
        )
        self._show(gathered, point, made, noise if rules.chaotic else None)
        self._apply(gathered, made.go, made.moved, made.e, synced)
        self._working.run = made.state
        self._working.trajectory.update(write_record(made.state))
        if not self._working.started:
            self._working.started = bool(made.state.started)

    def _moving(self, gathered: Gathered, rules: Rules) -> int:
        own = gathered.moving()  # over all processes; only "auto" needs it
        return own if rules.auto is None else self._ranks.total(own, self._home())

    def _fused_rules(self) -> FusedRules | str:
        if self._present_rules().auto is not None:
            return 'lr, nu or F0 is "auto"'
        return FusedRules.of(
            self._shared(),
            int(self._working.trajectory["seed"]),
            unit_speed=False,
            maximize=self.param_groups[0]["maximize"],
        )

    # --------------------------------------------------------- rules and state

    def _begin(self) -> dict[str, Tensor]:
        zero = torch.zeros((), dtype=torch.float64, device=self._home())
        count = torch.zeros((), dtype=torch.int64, device=zero.device)
        state = begin_state(zero, self._present_rules())
        return {
            **write_record(state),
            **begin_sums(zero),
            "log_scale": zero,
            "mean_moment": zero,
            "skipped": count,
            "normalised": count == 0,
        }

    def _restore(self) -> None:
        super()._restore()
        self._working.started = bool(self._present_state().started)

    def _present_rules(self) -> Rules:
        shared, home = self._shared(), self._home()
        key = (*shared.values(), home)
        if self._working.rules is None or self._working.rules[0] != key:
            self._working.rules = key, read_rules(self.name, [shared], home, single=True)
        return self._working.rules[1]

    def _forget_state(self) -> None:
        self._working.run = None

    def _present_state(self) -> RunState:
        if self._working.run is None:
            auto = self._present_rules().auto is not None
            self._working.run = read_record(self._working.trajectory, auto=auto)
        return self._working.run

    # ------------------------------------------------------------- what it says

    def report(self) -> dict[str, Any]:
        """Return counters and global state as plain numbers.

        Returns:
            ``steps`` calls of ``step``; ``updates`` steps in which parameters moved; ``held`` steps
            skipped because the gap was not positive; ``converged`` whether V < ε2 now and
            ``converged_steps`` how often; ``stopped`` frozen by ``on_gap="stop"``;
            ``bad_gradients`` steps skipped because the gradient was NaN or infinite; ``skipped``
            calls without loss and gradients; ``unreachable`` rescales skipped because V exceeded 𝓔;
            ``shifts`` of F0; the present ``F0``, ``log_energy`` and ``log_momentum`` (None before
            the first step); with "auto", ``found_nu``, ``found_lr`` (the Δt of a group whose ``lr``
            is 1) and ``found_F0``; and of the run as a whole ``share_hot`` share of the steps with
            V > 𝓔 (for s = 0: with a loss above the first one); ``loss_start`` and ``loss_end``, of
            F + ½ wd Θ²: the first one and the mean of the last fifth; ``path`` Σ|ΔΘ|,
            ``path_bound`` its upper bound and ``path_needed`` the distance to F0 at the start, to
            first order, all in units of Δt, with scaled tensors divided by their scale;
            ``plateau_gap`` and ``plateau_floor``: how far the loss stays above its floor; ``hot``,
            ``slow`` and ``plateau``, flags of these failures, and ``remarks``, sentences that
            describe them and what to change. None means unknown or not applicable; a run of fewer
            than 20 steps has no end. ``form`` is ``"fused"`` or ``"reference"``, and
            ``form_reason`` why the latter. Steps at which a gradient appears or disappears, and
            those that determine a scale, always use the reference form.
        """
        self._adopt()
        rules, state = self._present_rules(), self._present_state()
        F0 = rules.constants.F0 + state.shift
        started = bool(state.started)
        found = {}
        if rules.auto is not None and state.auto is not None:
            found = report_auto(rules.auto, state.auto, F0)
        return {
            "steps": int(self._working.trajectory["steps"]),
            "updates": int(state.updates),
            **dict(zip(COUNTERS, state.counts.tolist(), strict=True)),
            "skipped": int(self._working.trajectory["skipped"]),
            "converged": bool(state.converged),
            "stopped": bool(state.stopped),
            "F0": F0.item(),
            "log_energy": state.log_energy.item() if started else None,
            "log_momentum": state.log_p.item() if started else None,
            **{name: value.item() for name, value in found.items()},
            **found_scales(self.param_groups, self.state),
            **self._remark(rules.constants.eta, rules.constants.bounded),
            **self._report_form(),
        }

    def diagnostics(self, *, F_min: float = math.nan, reset: bool = True) -> dict[str, float]:
        """Return diagnostics of the steps since the last reset.

        All values use numbers that a step computes anyway; the call waits for the device. With
        ``reset``, a call after each epoch describes that epoch. With a ``shard_group`` all
        processes must call it. φ = F + ½ wd |Θ|² − F0, w = V/𝓔.

        Args:
            F_min: Smallest value of the loss, if known, for ``predicted_gap``.
            reset: Restart with the next step.

        Returns:
            ``steps``: calls of ``step``;
            ``share_held``: share of them at which no step was made (φ <= 0, V < ε2, or not
            finite); of those made:
            ``energy_drift``: root mean square of log(V(|Π|²+s)/𝓔) (eq. 9, 10) before the
            rescale: the error of one step, or without rescaling of all so far;
            ``bounce_angle``: radians, arccos E[cos α] of turns whose |Π̂+νz|² (eq. 14) has the
                observed mean, 1 + ν²n; 0 without turns;
            ``gap``: mean φ, in units of the loss;
            ``speed``: mean |ΔΘ|/Δt = 2|Π|/(|Π|²+s) (eq. 11), of equal Δt in all groups;
            ``step_over_bound``: the largest such; s = 1 bounds it by 1;
            ``share_rescaled``: share of steps at which Π was rescaled (§3.3);
            ``share_unreachable``: share at which that was skipped because V exceeded 𝓔;
            ``predicted_gap``: mean φ on the plateau of a quadratic basin, of the stationary law
            (eq. 4 with η_eff; small w, full batches);
            ``implied_minimum``: the minimum of the loss for which the observed mean 1/φ is the
            plateau, F0 + (1−1/η_eff)/⟨1/φ⟩. NaN means undefined.
        """
        self._adopt()
        constants = present_constants(self._present_rules(), self._present_state())
        return self._read(self._present_size(), constants, F_min, reset, unit_speed=False)


def make(params: Iterable[Any], seed: int, **hyperparameters: Any) -> ECDSep:
    """Build an ECDSep by names, for the registry.

    Args:
        params: Parameters or groups.
        seed: Seed of the noise.
        **hyperparameters: As declared in ``OPTIMIZER_DEFS["ecdsep"]``.

    Returns:
        The optimizer.
    """
    hyperparameters.setdefault("eta", None)
    return ECDSep(params, seed=seed, **hyperparameters)
