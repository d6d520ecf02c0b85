"""What ``"auto"`` leaves to the run: ν and Δt by its orbit, F0 by its plateau.

A :class:`Tuner` stands beside the step: before it, it says which constants hold; after it, it
moves F0. It sees only what the step has computed, reads nothing back from the device, and its
formulas are the same for one trajectory and for a batch.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import torch
from torch import Tensor

from ecd_tune.errors import HyperparameterError
from ecd_tune.optim.definitions import AUTO, ORBIT_STEP
from ecd_tune.optim.dynamics import Constants, Survey
from ecd_tune.optim.orbit import Orbit, begin_orbit, follow, orbit_nu, orbit_step
from ecd_tune.optim.plateau import Plateau, begin_plateau, watch

__all__ = ["Left", "Tuner", "known", "left_to_run", "set_aside_lr"]


class Left(NamedTuple):
    """What is left to the run; bool, 0-d or ``[B]``."""

    nu: Tensor
    lr: Tensor
    F0: Tensor
    aim: Tensor
    """α* that Δt aims at, float64; NaN where Δt is given."""


def set_aside_lr(name: str, values: Mapping[str, Any]) -> dict[str, Any]:
    """Turn ``lr = "auto"`` into a factor of 1 and an orbit step to aim at.

    Args:
        name: Optimizer, for the message.
        values: Checked hyperparameters.

    Returns:
        The same with ``lr`` a number; ``orbit_step`` is None unless Δt is left to the run.

    Raises:
        HyperparameterError: ``orbit_step`` is given and ``lr`` too.
    """
    if values["lr"] == AUTO:
        aim = ORBIT_STEP if values["orbit_step"] is None else values["orbit_step"]
        return {**values, "lr": 1.0, "orbit_step": aim}
    if values["orbit_step"] is not None:
        raise HyperparameterError(
            f"{name}: orbit_step = {values['orbit_step']!r} is what lr = 'auto' aims at; leave it "
            f"out, or set lr to 'auto' in place of {values['lr']!r}"
        )
    return dict(values)


def known(value: float | str) -> float:
    """Return a hyperparameter, or 0, to begin with, where it is left to the run."""
    return 0.0 if value == AUTO else float(value)


def left_to_run(rows: Sequence[Mapping[str, Any]], device: torch.device) -> Left | None:
    """Say what is left to the run.

    Args:
        rows: Hyperparameters of each trial, after :func:`set_aside_lr`.
        device: Where scalars live.

    Returns:
        Masks of shape ``[B]``, or None where nothing is.
    """
    aims = [row.get("orbit_step") for row in rows]
    flags = [
        (row["nu"] == AUTO, aim is not None, row["F0"] == AUTO)
        for row, aim in zip(rows, aims, strict=True)
    ]
    if not any(map(any, flags)):
        return None
    nu, lr, F0 = torch.tensor(flags, device=device).unbind(1)
    aim = torch.tensor([a or math.nan for a in aims], dtype=torch.float64, device=device)
    return Left(nu, lr, F0, aim)


class _Steered(NamedTuple):
    """What holds in a step; float64, 0-d or ``[B]``."""

    alpha: Tensor
    """Orbit step."""
    nu: Tensor
    """ν where it is left to the run."""
    pace: Tensor
    """Factor of Δt; 1 where Δt is given."""


class Tuner:
    """Sets ν, Δt and F0 where they are left to the run.

    Args:
        left: What is.
    """

    def __init__(self, left: Left) -> None:
        self._left = left
        self._sets_nu, self._sets_lr = bool(left.nu.any()), bool(left.lr.any())
        self._moves_F0 = bool(left.F0.any())
        zero = torch.zeros_like(left.aim)
        self._orbit = begin_orbit(zero)
        self._plateau = begin_plateau(zero)
        self._steered = _Steered(zero, zero, torch.ones_like(zero))

    def apply(self, constants: Constants) -> Constants:
        """Return the constants with ν and the factor of Δt that hold now."""
        if self._sets_nu:
            nu = torch.where(self._left.nu, self._steered.nu, constants.nu)
            constants = constants._replace(nu=nu)
        return constants._replace(pace=self._steered.pace) if self._sets_lr else constants

    def steer(
        self,
        seen: Survey,
        log_energy: Tensor,
        constants: Constants,
        lr: Tensor,
        n: int,
        allowed: Tensor,
    ) -> Constants:
        """Look at a point before the step from it.

        Args:
            seen: Its survey.
            log_energy: log 𝓔.
            constants: η, s and, where it is given, ν are used.
            lr: Step size in ``seen.force``, the largest of all groups.
            n: Number of parameters that turn.
            allowed: Where a step is made.

        Returns:
            The constants of this step.
        """
        pace = self._steered.pace
        self._orbit = follow(self._orbit, seen, log_energy, constants, lr, pace, allowed)
        tuned = self._left.lr & (self._orbit.steps > 0)
        pace = torch.where(tuned, self._left.aim * torch.exp(-self._orbit.log_rate), 1.0)
        alpha = orbit_step(self._orbit, lr * pace)
        self._steered = _Steered(alpha, orbit_nu(alpha, n), pace)
        return self.apply(constants)

    def learn(
        self, seen: Survey, constants: Constants, live: Tensor
    ) -> tuple[Tensor, Tensor] | None:
        """Look at a loss, whether a step was made from it or not.

        Args:
            seen: Survey of its point.
            constants: F0 and η are used.
            live: Where the trajectory runs.

        Returns:
            The F0 from now on, and the log ρ to give to :func:`~ecd_tune.optim.dynamics.rebase`;
            None where no F0 is left to the run.
        """
        if not self._moves_F0:
            return None
        self._plateau, F0, log_ratio = watch(
            self._plateau,
            seen,
            constants.F0,
            constants.eta,
            self._steered.alpha,
            live & self._left.F0,
        )
        return F0, log_ratio

    def report(self, F0: Tensor) -> dict[str, Tensor]:
        """Return what was found of that which is left to the run.

        Args:
            F0: Present offset.

        Returns:
            ``found_nu``; ``found_lr``, the Δt of a group whose ``lr`` is 1; ``found_F0``. NaN
            stands for what another row of the batch leaves open and this one does not.
        """
        found = {
            "found_nu": (self._sets_nu, self._left.nu, self._steered.nu),
            "found_lr": (self._sets_lr, self._left.lr, self._steered.pace),
            "found_F0": (self._moves_F0, self._left.F0, F0),
        }
        return {
            name: torch.where(left, value, math.nan)
            for name, (any_left, left, value) in found.items()
            if any_left
        }

    def state_dict(self) -> dict[str, dict[str, Tensor]]:
        """Return all that the next steps depend on."""
        parts: dict[str, Orbit | Plateau | _Steered] = {
            "orbit": self._orbit,
            "plateau": self._plateau,
            "steered": self._steered,
        }
        return {
            name: {key: value.clone() for key, value in part._asdict().items()}
            for name, part in parts.items()
        }

    def load_state_dict(self, state: Mapping[str, Mapping[str, Tensor]]) -> None:
        """Go on with what was saved.

        Args:
            state: What :meth:`state_dict` returned.
        """
        home = self._left.aim.device
        saved = {
            name: {key: value.to(home, copy=True) for key, value in part.items()}
            for name, part in state.items()
        }
        self._orbit = Orbit(**saved["orbit"])
        self._plateau = Plateau(**saved["plateau"])
        self._steered = _Steered(**saved["steered"])
