"""What the hyperparameters of ECDq1 say, as tensors."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import torch
from torch import Tensor

from ecd_tune.optim.dynamics import Constants

__all__ = ["UnitRules", "constants_for", "read_unit_rules"]


class UnitRules(NamedTuple):
    """What the hyperparameters say; tensors are 0-d or ``[B]``."""

    constants: Constants
    """η, ν̂ in the place of ν, F0, whether |p| is 1 after a kick, and 1/√η as the pace, since Δt is
    Δt̂/√η; without ε2."""
    eps2: Tensor
    integrator: str
    exact: bool
    """The momentum follows the exact flow."""
    chaotic: bool
    """Any ν̂ is not 0."""


def read_unit_rules(
    rows: Sequence[Mapping[str, Any]], device: torch.device, *, single: bool
) -> UnitRules:
    """Turn checked hyperparameters into rules.

    Args:
        rows: One mapping per trial; ``integrator`` and ``flow`` must be equal in all.
        device: Where scalars live.
        single: One trajectory, whose scalars are 0-d.

    Returns:
        The rules.
    """

    def column(key: str) -> Tensor:
        values = torch.tensor([row[key] for row in rows], dtype=torch.float64, device=device)
        return values[0] if single else values

    exact, eta = rows[0]["flow"] == "exact", column("eta")
    conserve = column("conserve_energy").bool()
    zero = torch.zeros_like(eta)
    return UnitRules(
        constants=Constants(
            eta=eta,
            nu=column("nu"),
            s=zero,
            bounded=zero.bool(),
            F0=column("F0"),
            conserve=torch.ones_like(conserve) if exact else conserve,
            log_eps1=zero,
            log_eps2=zero - math.inf,
            log_delta=zero,
            pace=eta.rsqrt(),
        ),
        eps2=column("eps2"),
        integrator=rows[0]["integrator"],
        exact=exact,
        chaotic=any(row["nu"] for row in rows),
    )


def constants_for(rules: UnitRules, size: int) -> Constants:
    """Return the constants of a step, with ν = ν̂/√n in the place of ν̂.

    Args:
        rules: The rules.
        size: n, the numbers that take part.

    Returns:
        The constants.
    """
    return rules.constants._replace(nu=rules.constants.nu / math.sqrt(max(size, 1)))
