"""Diagnostics of a running ECDSep or ECDq1, from numbers that its steps compute anyway."""

from __future__ import annotations

import math
import warnings
from collections.abc import Mapping
from typing import Any

import numpy as np
import torch
from torch import Tensor

from ecd_tune.optim.dynamics import Constants, log_hamiltonian
from ecd_tune.optim.monitoring.loss_check import LEAST_STEPS, Kicks, mismatch
from ecd_tune.theory import bounce_angle, effective_eta, unit_speed_eta

__all__ = ["Diagnostics"]

_SUMS = (
    "steps", "made", "drift", "gap", "inverse", "speed", "turns", "lengths", "rescaled", "above",
)  # fmt: skip


class Diagnostics:
    """Since the last reset; :class:`~ecd_tune.optim.monitoring.step_recorder.Sums`."""

    def __init__(self) -> None:
        self._eta: Tensor | None = None
        self.reset()

    def reset(self) -> None:
        """Forget all steps so far."""
        self._sums: Tensor | None = None
        self._fastest: Tensor | None = None

    def compare_with(self, eta: Tensor) -> None:
        """Compare the change of the loss with the work of the force, once, in the next steps.

        Args:
            eta: η, 0-d.
        """
        self._eta = eta

    def read(
        self,
        n: int,
        constants: Constants,
        integrator: str,
        F_min: float = math.nan,
        *,
        unit_speed: bool = False,
    ) -> dict[str, Any]:
        """Wait for the device, and return what was seen since the last reset.

        Args:
            n: Parameters that take part in a step.
            constants: η, ν, s and F0 of the steps.
            integrator: ``"algorithm1"`` or ``"sync"``.
            F_min: Smallest value of the loss; NaN where it is not known.
            unit_speed: The steps are those of ECDq1.

        Returns:
            The numbers that ``ECDSep.diagnostics`` or ``ECDq1.diagnostics`` names, as numpy
            values, 0-d or ``[B]``; NaN where there is none.
        """
        known = (constants.eta, constants.nu, constants.s, constants.F0)
        eta, nu, s, offset = (column.numpy(force=True) for column in known)
        effective = unit_speed_eta if unit_speed else effective_eta
        eta_eff = effective(eta, n, nu, integrator)
        none = np.zeros((len(_SUMS), *eta.shape))
        sums = none if self._sums is None else self._sums.numpy(force=True)
        total = dict(zip(_SUMS, sums, strict=True))
        fastest = none[0] if self._fastest is None else self._fastest.numpy(force=True)
        made, asked = total["made"], total["steps"]
        with np.errstate(invalid="ignore", divide="ignore"):
            squared = total["lengths"] / total["turns"]
            drift = np.sqrt(total["drift"] / made)  # of |p|² at unit speed
            energy = {
                "step_over_bound": np.where((s == 1) & (made > 0), fastest, math.nan),
                "share_rescaled": total["rescaled"] / made,
                "share_unreachable": total["above"] / made,
            }
            return {
                "steps": asked,
                "share_held": 1 - made / asked,
                **({"speed_drift": drift / 2} if unit_speed else {"energy_drift": drift}),
                "bounce_angle": np.where(total["turns"] > 0, _angle(n, squared), 0.0),
                "gap": total["gap"] / made,
                "speed": total["speed"] / made,
                **({} if unit_speed else energy),
                "predicted_gap": (F_min - offset) * _plateau(n, eta_eff),
                "implied_minimum": offset + (1 - 1 / eta_eff) * made / total["inverse"],
            }

    def state_dict(self, zero: Tensor) -> dict[str, Tensor]:
        """Return the sums so far.

        Args:
            zero: 0.0, float64, with the shape and device of the scalars of a step.

        Returns:
            ``sums`` and ``fastest``.
        """
        if self._sums is None or self._fastest is None:
            return {"sums": zero.new_zeros((len(_SUMS), *zero.shape)), "fastest": zero.clone()}
        return {"sums": self._sums, "fastest": self._fastest}

    def load_state_dict(self, state: Mapping[str, Tensor]) -> None:
        """Continue with saved sums.

        Args:
            state: What :meth:`state_dict` returned.
        """
        self.reset()
        self._sums, self._fastest = state["sums"], state["fastest"]

    def take(self, columns: Mapping[str, Tensor]) -> None:
        """Add steps; see :class:`~ecd_tune.optim.monitoring.step_recorder.Sums`."""
        if self._eta is not None:
            self._compare(columns, self._eta)
        made, held, gap, speed = (columns[k] for k in ("made", "held", "gap", "speed"))
        turned = columns["turned"]
        energy = log_hamiltonian(columns["log_p_before"], columns["log_potential"], columns["s"])
        drift = energy - columns["log_energy"]
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
            "rescaled": made & columns["rescaled"],
            "above": made & columns["unreachable"],
        }
        sums = torch.stack([terms[name].double().sum(0) for name in _SUMS])
        fastest = terms["speed"].amax(0)
        self._sums = sums if self._sums is None else self._sums + sums
        before = self._fastest
        self._fastest = fastest if before is None else torch.maximum(before, fastest)

    def _compare(self, columns: Mapping[str, Tensor], eta: Tensor) -> None:
        """Warn, once, if the losses cannot be those of the gradients."""
        made = columns["made"]
        force = columns["force_norm"] * columns["pace"]  # of Δt as it was
        kicks = Kicks(
            loss=columns["gap"] + columns["F0"],
            log_before=columns["log_p"],
            log_after=columns["log_p_after"],
            log_kick=torch.log(eta) - columns["log_gap"] + torch.log(force),
            force=force,
            length=columns["speed"],
            turned=torch.nan_to_num(columns["turned"], nan=1.0),
        )
        kicks = Kicks(*(column[made] for column in kicks))
        found = mismatch(kicks)
        if len(made) >= LEAST_STEPS:
            self._eta = None
        if found is not None:
            warnings.warn(
                f"the mean loss changed by {found[0]:.3g} where the gradients imply {found[1]:.3g} "
                f"or more, in the first {len(made)} steps: pass the loss whose backward() computed "
                "the gradients to step. With gradient accumulation call add_loss(loss) for each "
                "part, with distributed training pass process_group",
                stacklevel=2,
            )


def _angle(n: int, squared: Any) -> Any:
    """Return the angle of turns by the mean of |Π̂ + νz|², which is 1 + ν²n."""
    nu = np.sqrt(np.maximum(np.nan_to_num(squared, nan=1.0) - 1, 0.0) / n)
    return bounce_angle(n, nu)


def _plateau(n: int, eta_eff: Any) -> Any:
    """Return E[φ]/(Fmin−F0) of the Beta law, NaN where it does not exist."""
    excess = (eta_eff - 1) * n - 2
    return np.where(excess > 0, (eta_eff * n - 2) / excess, math.nan)
