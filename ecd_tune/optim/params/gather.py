"""Parameters and gradients of a torch optimizer as blocks of real numbers.

A block is what this process holds of a parameter: of a DTensor its local shard. Parameters
without a gradient take no part in a step: they are in no norm, get no noise and do not move.
Their part of the momentum is set aside and comes back when they do (:func:`align`).
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, MutableMapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from ecd_tune.optim.definitions import MOMENTS, SHARE
from ecd_tune.optim.dynamics import unit
from ecd_tune.optim.params.blocks import Algebra, Factors, split_flat
from ecd_tune.optim.params.layout import (
    as_real,
    as_stored,
    block_size,
    drawn_like,
    drawn_span,
    local_block,
    local_gradient,
    local_part,
    momentum_dtype,
    own_part,
    unpadded,
)
from ecd_tune.optim.params.moments import learn, refine
from ecd_tune.optim.params.ranks import Ranks, ShardSum, shard_groups
from ecd_tune.optim.params.scale import BATCHES, factor_of, see_share, seen_of

__all__ = [
    "Gathered",
    "State",
    "align",
    "begin_parameters",
    "gather",
    "learn_scales",
    "refine_scales",
]

State = MutableMapping[Any, Any]
"""State of a torch optimizer. Of each parameter:

- ``direction``: its part of the unit momentum;
- ``log_norm``, float64, 0-d: log|Π| of the last step that it took part in if it was left out of a
  later one, else inf (NaN would not equal itself where FSDP compares it between processes);
- ``share`` and ``batches``, float64, 0-d: see :mod:`ecd_tune.optim.params.scale`. (FSDP takes a
  tensor with dimensions for a shard of the parameter.)
- ``second_moment``, where ``scale`` is ``"moments"``: see :mod:`ecd_tune.optim.params.moments`.
"""


@dataclass
class Gathered:
    """The parameters that have a gradient, as blocks of real numbers.

    Attributes:
        params: The parameters themselves, for their state.
        absent: The parameters that have none.
        theta: Views of them, real (a complex one has a last dimension of 2), not 0-d.
        grads: Their gradients, dense, in the dtype of the momentum.
        directions: Blocks of the unit momentum, float32 at least.
        lr: Step size of each block, its scale included.
        top_lr: The largest step size without scales.
        scales: Factor of each block's step size, or None when it is 1 everywhere.
        shares: Factor of each block by the share rule where its scale is ``"moments"``, else 0.
        factors: What :func:`refine_scales` has multiplied the step sizes by, or None.
        weight_decay: wd of each block in the loss, or None when it is 0 everywhere.
        decay: Δt wd of each block where it is decoupled, or None when it is 0 everywhere.
        numbers: Which of all parameters each one is.
        sizes: How many numbers each of *all* parameters has, as far as this process can see.
        algebra: Layout.
    """

    params: list[Tensor]
    absent: list[Tensor]
    theta: list[Tensor]
    grads: list[Tensor]
    directions: list[Tensor]
    lr: Factors
    top_lr: float
    scales: Factors | None
    shares: list[float]
    weight_decay: list[float] | None
    decay: list[float] | None
    numbers: list[int]
    sizes: list[int]
    algebra: Algebra
    factors: list[Tensor] | None = None

    def places(self) -> list[Tensor]:
        """Return the parameters in the dtype of the momentum."""
        return [t.to(e.dtype) for t, e in zip(self.theta, self.directions, strict=True)]

    def moving(self) -> int:
        """Return how many numbers take part in the step: of DTensors over all their shards."""
        return sum(map(block_size, self.params))

    def draw(
        self, numbers: Callable[..., Tensor], step: int, begins: Sequence[int], total: int
    ) -> list[Tensor]:
        """Draw random numbers for the blocks.

        Args:
            numbers: ``Noise.normal`` or ``Noise.uniform``.
            step: Number of the step.
            begins: Where each of all parameters begins in the vector of all of them, or what
                this process holds of it where they are shards.
            total: Length of that vector.

        Returns:
            One block of numbers for each block.
        """
        spans = [
            drawn_span(p, begins[number])
            for p, number in zip(self.params, self.numbers, strict=True)
        ]
        double = all(e.dtype == torch.float64 for e in self.directions)
        flat = numbers(step, total, spans, torch.float64 if double else torch.float32)
        pairs = zip(self.params, self.directions, strict=False)
        drawn = split_flat(flat, [drawn_like(p, e) for p, e in pairs])
        blocks = [own_part(p, block) for p, block in zip(self.params, drawn, strict=True)]
        return blocks or [torch.zeros_like(e) for e in self.directions]

    def keep(self, state: State, e: Sequence[Tensor]) -> None:
        """Store the new directions."""
        for p, direction in zip(self.params, e, strict=False):
            state[p]["direction"] = as_stored(p, direction, state[p]["direction"])

    def move(self, amount: Sequence[Tensor]) -> None:
        """Add to the parameters in place, rounding once to their dtype."""
        if self.algebra.foreach:
            torch._foreach_add_(self.theta, list(amount))
        else:
            for theta, a in zip(self.theta, amount, strict=True):
                theta.add_(a)


def begin_parameters(groups: Iterable[Mapping[str, Any]], state: State) -> None:
    """Create the state of each parameter that can have a gradient and has no state yet.

    Args:
        groups: Parameter groups.
        state: State of the optimizer.
    """
    for group in groups:
        for p in group["params"]:
            if not p.requires_grad and p.grad is None:
                continue
            if p not in state:
                state[p].update(_first_state(p))
            if group.get("scale") == MOMENTS and "second_moment" not in state[p]:
                state[p]["second_moment"] = torch.zeros_like(state[p]["direction"])


def gather(
    groups: Sequence[dict[str, Any]],
    state: State,
    foreach: bool | None,
    maximize: bool,
    of_shards: Any = None,
    factors: dict[Tensor, float] | None = None,
) -> Gathered:
    """Collect the parameters that have a gradient.

    Args:
        groups: Parameter groups with ``lr`` and perhaps ``weight_decay`` and
            ``decoupled_weight_decay``.
        state: State of the optimizer; each parameter with a gradient gets its part.
        foreach: Use ``torch._foreach_*``; None decides by the number of blocks.
        maximize: Turn the gradients round.
        of_shards: Group of the processes that hold other parameters, or None.
        factors: Scales that are fixed already; those that become so are added.

    Returns:
        The blocks.
    """
    begin_parameters(groups, state)
    params, absent, numbers, shares = [], [], [], []
    lr, scales, penalties, decays = [], [], [], []
    top_lr, in_loss = 0.0, False
    sizes: list[int] = []
    for group in groups:
        step, wd = float(group["lr"]), float(group.get("weight_decay", 0.0))
        decoupled = group.get("decoupled_weight_decay", False)
        # Also of groups that hold nothing here: all processes must make the same sums.
        top_lr = max(top_lr, step)
        in_loss |= wd > 0 and not decoupled
        for p in group["params"]:
            if p.grad is not None:
                params.append(p)
                scale = group.get("scale", 1.0)
                refined = scale == MOMENTS
                if scale in (SHARE, MOMENTS):
                    scale = _share_factor(state, p, {} if factors is None else factors)
                shares.append(scale if refined else 0.0)
                scales.append(scale)
                lr.append(step * scale)
                penalties.append(0.0 if decoupled else wd)
                decays.append(step * wd if decoupled else 0.0)
                numbers.append(len(sizes))
            elif p.numel():
                absent.append(p)
            sizes.append(block_size(p))
    theta = [local_block(p) for p in params]
    directions = [unpadded(p, as_real(local_part(state[p]["direction"]))) for p in params]
    grads = [local_gradient(p).to(e.dtype) for p, e in zip(params, directions, strict=True)]
    spread = [shard_groups(p, of_shards) for p in params]
    if of_shards is not None and not params:  # this process must still take part in the sums
        nothing = torch.zeros(0, device=_device(groups))
        theta, directions, grads, lr, spread = (
            [nothing],
            [nothing],
            [nothing],
            [0.0],
            [(of_shards,)],
        )
        penalties, decays, shares = [0.0], [0.0], [0.0]
    return Gathered(
        params=params,
        absent=absent,
        theta=theta,
        grads=list(torch._foreach_neg(grads)) if maximize and grads else grads,
        directions=directions,
        lr=lr,
        top_lr=top_lr,
        scales=scales if any(scale != 1.0 for scale in scales) else None,
        shares=shares,
        weight_decay=penalties if in_loss else None,
        decay=decays if any(decays) else None,
        numbers=numbers,
        sizes=sizes,
        algebra=Algebra(
            foreach=_use_foreach(theta, foreach), reduce=ShardSum(spread) if any(spread) else None
        ),
    )


def refine_scales(
    gathered: Gathered, state: State, trajectory: Mapping[str, Tensor], step: int
) -> None:
    """Multiply the scales that are ``"moments"`` by the factors of each number.

    Args:
        gathered: The present blocks; ``factors`` is set, ``lr`` and ``scales`` are replaced.
        state: State of the optimizer.
        trajectory: Scalars of the run, with ``log_scale`` and ``mean_moment``.
        step: Steps before this one.
    """
    factors = refine(
        gathered.algebra,
        _moments(gathered, state),
        trajectory["log_scale"],
        trajectory["mean_moment"],
        step,
    )
    scales = gathered.scales or [1.0] * len(gathered.theta)
    own: Factors = [f if s else 1.0 for f, s in zip(factors, gathered.shares, strict=True)]
    gathered.factors = factors
    gathered.lr = [step_size * f for step_size, f in zip(gathered.lr, own, strict=True)]
    gathered.scales = [scale * f for scale, f in zip(scales, own, strict=True)]


def learn_scales(
    gathered: Gathered, state: State, trajectory: dict[str, Tensor], step: int, active: Tensor
) -> None:
    """Let the gradient of a step tell the factors of those that follow.

    Args:
        gathered: The present blocks, after :func:`refine_scales`.
        state: State of the optimizer; second moments are brought up to date.
        trajectory: Scalars of the run; brought up to date.
        step: Steps before this one.
        active: Whether the step is made, bool.
    """
    assert gathered.factors is not None
    algebra = gathered.algebra
    moments, trajectory["log_scale"], trajectory["mean_moment"] = learn(
        algebra,
        algebra.times_each(gathered.grads, gathered.shares),
        gathered.factors,
        _moments(gathered, state),
        trajectory["log_scale"],
        trajectory["mean_moment"],
        step,
        active,
    )
    for p, v, share in zip(gathered.params, moments, gathered.shares, strict=False):
        if share:
            state[p]["second_moment"] = as_stored(p, v, state[p]["second_moment"])


def _moments(gathered: Gathered, state: State) -> list[Tensor]:
    """Return the second moments; 0 where there are none."""
    moments = [torch.zeros_like(e) for e in gathered.directions]
    for i, p in enumerate(gathered.params):
        if gathered.shares[i]:
            moments[i] = unpadded(p, as_real(local_part(state[p]["second_moment"])))
    return moments


def _device(groups: Sequence[Mapping[str, Any]]) -> torch.device | None:
    return next((p.device for group in groups for p in group["params"]), None)


def align(
    gathered: Gathered, state: State, log_p: Tensor, away: set[Tensor], ranks: Ranks
) -> Tensor:
    """Let parameters leave and rejoin the momentum as their gradients go and come.

    A leaving block takes log|Π| with it, so that its Π is still known; a rejoining one is
    measured against the present log|Π|. What stays or joins is normalised again.

    Args:
        gathered: The present blocks; ``directions`` is replaced where anything changes.
        state: State of the optimizer.
        log_p: log|Π| of the blocks of the last step.
        away: The parameters that were left out of the last step; is brought up to date.
        ranks: Processes that may hold further parameters.

    Returns:
        log|Π| of the present blocks.
    """
    leaving = [p for p in gathered.absent if p in state and p not in away]
    joining = [i for i, p in enumerate(gathered.params) if p in away]
    if not ranks.any(bool(leaving or joining), log_p.device):
        return log_p
    for p in leaving:
        state[p]["log_norm"] = log_p.to(state[p]["log_norm"].device, copy=True)
    logs = {i: state[gathered.params[i]]["log_norm"].to(log_p.device) for i in joining}
    for i in joining:
        own = state[gathered.params[i]]
        own["log_norm"] = torch.full_like(own["log_norm"], torch.inf)
    away |= set(leaving)
    away -= {gathered.params[i] for i in joining}
    top = ranks.largest(torch.stack([log_p, *logs.values()]).max())
    top = torch.where(top > -torch.inf, top, 0.0)
    blocks = [
        block * torch.exp(logs.get(i, log_p) - top).to(block.device)
        for i, block in enumerate(gathered.directions)
    ]
    size = gathered.algebra.norm(blocks)
    gathered.directions = unit(gathered.algebra, blocks, size)
    gathered.keep(state, gathered.directions)
    return top + torch.log(size)


def _share_factor(state: State, p: Tensor, factors: dict[Tensor, float]) -> float:
    """Update the share of a parameter by this batch, and return the factor of its step."""
    if p in factors:
        return factors[p]
    own = state[p]
    own.update(see_share(own, p.grad))
    factor = factor_of(seen_of(own)).item()
    if own["batches"].item() >= BATCHES:
        factors[p] = factor
    return factor


def _first_state(p: Tensor) -> dict[str, Tensor]:
    real = torch.view_as_real(p.detach()) if p.is_complex() else p.detach()
    return {
        "direction": torch.zeros_like(real, dtype=momentum_dtype(real.dtype)),
        "log_norm": torch.full((), torch.inf, dtype=torch.float64, device=p.device),
        "share": torch.zeros((), dtype=torch.float64, device=p.device),
        "batches": torch.zeros((), dtype=torch.float64, device=p.device),
    }


def _use_foreach(theta: list[Tensor], foreach: bool | None) -> bool:
    one_device = len({t.device for t in theta}) == 1
    return one_device and (len(theta) > 1 if foreach is None else foreach)
