"""What the processes of a distributed run tell each other in a step: the loss, and sums.

Two things can be spread over processes. Each may see its own batch: then the loss that belongs
to the averaged gradient is the mean over the processes (``process_group``). And each may hold
its own part of the parameters: then norms are sums over the parts, which DTensors tell by
themselves and plain tensors do not (``shard_group``).
"""

from __future__ import annotations

import sys
import warnings
from collections.abc import Sequence
from typing import Any, TypeAlias

import torch
import torch.distributed as dist
from torch import Tensor

from ecd_tune.errors import HyperparameterError
from ecd_tune.optim.params.noise import aligned

__all__ = ["GroupChoice", "Ranks", "ShardSum", "check_shards", "shard_groups"]

GroupChoice: TypeAlias = "dist.ProcessGroup | bool | None"
"""A group; True for the default one; False or None for none."""

Groups: TypeAlias = "tuple[dist.ProcessGroup, ...]"


class Ranks:
    """The groups of one optimizer, found when they are first needed.

    Args:
        process_group: Processes whose gradients are averaged.
        shard_group: Processes that each hold other parameters as plain tensors.
    """

    def __init__(self, process_group: GroupChoice, shard_group: GroupChoice) -> None:
        self.process_group, self.shard_group = process_group, shard_group
        self._warned = False

    def __deepcopy__(self, memo: dict[int, Any]) -> Ranks:
        return Ranks(self.process_group, self.shard_group)

    def __reduce__(self) -> tuple[Any, ...]:
        for name in ("process_group", "shard_group"):
            if not isinstance(getattr(self, name), (bool, type(None))):
                raise TypeError(
                    f"an optimizer with its own {name} cannot be pickled; save its state_dict(), "
                    f"or pass {name}=True for the default group"
                )
        return Ranks, (self.process_group, self.shard_group)

    @property
    def of_loss(self) -> dist.ProcessGroup | None:
        """The group over which the loss is averaged."""
        return _resolve(self.process_group) or self.of_shards

    @property
    def of_shards(self) -> dist.ProcessGroup | None:
        """The group over which sums of plain tensors run."""
        return _resolve(self.shard_group)

    def first_seed(self, seed: int, device: torch.device) -> int:
        """Return the seed of the group's first process."""
        group = self.of_loss
        if group is None:
            return seed
        shared = torch.tensor(seed, dtype=torch.int64, device=device)
        dist.broadcast(shared, dist.get_global_rank(group, 0), group=group)
        return int(shared)

    def lay_out(self, sizes: Sequence[int], same: bool) -> tuple[list[int], int]:
        """Return where each parameter begins in the vector of all parameters.

        Args:
            sizes: How many numbers this process holds of each of its parameters.
            same: The processes of the shard group hold parts of the same parameters, in the
                order of their ranks; else each holds other ones.

        Returns:
            For each parameter where its part begins, and the length of the vector.
        """
        group = self.of_shards
        if group is None:
            return _begins(sizes)
        everywhere: list[Any] = [None] * dist.get_world_size(group)
        dist.all_gather_object(everywhere, list(sizes), group=group)
        mine = dist.get_rank(group)
        if not same:
            begins, total = _begins([size for part in everywhere for size in part])
            first = sum(len(part) for part in everywhere[:mine])
            return begins[first : first + len(sizes)], total
        parts = list(zip(*everywhere, strict=True))
        begins, total = _begins([sum(part) for part in parts])
        pairs = zip(begins, parts, strict=True)
        return [begin + sum(part[:mine]) for begin, part in pairs], total

    def any(self, value: bool, device: torch.device) -> bool:
        """Return whether it holds in any process of the shard group."""
        if self.of_shards is None:
            return value
        return bool(self.largest(torch.tensor(value, dtype=torch.float64, device=device)))

    def total(self, count: int, device: torch.device) -> int:
        """Return the sum over the processes of the shard group."""
        group = self.of_shards
        if group is None:
            return count
        counted = torch.tensor(count, dtype=torch.int64, device=device)
        dist.all_reduce(counted, group=group)
        return int(counted)

    def largest(self, value: Tensor) -> Tensor:
        """Return the largest number of all processes of the shard group."""
        group = self.of_shards
        if group is None:
            return value
        value = value.clone()
        dist.all_reduce(value, dist.ReduceOp.MAX, group=group)
        return value

    def average(self, loss: Tensor) -> Average:
        """Begin to average the loss over the processes."""
        group = self.of_loss
        if group is None:
            self._warn()
            return Average(loss)
        return Average(loss, group)

    def _warn(self) -> None:
        if self._warned or self.process_group is not None:
            return
        if dist.is_available() and dist.is_initialized() and dist.get_world_size() > 1:
            self._warned = True
            warnings.warn(
                "torch.distributed runs with several processes, but process_group is not set: "
                "pass process_group=True (or a group) if every process computes the loss of its "
                "own batch, as with DDP and FSDP; pass process_group=False if all processes pass "
                "the same loss",
                stacklevel=_frames_to_the_user(),
            )


class Average:
    """A mean over processes that is on its way.

    Args:
        value: This process's number, float64, 0-d.
        group: The processes; None for this process only.
    """

    def __init__(self, value: Tensor, group: dist.ProcessGroup | None = None) -> None:
        self._value, self._group, self._work = value, group, None
        if group is not None:
            self._value = value.clone()
            self._work = dist.all_reduce(self._value, group=group, async_op=True)

    def wait(self) -> Tensor:
        """Return the mean, float64, 0-d."""
        if self._work is None or self._group is None:
            return self._value
        self._work.wait()
        return self._value / dist.get_world_size(self._group)


def _begins(sizes: Sequence[int]) -> tuple[list[int], int]:
    begins, total = [], 0
    for size in sizes:
        total = aligned(total, size)
        begins.append(total)
        total += size
    return begins, total


class ShardSum:
    """Adds numbers of blocks over the processes that hold the other parts of these blocks.

    Args:
        groups: For each block, the groups over which its parts are spread; none where every
            process holds the whole block.
    """

    def __init__(self, groups: Sequence[Groups]) -> None:
        self._kinds = list(dict.fromkeys(groups))
        self._kind_of_block = [self._kinds.index(g) for g in groups]
        self._index: Tensor | None = None

    def __call__(self, numbers: Tensor) -> Tensor:
        """Return the sum of all blocks of all processes.

        Args:
            numbers: One float64 number per block, shape ``[k]``.

        Returns:
            0-d.
        """
        if self._index is None or self._index.device != numbers.device:
            self._index = torch.tensor(self._kind_of_block, device=numbers.device)
        sums = numbers.new_zeros(len(self._kinds)).index_add(0, self._index, numbers)
        parts = sums.unbind()
        for part, groups in zip(parts, self._kinds, strict=True):
            for group in groups:
                dist.all_reduce(part, group=group)
        return torch.stack(parts).sum()


def shard_groups(p: Tensor, of_shards: dist.ProcessGroup | None) -> Groups:
    """Return the groups over which the elements of a parameter are spread.

    Args:
        p: A parameter.
        of_shards: The group of plain tensors that are shards, or None.

    Returns:
        One group a dimension of the mesh that shards a DTensor.
    """
    if not hasattr(p, "placements"):
        return () if of_shards is None else (of_shards,)
    mesh: Any = p.device_mesh  # type: ignore[attr-defined]
    return tuple(
        mesh.get_group(dimension)
        for dimension, placement in enumerate(p.placements)
        if not placement.is_replicate() and mesh.size(dimension) > 1
    )


def check_shards(name: str, params: Sequence[Tensor], shard_group: GroupChoice) -> None:
    """Refuse parameters that are shards without saying so.

    Args:
        name: Optimizer, for the message.
        params: Its parameters.
        shard_group: As given by the user.

    Raises:
        HyperparameterError: They are shards of FSDP1 or ZeroRedundancyOptimizer, and
            ``shard_group`` is not given.
    """
    if shard_group:
        return
    if any(getattr(p, "_fsdp_flattened", False) for p in params):
        what = "FullyShardedDataParallel holds shards as plain tensors"
    elif dist.is_available() and dist.is_initialized() and _inside_zero():
        what = "ZeroRedundancyOptimizer gives each process different parameters"
    else:
        return
    raise HyperparameterError(
        f"{name}: {what}, and the step needs norms over all of them: pass shard_group=True (or "
        "their group); the loss is then averaged over it too"
    )


def _inside_zero() -> bool:
    """Return whether the constructor is being called by a ZeroRedundancyOptimizer.

    Its local optimizer does not know the other processes' parameters.
    """
    frame = sys._getframe(1)
    while frame.f_back is not None:
        frame = frame.f_back
        # Importing the class to ask for it would warn that torch.jit is deprecated.
        if type(frame.f_locals.get("self")).__name__ == "ZeroRedundancyOptimizer":
            return True
    return False


def _frames_to_the_user() -> int:
    """Return the stacklevel of the call that is neither of torch nor of this package."""
    level, frame = 1, sys._getframe(1)
    own = ("torch.", "ecd_tune.optim.", "contextlib")
    while frame.f_back is not None and frame.f_globals.get("__name__", "").startswith(own):
        level, frame = level + 1, frame.f_back
    return level


def _resolve(choice: GroupChoice) -> dist.ProcessGroup | None:
    if choice is None or choice is False:
        return None
    return dist.group.WORLD if choice is True else choice
