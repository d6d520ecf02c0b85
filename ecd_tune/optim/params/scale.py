"""A factor for the Δt of each tensor, found from how sparse its gradients are.

The factor multiplies Δt where the momentum is kicked and where the tensor drifts. That is an exact
change of coordinates, θ = c·u: energy, law and orbit hold in u. With one Δt for all, a step that
suits an embedding, of which a batch uses a few rows, is far too long for everything else.

The same change of coordinates multiplies the learning rate of SGD by c². For Adam it comes to one
of ε: dividing by the root of the second moment takes the factor of a gradient out again.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor

from ecd_tune.optim.definitions import MOMENTS, SHARE

__all__ = [
    "BATCHES",
    "factor_of",
    "found_scales",
    "no_shares",
    "see_share",
    "seen_of",
    "share_of",
    "with_share",
]

_KEYS = ("share", "batches")

BATCHES = 16
"""Batches over which the share is averaged; it is fixed from then on."""


def no_shares(like: Tensor) -> Tensor:
    """Return that no batch has been seen: sum of the shares, and their number, float64 ``[2]``."""
    return torch.zeros(2, dtype=torch.float64, device=like.device)


def share_of(grad: Any) -> Tensor:
    """Return the share of a gradient that is not 0, over all shards, float64, 0-d."""
    grad = grad.to_dense() if grad.layout != torch.strided else grad
    used: Any = (grad != 0).sum(dtype=torch.float64)
    whole: Tensor = used.full_tensor() if hasattr(used, "full_tensor") else used
    share: Tensor = whole / max(grad.numel(), 1)
    return share


def with_share(seen: Tensor, share: Tensor) -> Tensor:
    """Update the mean by one batch, unless there are enough."""
    more = torch.stack([share, torch.ones_like(share)])
    return torch.where(seen[1:] < BATCHES, seen + more, seen)


def seen_of(own: Mapping[str, Any]) -> Tensor:
    """Return the shares stored in a parameter's state, in the form of :func:`with_share`.

    Args:
        own: State with ``share`` and ``batches``, numbers or 0-d; nothing has been seen where it
            has none.
    """
    pair = [torch.as_tensor(own.get(key, 0.0), dtype=torch.float64) for key in _KEYS]
    return torch.stack(pair)


def see_share(own: Mapping[str, Any], grad: Any) -> dict[str, Tensor]:
    """Update the mean of a parameter by one batch.

    Args:
        own: Its state.
        grad: Its gradient.

    Returns:
        ``share`` and ``batches`` of its new state, float64, 0-d.
    """
    seen = seen_of(own)
    seen = with_share(seen, share_of(grad).to(seen.device))
    return dict(zip(_KEYS, seen, strict=True))


def factor_of(seen: Tensor) -> Tensor:
    """Return the factor, 1/(mean share); 1 where no entry was ever used."""
    mean = seen[0] / seen[1].clamp(min=1.0)
    return torch.where(mean > 0, 1 / mean, 1.0)


def found_scales(
    groups: Sequence[Mapping[str, Any]], state: Mapping[Any, Mapping[str, Any]]
) -> dict[str, dict[str | int, float]]:
    """Return the factors that a run has found, for its report.

    Args:
        groups: Parameter groups with ``scale``.
        state: State of the optimizer.

    Returns:
        ``scales``: those by the share rule that are not 1, by the name of the parameter or its
        number; nothing where no group leaves them to the run.
    """
    if all(group["scale"] not in (SHARE, MOMENTS) for group in groups):
        return {}
    params = [
        (name, p, group["scale"])
        for group in groups
        for name, p in zip(group.get("param_names", group["params"]), group["params"], strict=True)
    ]
    found = {
        name if isinstance(name, str) else number: factor_of(seen_of(state[p])).item()
        for number, (name, p, scale) in enumerate(params)
        if scale in (SHARE, MOMENTS) and p in state
    }
    return {"scales": {name: factor for name, factor in found.items() if factor != 1.0}}
