"""What an ECDSep run holds beside the parameters, says of itself, and saves."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from typing import Any

import torch
from torch import Tensor

from ecd_tune.errors import HyperparameterError
from ecd_tune.optim.diagnostics import Diagnostics
from ecd_tune.optim.dynamics import Constants
from ecd_tune.optim.hamiltonian import HamiltonianOptimizer
from ecd_tune.optim.tally import Tally
from ecd_tune.optim.tuning import Left, Tuner, known, left_to_run
from ecd_tune.optim.watching import Watcher

__all__ = ["EnergyAccount", "initial_energy"]


class EnergyAccount(HamiltonianOptimizer):
    """Energy, constants and counters of a run: all of :class:`.ecdsep.ECDSep` but the step."""

    _watchers: tuple[Watcher, ...] = ()

    def _begin(
        self,
        params: Iterable[Any],
        values: Mapping[str, Any],
        seed: int | None,
        foreach: bool | None,
    ) -> None:
        self._constants: tuple[Any, Constants] | None = None
        self._log_energy: Tensor | None = None
        self._t: Tensor | None = None
        self._offset: Tensor | None = None
        self._counts = dict.fromkeys(
            ("held", "converged_steps", "bad_gradients", "shifts", "unreachable"), 0
        )
        self._unreachable: Tensor | None = None
        self._tally: Tally | None = None
        self._converged = self._stopped = False
        self._diagnostics = Diagnostics()
        self._tuner: Tuner | None = None
        super().__init__(params, values, seed, foreach)

    def _constants_for(self, shared: Mapping[str, Any], device: torch.device) -> Constants:
        key = (*shared.values(), device)
        if self._constants is None or self._constants[0] != key:
            self._constants = (key, self._build_constants(shared, device))
            self._tuner = self._tuner_for(shared, device)
        constants = self._constants[1]
        if self._offset is not None:
            constants = constants._replace(F0=self._offset)
        return constants if self._tuner is None else self._tuner.apply(constants)

    def _tuner_for(self, shared: Mapping[str, Any], device: torch.device) -> Tuner | None:
        left = left_to_run([shared], device)
        if left is None:
            return None
        tuner = Tuner(Left(*(mask[0] for mask in left)))
        if self._tuner is not None:
            tuner.load_state_dict(self._tuner.state_dict())
        return tuner

    def _build_constants(self, shared: Mapping[str, Any], device: torch.device) -> Constants:
        def number(value: float) -> Tensor:
            return torch.tensor(float(value), dtype=torch.float64, device=device)

        delta = initial_energy(self.name, shared["s"], shared["delta_energy"])
        return Constants(
            eta=number(shared["eta"]),
            nu=number(known(shared["nu"])),
            s=number(shared["s"]),
            bounded=torch.tensor(shared["s"] == 1, device=device),
            F0=number(known(shared["F0"])),
            conserve=torch.tensor(shared["conserve_energy"], device=device),
            log_eps1=number(shared["eps1"]).log(),
            log_eps2=number(shared["eps2"]).log(),
            log_delta=number(delta).log(),
        )

    def _settle(self) -> int | None:
        """Take over what was counted on the device; return the first step of a bad loss."""
        if self._tally is None:
            return None
        counts, self._converged, bad = self._tally.read()
        for name, count in counts.items():
            self._counts[name] += count
        return bad

    def report(self) -> dict[str, Any]:
        """Return counters and global state as plain numbers.

        Returns:
            ``steps`` calls of ``step``; ``updates`` steps in which parameters moved; ``held``
            steps skipped since the gap was not positive; ``converged`` whether V < ε2 now and
            ``converged_steps`` how often; ``stopped`` frozen by ``on_gap="stop"``;
            ``bad_gradients`` steps skipped since the gradient was NaN or infinite;
            ``unreachable`` rescales skipped since V exceeded 𝓔; ``shifts`` of F0; the present
            ``F0``, ``log_energy`` and ``log_momentum`` (None before the first step); where they
            are left to the run, ``found_nu``, ``found_lr`` (the Δt of a group whose ``lr`` is 1)
            and ``found_F0``.
        """
        self._settle()
        F0 = known(self.param_groups[0]["F0"]) if self._offset is None else self._offset.item()
        unreachable = 0 if self._unreachable is None else int(self._unreachable)
        return {
            "steps": self._steps,
            "updates": 0 if self._t is None else int(self._t),
            **self._counts,
            "unreachable": unreachable,
            "converged": self._converged,
            "stopped": self._stopped,
            "F0": F0,
            "log_energy": None if self._log_energy is None else self._log_energy.item(),
            "log_momentum": None if self._log_p is None else self._log_p.item(),
            **self._found(F0),
        }

    def _found(self, F0: float) -> dict[str, float]:
        if self._tuner is None:
            return {}
        offset = torch.tensor(F0, dtype=torch.float64, device=self._home())
        return {name: value.item() for name, value in self._tuner.report(offset).items()}

    def watch(self, watcher: Watcher) -> None:
        """Show every further step to ``watcher``; it is no part of ``state_dict``."""
        self._watchers = (*self._watchers, watcher)

    def _all_watchers(self) -> tuple[Watcher, ...]:
        return self._diagnostics, *self._watchers

    def diagnostics(self, *, F_min: float = math.nan, reset: bool = True) -> dict[str, float]:
        """Return what the steps since the last reset say about the dynamics.

        Everything comes from numbers that a step computes anyway; asking waits for the device.
        Called after each epoch, it tells of that epoch. φ = F + ½ wd |Θ|² − F0, w = V/𝓔.

        Args:
            F_min: Smallest value of the loss, where it is known, for ``predicted_gap``.
            reset: Begin anew with the next step.

        Returns:
            ``steps``: calls of ``step``;
            ``share_held``: share of them at which no step was made (φ <= 0, V < ε2, or not
            finite); of those made:
            ``energy_drift``: root mean square of log(V(|Π|²+s)/𝓔) (eq. 9, 10) before the
            rescale: the error of one step, or without rescaling of all so far;
            ``bounce_angle``: radians, arccos E[cos α] of turns whose |Π̂+νz|² (eq. 14) has the
            mean that was seen, 1 + ν²n; 0 without turns;
            ``gap``: mean φ, in units of the loss;
            ``speed``: mean |ΔΘ|/Δt = 2|Π|/(|Π|²+s) (eq. 11), of equal Δt in all groups;
            ``step_over_bound``: the largest such; s = 1 bounds it by 1;
            ``share_rescaled``: share of steps at which Π was rescaled (§3.3);
            ``share_unreachable``: share at which that was skipped since V exceeded 𝓔;
            ``predicted_gap``: mean φ on the plateau of a quadratic basin, of the stationary law
            (eq. 4 with η_eff; small w, full batches);
            ``implied_minimum``: the minimum of the loss of whose plateau the mean 1/φ that was
            seen is, F0 + (1−1/η_eff)/⟨1/φ⟩. NaN stands for what is not defined.
        """
        shared = self._shared()
        taking_part = [
            self.state[p]["direction"].numel()
            for group in self.param_groups
            for p in group["params"]
            if "direction" in self.state[p] and "aside" not in self.state[p]
        ]
        found = self._diagnostics.read(
            max(1, sum(taking_part)),
            self._constants_for(shared, self._home()),
            shared["integrator"],
            F_min,
        )
        if reset:
            self._diagnostics.reset()
        return {name: float(value) for name, value in found.items()}

    def _trajectory(self) -> dict[str, Any]:
        self._settle()
        tensors = {
            "log_energy": self._log_energy,
            "t": self._t,
            "offset": self._offset,
            "unreachable": self._unreachable,
        }
        return {
            **super()._trajectory(),
            **{k: v.clone() for k, v in tensors.items() if v is not None},
            "counts": dict(self._counts),
            "diagnostics": self._diagnostics.state_dict(),
            "converged": self._converged,
            "stopped": self._stopped,
            **({"tuning": self._tuner.state_dict()} if self._tuner else {}),
        }

    def _restore(self, trajectory: dict[str, Any]) -> None:
        super()._restore(trajectory)
        home = self._home()
        read = {k: v.to(home, copy=True) for k, v in trajectory.items() if isinstance(v, Tensor)}
        self._log_energy = read.get("log_energy")
        self._t, self._offset = read.get("t"), read.get("offset")
        self._unreachable = read.get("unreachable")
        self._counts = dict(trajectory["counts"])
        self._converged, self._stopped = trajectory["converged"], trajectory["stopped"]
        self._constants = self._tally = self._tuner = None
        self._tuner = self._tuner_for(self._shared(), home)
        if self._tuner is not None:
            self._tuner.load_state_dict(trajectory["tuning"])
        self._diagnostics = Diagnostics()
        self._diagnostics.load_state_dict(trajectory["diagnostics"], home)


def initial_energy(name: str, s: int, delta_energy: float | None) -> float:
    """Return δE, or its default for ``s``.

    Args:
        name: Optimizer, for the message.
        s: 0 or 1.
        delta_energy: δE, or None for 0 if s = 1 and 1 if s = 0.

    Returns:
        The initial |Π|².

    Raises:
        HyperparameterError: δE = 0 with s = 0, where 𝓔 would be 0.
    """
    if delta_energy is None:
        return 1.0 - s
    if s == 0 and delta_energy <= 0:
        raise HyperparameterError(
            f"{name}: delta_energy = {delta_energy!r} must be > 0 when s = 0 (the energy would "
            "be 0); leave it out for 1"
        )
    return delta_energy
