"""Counters that stay on the device, so that a step need not wait for it."""

from __future__ import annotations

import torch
from torch import Tensor

from ecd_tune.optim.dynamics import Survey

__all__ = ["Tally"]

_COUNTED = ("held", "converged_steps", "bad_gradients")


class Tally:
    """What happened in steps that nobody has looked at.

    Args:
        device: Where the surveys are made.
    """

    def __init__(self, device: torch.device) -> None:
        self._counts = torch.zeros(len(_COUNTED), dtype=torch.int64, device=device)
        self._converged = torch.zeros((), dtype=torch.bool, device=device)
        self._first_bad = torch.full((), -1, dtype=torch.int64, device=device)

    def add(self, seen: Survey, finite: Tensor, step: int) -> None:
        """Count one step.

        Args:
            seen: What was found at its point.
            finite: Whether its loss is finite; a step without such a loss counts as that alone.
            step: Its number.
        """
        bad = ~(seen.ok | seen.below | seen.converged)
        self._counts += torch.stack([seen.below, seen.converged, bad]) & finite
        self._converged = torch.where(finite, seen.converged, self._converged)
        first = ~finite & (self._first_bad < 0)
        self._first_bad = torch.where(first, step, self._first_bad)

    def read(self) -> tuple[dict[str, int], bool, int | None]:
        """Wait for the device, and begin anew.

        Returns:
            Counts by name, whether V < ε2 at the last step, and the first step whose loss was
            not finite, or None.
        """
        *counts, converged, first = torch.cat(
            [self._counts, torch.stack([self._converged.long(), self._first_bad])]
        ).tolist()
        self._counts = torch.zeros_like(self._counts)
        self._first_bad = torch.full_like(self._first_bad, -1)
        found = dict(zip(_COUNTED, counts, strict=True))
        return found, bool(converged), None if first < 0 else int(first)
