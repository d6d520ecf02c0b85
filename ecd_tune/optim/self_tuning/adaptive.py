"""Hyperparameters set to ``"auto"``: ν and Δt from the orbit of the run, F0 from its plateau.

Before a step, :func:`update_auto` sets ν and Δt; after it, :func:`learn` moves F0. Both use only
what the step has computed and read nothing back from the device, and their formulas are the
same for one trajectory and for a batch.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import torch
from torch import Tensor

from ecd_tune.errors import HyperparameterError
from ecd_tune.optim.definitions import AUTO, ORBIT_STEP
from ecd_tune.optim.dynamics import Constants, PointInfo
from ecd_tune.optim.self_tuning.orbit import Orbit, begin_orbit, follow, orbit_nu, orbit_step
from ecd_tune.optim.self_tuning.plateau import Plateau, begin_plateau, watch

__all__ = [
    "Auto",
    "AutoFlags",
    "apply_auto",
    "begin_auto",
    "learn",
    "read_flags",
    "report_auto",
    "split_auto_lr",
    "update_auto",
    "value_or_zero",
]


_GROWTH = 1.1
"""Largest factor by which Δt grows in one step, once it is known."""


class AutoFlags(NamedTuple):
    """Which hyperparameters are ``"auto"``; bool, 0-d or ``[B]``."""

    nu: Tensor
    lr: Tensor
    F0: Tensor
    aim: Tensor
    """α* that Δt aims at, float64; NaN where Δt is given."""
    any_nu: bool
    any_lr: bool
    any_F0: bool


class Auto(NamedTuple):
    """What was found so far, and holds in a step; float64, 0-d or ``[B]``."""

    orbit: Orbit
    plateau: Plateau
    alpha: Tensor
    """Orbit step, radians."""
    nu: Tensor
    """ν where it is automatic."""
    pace: Tensor
    """Factor of Δt; 1 where Δt is given."""


def split_auto_lr(name: str, values: Mapping[str, Any]) -> dict[str, Any]:
    """Turn ``lr = "auto"`` into a factor of 1 and an orbit step to aim at.

    Args:
        name: Optimizer, for the message.
        values: Checked hyperparameters.

    Returns:
        The same with ``lr`` a number; ``orbit_step`` is None unless Δt is automatic.

    Raises:
        HyperparameterError: ``orbit_step`` is given and ``lr`` too.
    """
    if values["lr"] == AUTO:
        aim = ORBIT_STEP if values["orbit_step"] is None else values["orbit_step"]
        return {**values, "lr": 1.0, "orbit_step": aim}
    if values["orbit_step"] is not None:
        raise HyperparameterError(
            f"{name}: orbit_step = {values['orbit_step']!r} is the target of lr = 'auto'; remove "
            f"it, or set lr to 'auto' instead of {values['lr']!r}"
        )
    return dict(values)


def value_or_zero(value: float | str) -> float:
    """Return a hyperparameter, or the initial value 0 if it is ``"auto"``."""
    return 0.0 if value == AUTO else float(value)


def read_flags(rows: Sequence[Mapping[str, Any]], device: torch.device) -> AutoFlags | None:
    """Return which hyperparameters are ``"auto"``.

    Args:
        rows: Hyperparameters of each trial, after :func:`split_auto_lr`.
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
    any_nu, any_lr, any_F0 = (any(column) for column in zip(*flags, strict=True))
    return AutoFlags(nu, lr, F0, aim, any_nu, any_lr, any_F0)


def begin_auto(zero: Tensor) -> Auto:
    """Return that nothing was found, with the shape and device of ``zero``."""
    return Auto(begin_orbit(zero), begin_plateau(zero), zero, zero, torch.ones_like(zero))


def apply_auto(flags: AutoFlags, auto: Auto, constants: Constants) -> Constants:
    """Return the constants with ν and the factor of Δt that hold now."""
    if flags.any_nu:
        constants = constants._replace(nu=torch.where(flags.nu, auto.nu, constants.nu))
    return constants._replace(pace=auto.pace) if flags.any_lr else constants


def update_auto(
    flags: AutoFlags,
    auto: Auto,
    seen: PointInfo,
    log_energy: Tensor,
    constants: Constants,
    lr: Tensor,
    n: int,
    allowed: Tensor,
) -> Auto:
    """Update ν and Δt before the step from a point.

    Args:
        flags: Which hyperparameters are automatic.
        auto: What was found so far.
        seen: Quantities at the point.
        log_energy: log 𝓔.
        constants: η and s are used.
        lr: Step size in ``seen.force``, the largest of all groups.
        n: Number of parameters that turn.
        allowed: Where a step is made.

    Returns:
        What holds in this step.
    """
    orbit = follow(auto.orbit, seen, log_energy, constants, lr, auto.pace, allowed)
    tuned = flags.lr & (orbit.steps > 0)
    pace = torch.where(tuned, flags.aim * torch.exp(-orbit.log_rate), 1.0)
    grown = torch.where(auto.orbit.steps > 0, _GROWTH * auto.pace, math.inf)
    pace = torch.minimum(pace, grown)
    alpha = orbit_step(orbit, lr * pace)
    return auto._replace(orbit=orbit, alpha=alpha, nu=orbit_nu(alpha, n), pace=pace)


def learn(
    flags: AutoFlags, auto: Auto, seen: PointInfo, constants: Constants, live: Tensor
) -> tuple[Auto, Tensor, Tensor]:
    """Update F0 by a loss, whether a step was made from it or not.

    Args:
        flags: Which hyperparameters are automatic.
        auto: What was found so far.
        seen: Quantities at its point.
        constants: F0 and η are used.
        live: Where the trajectory runs.

    Returns:
        What is known now, the F0 from now on, and the log ρ to give to
        :func:`~ecd_tune.optim.dynamics.rebase`.
    """
    plateau, F0, log_ratio = watch(
        auto.plateau, seen, constants.F0, constants.eta, auto.alpha, live & flags.F0
    )
    return auto._replace(plateau=plateau), F0, log_ratio


def report_auto(flags: AutoFlags, auto: Auto, F0: Tensor) -> dict[str, Tensor]:
    """Return the automatic values found so far.

    Args:
        flags: Which hyperparameters are automatic.
        auto: What was found so far.
        F0: Present offset.

    Returns:
        ``found_nu``; ``found_lr``, the Δt of a group whose ``lr`` is 1; ``found_F0``. NaN stands
        for what another row of the batch leaves open and this one does not.
    """
    found = {
        "found_nu": (flags.any_nu, flags.nu, auto.nu),
        "found_lr": (flags.any_lr, flags.lr, auto.pace),
        "found_F0": (flags.any_F0, flags.F0, F0),
    }
    return {
        name: torch.where(left, value, math.nan)
        for name, (any_left, left, value) in found.items()
        if any_left
    }
