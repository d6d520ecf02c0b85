"""BBI, the Born–Infeld optimizer of the paper's reference [6], a baseline.

H = √(V (V + π²)) with V = F − v0 is conserved; E = V_init + δE. With x = log(E/V)::

    target   π_c² = V (e^{2x} − 1)
    kick     π ← π − lr cosh(x) ∇F
    drift    Θ ← Θ + lr e^{−x} π

and now and then a bounce: π keeps its norm and gets a random direction. The momentum is in the
log domain, as in :mod:`ecd_tune.optim.dynamics`, whose phases are used; norms are global over
all tensors, also for the first momentum (the published code normalises tensor by tensor).
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from typing import Any, ClassVar, NamedTuple

import torch
from torch import Tensor

from ecd_tune.optim.blocks import Algebra, Blocks, Factors
from ecd_tune.optim.dynamics import (
    Constants,
    Phase,
    Survey,
    downhill,
    kick,
    log_expm1,
    rescale,
    survey,
    unit,
)
from ecd_tune.optim.gather import Gathered
from ecd_tune.optim.hamiltonian import HamiltonianOptimizer

__all__ = [
    "BBI",
    "Bounces",
    "Clock",
    "advance_bbi",
    "bbi_bounces",
    "bbi_constants",
    "due",
    "make",
    "new_clock",
    "start_bbi",
    "tick",
]


class Bounces(NamedTuple):
    """When to bounce; int64, 0-d or ``[B]``."""

    T0: Tensor
    T1: Tensor
    n_bounces: Tensor


class Clock(NamedTuple):
    """Counters towards the next bounce, 0-d or ``[B]``."""

    best: Tensor
    """Smallest log V met in a step."""
    idle: Tensor
    """Steps since then, or since the last bounce."""
    fixed: Tensor
    """Steps since the last fixed bounce that starts the count anew."""
    bounces: Tensor
    """Fixed bounces made."""


def due(clock: Clock, bounces: Bounces) -> Tensor:
    """Return where this step is a bounce: T1 steps without progress, or T0 steps on."""
    return (clock.idle == bounces.T1) | (clock.fixed == bounces.T0)


def tick(clock: Clock, bounces: Bounces, bounced: Tensor, log_potential: Tensor) -> Clock:
    """Advance the counters by one step or bounce.

    Args:
        clock: Present counters.
        bounces: When to bounce.
        bounced: Whether this was a bounce.
        log_potential: log V of this step.

    Returns:
        The new counters. After max(n_bounces, 1) fixed bounces ``fixed`` passes T0 for good.
    """
    at_T0 = bounced & (clock.fixed == bounces.T0)
    made = clock.bounces + at_T0
    better = ~bounced & (log_potential < clock.best)
    fixed = torch.where(at_T0 & (made < bounces.n_bounces), -1, clock.fixed) + 1
    return Clock(
        best=torch.where(better, log_potential, clock.best),
        idle=torch.where(bounced | better, 0, clock.idle + 1),
        fixed=torch.where(bounced & ~at_T0, clock.fixed, fixed),
        bounces=made,
    )


def start_bbi(
    algebra: Algebra, grads: Blocks, noise: Blocks, seen: Survey, log_delta: Tensor
) -> Phase:
    """Set E = V + δE and π along −∇F with π² = E²/V − V.

    Args:
        algebra: Layout of the blocks.
        grads: ∇F.
        noise: Direction to take where the gradient is zero.
        seen: Survey of the same point.
        log_delta: log δE; -inf for none.

    Returns:
        The phase at t = 0.
    """
    log_energy = torch.logaddexp(seen.log_potential, log_delta)
    log_p = _log_target(seen.log_potential, log_energy - seen.log_potential)
    t = torch.zeros_like(seen.below, dtype=torch.int64)
    return Phase(downhill(algebra, grads, noise), log_p, log_energy, t)


def advance_bbi(
    algebra: Algebra, phase: Phase, seen: Survey, lr: Factors, constants: Constants
) -> tuple[list[Tensor], Phase]:
    """Make one step that is not a bounce.

    Args:
        algebra: Layout of the blocks.
        phase: Present phase.
        seen: Survey of the present parameters.
        lr: Step size Δt of each block, as given to the survey.
        constants: ``conserve`` and ε1 are used.

    Returns:
        What to add to the parameters, and the new phase.
    """
    x = phase.log_energy - seen.log_potential
    target = _log_target(seen.log_potential, x)
    allowed = constants.conserve & (x >= 0)
    log_p, _ = rescale(phase.log_p, target, allowed, constants.log_eps1)
    log_cosh = torch.logaddexp(x, -x) - math.log(2.0)
    e, log_p = kick(algebra, phase.e, log_p, seen.force, seen.force_norm, log_cosh)
    moved = algebra.times(algebra.times_each(e, lr), torch.exp(log_p - x))
    return moved, Phase(e, log_p, phase.log_energy, phase.t + 1)


def _log_target(log_potential: Tensor, x: Tensor) -> Tensor:
    return 0.5 * (log_potential + log_expm1(2 * x))


class BBI(HamiltonianOptimizer):
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
        foreach: Use ``torch._foreach_*``; None uses it for several blocks on one device.

    Raises:
        HyperparameterError: A value is not allowed.
    """

    name: ClassVar[str] = "bbi"

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
        foreach: bool | None = None,
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
        self._log_energy: Tensor | None = None
        self._t: Tensor | None = None
        self._clock: Clock | None = None
        self._counts = dict.fromkeys(("held", "bad_gradients", "bounces"), 0)
        super().__init__(params, values, seed, foreach)

    def _advance(self, loss: Tensor) -> None:
        shared = self._shared()
        gathered = self._gather()
        if not gathered.params:
            self._check_loss(loss.item())
            return
        constants = bbi_constants(shared, loss.device)
        bounces = bbi_bounces(shared, loss.device)
        algebra = gathered.algebra
        seen = survey(algebra, gathered.theta, loss, gathered.grads, gathered.lr, None, constants)
        clock = self._clock or new_clock(loss)
        bounce = due(clock, bounces)
        flags = torch.stack([loss, seen.ok.double(), bounce.double()])
        value, ok, bouncing = flags.tolist()
        self._check_loss(value)
        if not ok:
            unseen = bool(seen.below | seen.converged)
            self._counts["held" if unseen else "bad_gradients"] += 1
            return
        self._clock = tick(clock, bounces, bounce, seen.log_potential)
        phase = self._phase(gathered, seen, constants)
        if bouncing:
            phase = phase._replace(e=self._scattered(gathered))
            self._counts["bounces"] += 1
        else:
            moved, phase = advance_bbi(algebra, phase, seen, gathered.lr, constants)
            gathered.move(moved)
        gathered.keep(self.state, phase.e)
        self._log_p, self._log_energy, self._t = phase.log_p, phase.log_energy, phase.t

    def _phase(self, gathered: Gathered, seen: Survey, constants: Constants) -> Phase:
        if self._log_p is None or self._log_energy is None or self._t is None:
            noise = self._noise.draw(gathered.total, gathered.noise_dtype)
            blocks = gathered.blocks_of(noise)
            return start_bbi(gathered.algebra, gathered.grads, blocks, seen, constants.log_delta)
        return Phase(gathered.directions, self._log_p, self._log_energy, self._t)

    def _scattered(self, gathered: Gathered) -> list[Tensor]:
        flat = self._noise.uniform(gathered.total, gathered.noise_dtype)
        blocks = gathered.blocks_of(flat)
        return unit(gathered.algebra, blocks, gathered.algebra.norm(blocks))

    def report(self) -> dict[str, Any]:
        """Return counters and global state as plain numbers.

        Returns:
            ``steps`` calls of ``step``; ``updates`` steps in which parameters moved;
            ``bounces``; ``held`` steps skipped since F − v0 <= ε2; ``bad_gradients`` steps
            skipped since the gradient was NaN or infinite; ``log_energy`` and
            ``log_momentum`` (None before the first step).
        """
        return {
            "steps": self._steps,
            "updates": 0 if self._t is None else int(self._t),
            **self._counts,
            "log_energy": None if self._log_energy is None else self._log_energy.item(),
            "log_momentum": None if self._log_p is None else self._log_p.item(),
        }

    def _trajectory(self) -> dict[str, Any]:
        tensors: dict[str, Any] = {"log_energy": self._log_energy, "t": self._t}
        if self._clock is not None:
            tensors.update(self._clock._asdict())
        return {
            **super()._trajectory(),
            **{k: v.clone() for k, v in tensors.items() if v is not None},
            "counts": dict(self._counts),
        }

    def _restore(self, trajectory: dict[str, Any]) -> None:
        super()._restore(trajectory)
        home = self._home()
        read = {k: v.to(home, copy=True) for k, v in trajectory.items() if isinstance(v, Tensor)}
        self._log_energy, self._t = read.get("log_energy"), read.get("t")
        self._clock = Clock(*(read[k] for k in Clock._fields)) if "best" in read else None
        self._counts = dict(trajectory["counts"])


def new_clock(like: Tensor) -> Clock:
    """Return counters at zero with the shape and device of ``like``."""
    zero = torch.zeros_like(like, dtype=torch.int64)
    best = torch.full_like(like, math.inf, dtype=torch.float64)
    return Clock(best, zero, zero.clone(), zero.clone())


def bbi_constants(values: Mapping[str, Any], device: torch.device) -> Constants:
    """Return the constants of BBI; V is ECDSep's potential with η = 1 and F0 = v0.

    Args:
        values: ``v0``, ``delta_energy``, ``conserve_energy``, ``eps1``, ``eps2``: numbers, or
            lists of B numbers.
        device: Where to put them.

    Returns:
        The constants, 0-d or ``[B]``.
    """

    def column(value: Any) -> Tensor:
        return torch.as_tensor(value, dtype=torch.float64, device=device)

    v0 = column(values["v0"])
    one = torch.ones_like(v0)
    return Constants(
        eta=one,
        nu=torch.zeros_like(v0),
        s=one,
        bounded=one.bool(),
        F0=v0,
        conserve=torch.as_tensor(values["conserve_energy"], dtype=torch.bool, device=device),
        log_eps1=column(values["eps1"]).log(),
        log_eps2=column(values["eps2"]).log(),
        log_delta=column(values["delta_energy"]).log(),
    )


def bbi_bounces(values: Mapping[str, Any], device: torch.device) -> Bounces:
    """Return ``T0``, ``T1`` and ``n_bounces`` as tensors.

    Args:
        values: Numbers, or lists of B numbers.
        device: Where to put them.

    Returns:
        The tensors, 0-d or ``[B]``.
    """
    columns = [
        torch.as_tensor(values[key], dtype=torch.int64, device=device) for key in Bounces._fields
    ]
    return Bounces(*columns)


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
