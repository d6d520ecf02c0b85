"""Values that an optimizer can recompute from its state and groups."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from torch import Tensor

from ecd_tune.optim.params.noise import Noise

if TYPE_CHECKING:
    from ecd_tune.optim.fused.plan import FusedPlan

__all__ = ["Working"]


class Working:
    """Values recomputed from ``state`` and ``param_groups``, and losses added for the next step.

    It is one object that changes in place: the wrappers of Lightning share it with the optimizer
    that they wrap, and would keep attributes that they set to themselves.
    """

    def __init__(self) -> None:
        self.losses: list[Tensor] = []
        self.reset()

    def reset(self) -> None:
        """Drop the recomputable values."""
        self.trajectory: dict[str, Tensor] = {}
        self.steps = 0
        self.noise: Noise | None = None
        self.away: set[Tensor] = set()
        self.factors: dict[Tensor, float] = {}
        self.layout: tuple[Any, list[int], int] | None = None
        self.started = False
        self.plan: FusedPlan | None = None
        self.quick = False
        self.normalised = True
