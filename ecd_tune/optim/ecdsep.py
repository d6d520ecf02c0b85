"""ECDSep, the paper's Algorithm 1, as a torch optimizer."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from typing import Any, ClassVar

import torch
from torch import Tensor

from ecd_tune.errors import HyperparameterError, NonFiniteLossError
from ecd_tune.optim.account import EnergyAccount, initial_energy
from ecd_tune.optim.definitions import AUTO, check_hyperparameters
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
from ecd_tune.optim.gather import Gathered
from ecd_tune.optim.tally import Tally
from ecd_tune.optim.tuning import set_aside_lr
from ecd_tune.optim.watching import Step

__all__ = ["SHIFT_FACTOR", "ECDSep", "make"]

SHIFT_FACTOR = 5.0
_PATIENCE = 16


class ECDSep(EnergyAccount):
    """Energy-conserving descent with a separable Hamiltonian (Algorithm 1).

    The loss must stay above ``F0``: V = (F + ½ wd Θ² − F0)^η. State lives in the log domain
    and survives any finite loss. ``lr`` and the two of weight decay may differ between
    parameter groups and are read at every step, so that schedulers work; the rest is global.

    Args:
        params: Parameters or parameter groups.
        lr: Step size Δt, > 0. ``"auto"``: such that the orbit step is ``orbit_step``; the ``lr``
            of a group is then a factor of it, 1 unless the group or a scheduler sets another.
        eta: Concentration exponent η, >= 1.
        nu: Chaos strength ν, >= 0. ``"auto"``: ν* by the orbit that is seen (:mod:`.orbit`).
        F0: Loss offset. ``"auto"``: 0 to begin with, then by the plateaus that are seen, and never
            above a loss that was seen (:mod:`.plateau`); such a loss lowers it whatever
            ``on_gap`` is, unless that stops the run.
        orbit_step: The α* at which ``lr="auto"`` aims, in radians, > 0; None is 0.3. Larger is
            faster and less exact; 1 is the most that suits ``"sync"``.
        delta_energy: Initial |Π|², δE. None is 0 for ``s=1`` and 1 for ``s=0``; with ``s=0``
            it must be > 0.
        s: 1 bounds the region that can be reached, 0 does not.
        weight_decay: wd of eq. 15, in the loss and in the gradient.
        decoupled_weight_decay: Let wd shrink the parameters by exp(−Δt wd) in every step
            instead (§3.4). V then changes while Π does not, so that 𝓔 holds only with
            ``conserve_energy``.
        conserve_energy: Rescale the momentum to the energy surface at every step.
        integrator: ``"algorithm1"``, or ``"sync"``: the same phases in an order whose energy
            error is of second order in Δt.
        seed: Seed of the noise; None draws one from torch's global generator.
        eps1: Rescale only if |Π² − π_c²| exceeds this.
        eps2: No step is made while V < eps2; ``report()["converged"]`` says so.
        on_gap: What to do when F + ½ wd Θ² − F0 <= 0, where V does not exist. ``"hold"``
            skips the step and counts it. ``"stop"`` freezes the parameters for good.
            ``"shift"`` skips the step and lowers F0 by five times the depth, so that the same
            loss has a gap of four times the depth (at least ε2^{1/η}); 𝓔 is kept.
        foreach: Use ``torch._foreach_*``; None uses it for several blocks on one device.
        wait: Look at the loss in every step, which waits for the device; None does so on the
            CPU, and with an ``on_gap`` that must act at once. Else a loss that is not finite
            changes nothing either, but raises up to 16 steps later.

    Raises:
        HyperparameterError: A value is not allowed.
    """

    name: ClassVar[str] = "ecdsep"
    per_group: ClassVar[frozenset[str]] = frozenset(
        {"lr", "weight_decay", "decoupled_weight_decay"}
    )
    wait: bool | None = None

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
        decoupled_weight_decay: bool = False,
        conserve_energy: bool = True,
        integrator: str = "algorithm1",
        seed: int | None = None,
        eps1: float = 1e-10,
        eps2: float = 1e-40,
        on_gap: str = "hold",
        foreach: bool | None = None,
        wait: bool | None = None,
    ) -> None:
        self.wait = wait
        values = {
            "lr": lr,
            "eta": eta,
            "nu": nu,
            "F0": F0,
            "orbit_step": orbit_step,
            "delta_energy": delta_energy,
            "s": s,
            "weight_decay": weight_decay,
            "decoupled_weight_decay": decoupled_weight_decay,
            "conserve_energy": conserve_energy,
            "integrator": integrator,
            "eps1": eps1,
            "eps2": eps2,
            "on_gap": on_gap,
        }
        checked = check_hyperparameters(self.name, values)
        self._begin(params, set_aside_lr(self.name, checked), seed, foreach)

    def _check_group(self, group: dict[str, Any]) -> None:
        if group["lr"] == AUTO:
            if group.get("orbit_step") is None:
                raise HyperparameterError(
                    f"{self.name}: lr = 'auto' is for all groups together; a group's own lr is a "
                    "number, with lr = 'auto' of the optimizer a factor"
                )
            group["lr"] = 1.0
        super()._check_group(group)
        initial_energy(self.name, group["s"], group["delta_energy"])

    # ---------------------------------------------------------------- one step

    def _advance(self, loss: Tensor) -> None:
        shared = self._shared()
        gathered = self._gather()
        constants = self._constants_for(shared, loss.device)
        if not gathered.params:
            self._check_loss(loss.item())
            return
        seen = survey(
            gathered.algebra,
            gathered.places(),
            loss,
            gathered.grads,
            gathered.lr,
            gathered.weight_decay,
            constants,
        )
        if self._may_defer(shared, loss.device):
            self._advance_unseen(gathered, seen, loss, constants, shared)
            return
        # The only wait for the device in a step.
        flags = torch.stack([loss, seen.ok.double(), seen.below.double(), seen.converged.double()])
        value, ok, below, converged = flags.tolist()
        self._check_loss(value)
        self._converged = bool(converged)
        noise = self._draw(gathered, shared["nu"])
        if not (below or self._stopped) and self._log_p is None and self._finite(gathered):
            self._start(gathered, noise, seen, constants)
        if ok and not self._stopped:
            self._move(gathered, noise if shared["nu"] else None, seen, loss, constants, shared)
        else:
            self._skip(seen, loss, constants, shared)
            self._learn(seen, constants)
            for watcher in self._all_watchers():
                watcher.missed(loss)

    def _may_defer(self, shared: Mapping[str, Any], device: torch.device) -> bool:
        # The first step asks whether there is an energy to set.
        if self.wait or self._log_p is None or shared["on_gap"] != "hold":
            return False
        return device.type != "cpu" if self.wait is None else True

    def _advance_unseen(
        self,
        gathered: Gathered,
        seen: Survey,
        loss: Tensor,
        constants: Constants,
        shared: Mapping[str, Any],
    ) -> None:
        """Make the step where it is allowed, and leave all as it was where it is not."""
        finite = loss.isfinite()
        noise = self._draw(gathered, shared["nu"])
        turning = noise if shared["nu"] else None
        self._move(gathered, turning, seen, loss, constants, shared, seen.ok & finite)
        if self._tally is None:
            self._tally = Tally(loss.device)
        self._tally.add(seen, finite, self._steps)
        if self._steps % _PATIENCE == 0:
            self._check_unseen(self._settle())

    def _check_unseen(self, bad: int | None) -> None:
        if bad is not None:
            raise NonFiniteLossError(
                f"{type(self).__name__}: the loss at step {bad} was not finite (found at step "
                f"{self._steps}); a finite loss is needed (try a smaller lr)"
            )

    def _draw(self, gathered: Gathered, nu: float) -> list[Tensor] | None:
        """Draw z; without chaos only the first direction may need it."""
        if not nu and self._log_p is not None:
            return None
        return gathered.blocks_of(self._noise.draw(gathered.total, gathered.noise_dtype))

    def _finite(self, gathered: Gathered) -> bool:
        return bool(gathered.algebra.norm(gathered.grads) < math.inf)

    def _start(
        self,
        gathered: Gathered,
        noise: list[Tensor] | None,
        seen: Survey,
        constants: Constants,
    ) -> None:
        assert noise is not None
        phase = start(gathered.algebra, gathered.grads, noise, seen, constants)
        self._keep(gathered, phase)

    def _move(
        self,
        gathered: Gathered,
        noise: list[Tensor] | None,
        seen: Survey,
        loss: Tensor,
        constants: Constants,
        shared: Mapping[str, Any],
        allowed: Tensor | None = None,
    ) -> None:
        assert self._log_p is not None
        assert self._log_energy is not None
        assert self._t is not None
        e = [self.state[p]["direction"] for p in gathered.params]
        phase = Phase(e, self._log_p, self._log_energy, self._t)
        constants = self._steer(gathered, seen, constants, allowed)
        moved, phase, info = advance(
            gathered.algebra,
            phase,
            seen,
            gathered.lr,
            noise,
            constants,
            shared["integrator"],
        )
        step = Step(
            made=seen.ok if allowed is None else allowed,
            held=seen.below if allowed is None else ~allowed,
            algebra=gathered.algebra,
            theta=gathered.theta,
            loss=loss,
            grads=gathered.grads,
            lr=gathered.lr,
            weight_decay=gathered.weight_decay,
            noise=noise,
            moved=moved,
            seen=seen,
            info=info,
            log_energy=self._log_energy,
            constants=constants,
            integrator=shared["integrator"],
        )
        for watcher in self._all_watchers():
            watcher.saw(step)
        if gathered.decay is not None:
            rates, pace = gathered.decay, constants.pace
            lost = decay(gathered.algebra, gathered.places(), rates, pace)
            moved = gathered.algebra.plus(moved, lost)
        unreachable = info.unreachable.long()
        if allowed is not None:
            before = Phase(e, self._log_p, self._log_energy, self._t)
            moved, phase = _choose(gathered, allowed, moved, phase, before)
            unreachable = unreachable * allowed
        gathered.move(moved)
        self._keep(gathered, phase)
        counted = self._unreachable
        self._unreachable = unreachable if counted is None else counted + unreachable
        self._learn(seen, constants)

    def _steer(
        self, gathered: Gathered, seen: Survey, constants: Constants, allowed: Tensor | None
    ) -> Constants:
        """Return the constants of this step, with what is left to the run."""
        if self._tuner is None:
            return constants
        assert self._log_energy is not None
        lr = torch.full_like(self._log_energy, max(gathered.lr))
        turning = sum(e.numel() for e in gathered.directions)
        made = seen.ok if allowed is None else allowed
        return self._tuner.steer(seen, self._log_energy, constants, lr, turning, made)

    def _learn(self, seen: Survey, constants: Constants) -> None:
        """Move F0 where it is left to the run, and energy and momentum with it."""
        if self._tuner is None or self._stopped:
            return
        learnt = self._tuner.learn(seen, constants, torch.ones_like(seen.ok))
        if learnt is None:
            return
        self._offset, log_ratio = learnt
        if self._log_p is not None and self._log_energy is not None:
            self._log_p, self._log_energy = rebase(
                self._log_p, self._log_energy, log_ratio, constants.eta
            )

    def _skip(
        self, seen: Survey, loss: Tensor, constants: Constants, shared: Mapping[str, Any]
    ) -> None:
        self._count_skipped(seen)
        below = bool(seen.below)
        if below and shared["on_gap"] == "stop":
            self._stopped = True
        if below and shared["on_gap"] == "shift" and shared["F0"] != AUTO:
            self._lower_offset(seen, loss, constants, SHIFT_FACTOR)

    def _count_skipped(self, seen: Survey) -> None:
        if self._stopped:
            return
        below = bool(seen.below)
        self._counts["held"] += below
        self._counts["converged_steps"] += self._converged
        self._counts["bad_gradients"] += not (below or self._converged)

    def _lower_offset(
        self, seen: Survey, loss: Tensor, constants: Constants, factor: float
    ) -> Tensor:
        """Lower F0 and return the new one."""
        offset = lowered_offset(
            constants.F0, seen.gap, loss, constants.eta, constants.log_eps2, factor
        )
        self._offset = offset
        self._counts["shifts"] += 1
        return offset

    def _keep(self, gathered: Gathered, phase: Phase) -> None:
        gathered.keep(self.state, phase.e)
        self._log_p, self._log_energy, self._t = phase.log_p, phase.log_energy, phase.t


def _choose(
    gathered: Gathered, allowed: Tensor, moved: list[Tensor], new: Phase, old: Phase
) -> tuple[list[Tensor], Phase]:
    """Return move and phase of a step, or no move and the old phase; NaN may be left out."""
    algebra = gathered.algebra
    return algebra.where(allowed, moved, [torch.zeros_like(m) for m in moved]), Phase(
        algebra.where(allowed, new.e, old.e),
        torch.where(allowed, new.log_p, old.log_p),
        old.log_energy,
        torch.where(allowed, new.t, old.t),
    )


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
