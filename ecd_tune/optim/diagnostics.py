"""What a running ECDSep says about itself, from numbers that its steps compute anyway."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor

from ecd_tune.optim.dynamics import Constants, log_hamiltonian
from ecd_tune.optim.watching import Step, Tape
from ecd_tune.theory import bounce_angle, effective_eta

__all__ = ["Diagnostics"]

_SUMS = (
    "steps", "made", "drift", "gap", "inverse", "speed", "turns", "lengths", "rescaled", "above",
)  # fmt: skip


class Diagnostics:
    """Sums over the steps since the last reset; a :class:`~ecd_tune.optim.watching.Watcher`."""

    def __init__(self) -> None:
        self._tape = Tape(self._work)
        self._no_turn: Tensor | None = None
        self.reset()

    def reset(self) -> None:
        """Forget all steps so far."""
        self._tape.clear()
        self._sums: Tensor | None = None
        self._fastest: Tensor | None = None
        self._missed = 0

    def saw(self, step: Step) -> None:
        """Keep what the step computed."""
        seen, info = step.seen, step.info
        turned = info.turned
        if turned is None:
            if self._no_turn is None:
                self._no_turn = torch.full_like(info.speed, math.nan)
            turned = self._no_turn
        self._tape.add(
            (
                step.made,
                step.held,
                seen.gap,
                seen.log_potential,
                step.log_energy,
                step.constants.s,
                info.log_p_before,
                info.speed,
                turned,
                info.rescaled,
                info.unreachable,
            )
        )

    def missed(self, loss: Tensor) -> None:
        """Count a step that was not made."""
        self._missed += 1

    def read(
        self, n: int, constants: Constants, integrator: str, F_min: float = math.nan
    ) -> dict[str, Any]:
        """Wait for the device, and return what was seen since the last reset.

        Args:
            n: Parameters that take part in a step.
            constants: η, ν, s and F0 of the steps.
            integrator: ``"algorithm1"`` or ``"sync"``.
            F_min: Smallest value of the loss; NaN where it is not known.

        Returns:
            The numbers that ``ECDSep.diagnostics`` names, as numpy values, 0-d or ``[B]``; NaN
            where there is none.
        """
        self._tape.flush()
        known = (constants.eta, constants.nu, constants.s, constants.F0)
        eta, nu, s, offset = (column.numpy(force=True) for column in known)
        eta_eff = effective_eta(eta, n, nu, integrator)
        none = np.zeros((len(_SUMS), *eta.shape))
        sums = none if self._sums is None else self._sums.numpy(force=True)
        total = dict(zip(_SUMS, sums, strict=True))
        fastest = none[0] if self._fastest is None else self._fastest.numpy(force=True)
        made, asked = total["made"], total["steps"] + self._missed
        with np.errstate(invalid="ignore", divide="ignore"):
            squared = total["lengths"] / total["turns"]
            return {
                "steps": asked,
                "share_held": 1 - made / asked,
                "energy_drift": np.sqrt(total["drift"] / made),
                "bounce_angle": np.where(total["turns"] > 0, _angle(n, squared), 0.0),
                "gap": total["gap"] / made,
                "speed": total["speed"] / made,
                "step_over_bound": np.where((s == 1) & (made > 0), fastest, math.nan),
                "share_rescaled": total["rescaled"] / made,
                "share_unreachable": total["above"] / made,
                "predicted_gap": (F_min - offset) * _plateau(n, eta_eff),
                "implied_minimum": offset + (1 - 1 / eta_eff) * made / total["inverse"],
            }

    def state_dict(self) -> dict[str, Any]:
        """Return the sums so far."""
        self._tape.flush()
        sums = {"sums": self._sums, "fastest": self._fastest}
        kept = {name: value.clone() for name, value in sums.items() if value is not None}
        return {**kept, "missed": self._missed}

    def load_state_dict(self, state: Mapping[str, Any], home: torch.device) -> None:
        """Go on with saved sums.

        Args:
            state: What :meth:`state_dict` returned.
            home: Where the scalars of the steps lie.
        """
        self.reset()
        if "sums" in state:
            self._sums = state["sums"].to(home, copy=True)
            self._fastest = state["fastest"].to(home, copy=True)
        self._missed = int(state["missed"])

    def _work(self, columns: Sequence[Tensor]) -> None:
        made, held, gap, log_potential, log_energy, s, log_p, speed, turned, rescaled, above = (
            columns
        )
        drift = log_hamiltonian(log_p, log_potential, s) - log_energy
        turns = made & turned.isfinite()
        terms = {
            "steps": made | held,
            "made": made,
            "drift": torch.where(made, drift.square(), 0.0),
            "gap": torch.where(made, gap, 0.0),
            "inverse": torch.where(made, 1 / gap, 0.0),
            "speed": torch.where(made, speed, 0.0),
            "turns": turns,
            "lengths": torch.where(turns, turned.square(), 0.0),
            "rescaled": made & rescaled,
            "above": made & above,
        }
        sums = torch.stack([terms[name].double().sum(0) for name in _SUMS])
        fastest = terms["speed"].amax(0)
        self._sums = sums if self._sums is None else self._sums + sums
        before = self._fastest
        self._fastest = fastest if before is None else torch.maximum(before, fastest)


def _angle(n: int, squared: Any) -> Any:
    """Return the angle of turns by the mean of |Π̂ + νz|², which is 1 + ν²n."""
    nu = np.sqrt(np.maximum(np.nan_to_num(squared, nan=1.0) - 1, 0.0) / n)
    return bounce_angle(n, nu)


def _plateau(n: int, eta_eff: Any) -> Any:
    """Return E[φ]/(Fmin−F0) of the Beta law, NaN where it does not exist."""
    excess = (eta_eff - 1) * n - 2
    return np.where(excess > 0, (eta_eff * n - 2) / excess, math.nan)
