"""What the hyperparameters of ECDSep say, as tensors for one trajectory or for a batch."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import torch
from torch import Tensor

from ecd_tune.errors import HyperparameterError
from ecd_tune.optim.definitions import AUTO
from ecd_tune.optim.dynamics import Constants
from ecd_tune.optim.self_tuning.adaptive import AutoFlags, read_flags, value_or_zero

__all__ = ["Rules", "initial_energy", "read_rules"]

_SHIFT_FACTOR = 5.0


class Rules(NamedTuple):
    """What the hyperparameters say; tensors are 0-d or ``[B]``."""

    constants: Constants
    integrator: str
    chaotic: bool
    """Any ν is not 0."""
    auto: AutoFlags | None
    stops: Tensor | None
    """Where a gap <= 0 ends the run; None: nowhere."""
    shifts: Tensor | None
    """Where a gap <= 0 lowers F0; None: nowhere."""
    shift_factor: float
    shifts_early: bool
    """V < ε2 lowers F0 too (Algorithm 2)."""
    resets_energy: bool
    """𝓔 is recomputed where F0 falls."""


def read_rules(
    name: str, rows: Sequence[Mapping[str, Any]], device: torch.device, *, single: bool
) -> Rules:
    """Turn checked hyperparameters into rules.

    Args:
        name: Optimizer, for messages.
        rows: One mapping per trial, after
            :func:`~ecd_tune.optim.self_tuning.adaptive.split_auto_lr`;
            ``integrator`` and what Algorithm 2 has beside it must be equal in all.
        device: Where scalars live.
        single: One trajectory, whose scalars are 0-d.

    Returns:
        The rules.

    Raises:
        HyperparameterError: δE = 0 with s = 0.
    """

    def numbers(values: Sequence[float]) -> Tensor:
        column = torch.tensor(values, dtype=torch.float64, device=device)
        return column[0] if single else column

    def mask(values: Sequence[bool]) -> Tensor | None:
        if not any(values):
            return None
        column = torch.tensor(values, device=device)
        return column[0] if single else column

    def column(key: str) -> Tensor:
        return numbers([value_or_zero(row[key]) for row in rows])

    first, s = rows[0], column("s")
    delta = [initial_energy(name, row["s"], row["delta_energy"]) for row in rows]
    conserve = torch.tensor([row["conserve_energy"] for row in rows], device=device)
    flags = read_flags(rows, device)
    if flags is not None and single:
        flags = flags._replace(nu=flags.nu[0], lr=flags.lr[0], F0=flags.F0[0], aim=flags.aim[0])
    lowers = "shift_factor" in first
    return Rules(
        constants=Constants(
            eta=column("eta"),
            nu=column("nu"),
            s=s,
            bounded=s == 1,
            F0=column("F0"),
            conserve=conserve[0] if single else conserve,
            log_eps1=column("eps1").log(),
            log_eps2=column("eps2").log(),
            log_delta=numbers(delta).log(),
        ),
        integrator=first["integrator"],
        chaotic=any(row["nu"] for row in rows),
        auto=flags,
        stops=mask([row.get("on_gap") == "stop" for row in rows]),
        shifts=mask([lowers or (row["on_gap"] == "shift" and row["F0"] != AUTO) for row in rows]),
        shift_factor=first.get("shift_factor", _SHIFT_FACTOR),
        shifts_early=lowers,
        resets_energy=first.get("reset_energy", False),
    )


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
            f"{name}: delta_energy = {delta_energy!r} must be > 0 when s = 0 (the energy would be "
            "0); the default is 1"
        )
    return delta_energy
