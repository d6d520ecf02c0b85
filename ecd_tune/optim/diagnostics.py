"""What a running ECDSep says about itself, from numbers that its steps compute anyway."""

from __future__ import annotations

import math
import warnings
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor

from ecd_tune.optim.dynamics import Constants, log_hamiltonian
from ecd_tune.optim.fused.table import Rows
from ecd_tune.optim.loss_check import LEAST_STEPS, Kicks, mismatch
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
        self._one: Tensor | None = None
        self._no_turn: Tensor | None = None
        self._compared = False
        self.reset()

    def reset(self) -> None:
        """Forget all steps so far."""
        self._tape.clear()
        self._sums: Tensor | None = None
        self._fastest: Tensor | None = None

    def saw(self, step: Step) -> None:
        """Keep what the step computed."""
        seen, info = step.seen, step.info
        if self._one is None or self._no_turn is None:
            self._one = torch.ones_like(info.speed)
            self._no_turn = torch.full_like(info.speed, math.nan)
        turned = self._no_turn if info.turned is None else info.turned
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
                seen.log_gap,
                seen.force_norm,
                info.log_p,
                info.log_p_after,
                step.constants.F0,
                self._one if step.constants.pace is None else step.constants.pace,
            )
        )
        if not self._compared:
            self._eta = step.constants.eta
            comparable = step.integrator == "algorithm1" and not step.decays
            self._compared = step.algebra.batched or not comparable

    def open(self, eta: float, comparable: bool, device: torch.device) -> Rows:
        """Return where the steps of a fused form write what :meth:`saw` would keep.

        Args:
            eta: η.
            comparable: The change of the loss can be compared with the work of the force.
            device: Where the parameters are.

        Returns:
            The rows.
        """
        if not self._compared:
            self._eta = torch.tensor(eta, dtype=torch.float64, device=device)
            self._compared = not comparable
        return self._tape.open(device)

    def flush(self) -> None:
        """Work on the numbers that are kept."""
        self._tape.flush()

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
        made, asked = total["made"], total["steps"]
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

    def state_dict(self, zero: Tensor) -> dict[str, Tensor]:
        """Return the sums so far.

        Args:
            zero: 0.0, float64, with the shape and device of the scalars of a step.

        Returns:
            ``sums`` and ``fastest``.
        """
        self._tape.flush()
        if self._sums is None or self._fastest is None:
            return {"sums": zero.new_zeros((len(_SUMS), *zero.shape)), "fastest": zero.clone()}
        return {"sums": self._sums, "fastest": self._fastest}

    def load_state_dict(self, state: Mapping[str, Tensor]) -> None:
        """Go on with saved sums.

        Args:
            state: What :meth:`state_dict` returned.
        """
        self.reset()
        self._sums, self._fastest = state["sums"], state["fastest"]

    def _work(self, columns: Sequence[Tensor]) -> None:
        if not self._compared:
            self._compare(columns)
        made, held, gap, log_potential, log_energy, s, log_p, speed, turned, rescaled, above = (
            columns[:11]
        )
        made, held, rescaled, above = made.bool(), held.bool(), rescaled.bool(), above.bool()
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

    def _compare(self, columns: Sequence[Tensor]) -> None:
        """Warn, once, if the losses cannot be those of the gradients."""
        made, gap, speed, turned = (columns[i] for i in (0, 2, 7, 8))
        log_gap, force, before, after, F0, pace = columns[11:]
        force = force * pace  # of Δt as it was
        log_kick = torch.log(self._eta) - log_gap + torch.log(force)
        turned = torch.nan_to_num(turned, nan=1.0)
        chosen = (gap + F0, before, after, log_kick, force, speed, turned)
        kicks = Kicks(*(column[made.bool()] for column in chosen))
        found = mismatch(kicks)
        self._compared = len(made) >= LEAST_STEPS
        if found is not None:
            warnings.warn(
                f"the mean loss changed by {found[0]:.3g} where the gradients imply {found[1]:.3g} "
                f"or more, in the first {len(made)} steps: give step the loss whose backward() "
                "made the gradients. With gradient accumulation call add_loss(loss) for each "
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
