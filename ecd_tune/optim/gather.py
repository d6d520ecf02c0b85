"""Parameters and gradients of a torch optimizer as blocks of real numbers.

Parameters without a gradient take no part in a step: they are in no norm, get no noise and do
not move. Their part of the momentum is set aside and comes back when they do (:func:`align`).
"""

from __future__ import annotations

from collections.abc import Iterable, MutableMapping
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from ecd_tune.optim.blocks import Algebra, split_flat
from ecd_tune.optim.dynamics import unit

__all__ = ["Gathered", "State", "align", "gather"]

State = MutableMapping[Any, Any]
"""State of a torch optimizer; of each parameter ``direction``, and while set aside ``aside``."""


@dataclass
class Gathered:
    """The parameters that have a gradient, as blocks of real numbers.

    Attributes:
        params: The parameters themselves, for their state.
        absent: The parameters that have none.
        theta: Views of them, real (a complex one has a last dimension of 2).
        grads: Their gradients, dense, in the dtype of the momentum.
        directions: Blocks of the unit momentum, float32 at least.
        lr: Step size of each block.
        weight_decay: wd of each block in the loss, or None when it is 0 everywhere.
        decay: Δt wd of each block where it is decoupled, or None when it is 0 everywhere.
        offsets: Where each block begins in the flat vector of *all* parameters.
        total: Length of that vector.
        algebra: Layout.
    """

    params: list[Tensor]
    absent: list[Tensor]
    theta: list[Tensor]
    grads: list[Tensor]
    directions: list[Tensor]
    lr: list[float]
    weight_decay: list[float] | None
    decay: list[float] | None
    offsets: list[int]
    total: int
    algebra: Algebra

    def blocks_of(self, flat: Tensor) -> list[Tensor]:
        """Cut the present blocks out of a flat vector over all parameters."""
        if len(flat) == sum(e.numel() for e in self.directions):
            return split_flat(flat, self.directions)
        return [
            flat[start : start + e.numel()].view(e.shape).to(device=e.device, dtype=e.dtype)
            for start, e in zip(self.offsets, self.directions, strict=True)
        ]

    @property
    def noise_dtype(self) -> torch.dtype:
        """Dtype in which noise is drawn: float64 only if every momentum is float64."""
        double = all(e.dtype == torch.float64 for e in self.directions)
        return torch.float64 if double else torch.float32

    def places(self) -> list[Tensor]:
        """Return the parameters in the dtype of the momentum."""
        return [t.to(e.dtype) for t, e in zip(self.theta, self.directions, strict=True)]

    def keep(self, state: State, e: list[Tensor]) -> None:
        """Store the new directions."""
        for p, direction in zip(self.params, e, strict=True):
            state[p]["direction"] = direction

    def move(self, amount: list[Tensor]) -> None:
        """Add to the parameters in place, rounding once to their dtype."""
        if self.algebra.foreach:
            torch._foreach_add_(self.theta, amount)
        else:
            for theta, a in zip(self.theta, amount, strict=True):
                theta.add_(a)


def gather(groups: Iterable[dict[str, Any]], state: State, foreach: bool | None) -> Gathered:
    """Collect the parameters that have a gradient.

    Args:
        groups: Parameter groups with ``lr`` and perhaps ``weight_decay`` and
            ``decoupled_weight_decay``.
        state: State of the optimizer; gets a zero ``direction`` for each new parameter.
        foreach: Use ``torch._foreach_*``; None decides by the number of blocks.

    Returns:
        The blocks.
    """
    params, absent, lr, penalties, decays, offsets, total = [], [], [], [], [], [], 0
    for group in groups:
        step, wd = float(group["lr"]), float(group.get("weight_decay", 0.0))
        decoupled = group.get("decoupled_weight_decay", False)
        for p in group["params"]:
            if p.grad is None:
                absent.append(p)
            else:
                params.append(p)
                lr.append(step)
                penalties.append(0.0 if decoupled else wd)
                decays.append(step * wd if decoupled else 0.0)
                offsets.append(total)
            total += p.numel() * (2 if p.is_complex() else 1)
    theta = [_real(p) for p in params]
    directions = [_direction(state[p], t) for p, t in zip(params, theta, strict=True)]
    return Gathered(
        params=params,
        absent=absent,
        theta=theta,
        grads=[_real_grad(p).to(e.dtype) for p, e in zip(params, directions, strict=True)],
        directions=directions,
        lr=lr,
        weight_decay=penalties if any(penalties) else None,
        decay=decays if any(decays) else None,
        offsets=offsets,
        total=total,
        algebra=Algebra(foreach=_use_foreach(theta, foreach)),
    )


def align(gathered: Gathered, state: State, log_p: Tensor) -> Tensor:
    """Let parameters leave and rejoin the momentum as their gradients go and come.

    A leaving block takes log|Π| with it, so that its Π is still known; a rejoining one is
    measured against the present log|Π|. What stays or joins is normalised again.

    Args:
        gathered: The present blocks; ``directions`` is replaced where anything changes.
        state: State of the optimizer.
        log_p: log|Π| of the blocks of the last step.

    Returns:
        log|Π| of the present blocks.
    """
    leaving = [p for p in gathered.absent if "direction" in state[p] and "aside" not in state[p]]
    joining = [i for i, p in enumerate(gathered.params) if "aside" in state[p]]
    if not leaving and not joining:
        return log_p
    for p in leaving:
        state[p]["aside"] = log_p.to(p.device, copy=True)
    logs = [state[gathered.params[i]].pop("aside").to(log_p.device) for i in joining]
    top = torch.stack([log_p, *logs]).max()
    top = torch.where(top > -torch.inf, top, 0.0)
    blocks = list(gathered.directions)
    weights = dict(zip(joining, logs, strict=True))
    for i, block in enumerate(blocks):
        weight = torch.exp(weights.get(i, log_p) - top)
        blocks[i] = block * weight.to(block.device)
    size = gathered.algebra.norm(blocks)
    gathered.directions = unit(gathered.algebra, blocks, size)
    gathered.keep(state, gathered.directions)
    return top + torch.log(size)


def _direction(state: dict[str, Any], theta: Tensor) -> Tensor:
    if "direction" not in state:
        state["direction"] = torch.zeros_like(theta, dtype=_momentum_dtype(theta.dtype))
    direction: Tensor = state["direction"]
    return direction


def _use_foreach(theta: list[Tensor], foreach: bool | None) -> bool:
    one_device = len({t.device for t in theta}) == 1
    return one_device and (len(theta) > 1 if foreach is None else foreach)


def _momentum_dtype(dtype: torch.dtype) -> torch.dtype:
    return dtype if dtype in (torch.float32, torch.float64) else torch.float32


def _real(p: Tensor) -> Tensor:
    return torch.view_as_real(p) if p.is_complex() else p.detach()


def _real_grad(p: Tensor) -> Tensor:
    grad = p.grad
    assert grad is not None
    if grad.layout != torch.strided:
        grad = grad.to_dense()
    return torch.view_as_real(grad.resolve_conj()) if grad.is_complex() else grad
