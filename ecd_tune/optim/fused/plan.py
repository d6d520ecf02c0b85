"""Whether a step can be made in fused form, and how: the seam between optimizers and forms."""

from __future__ import annotations

import importlib
from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

import torch
from torch import Tensor
from torch.utils._python_dispatch import is_traceable_wrapper_subclass

from ecd_tune.optim.definitions import MOMENTS, SHARE
from ecd_tune.optim.fused.table import (
    FUSED_ROWS,
    FusedRules,
    ParamBlock,
    ParamTable,
    Rows,
    Runner,
    Scalars,
    StepOutcome,
)
from ecd_tune.optim.params.scale import BATCHES, factor_of, seen_of

__all__ = ["FORMS", "FusedPlan", "OptimizerView", "form_problem", "lasting_reason", "make_plan"]

FORMS = {"cpu": "ecd_tune.optim.fused.cpu", "cuda": "ecd_tune.optim.fused.gpu"}
"""Type of device to the module with ``Runner`` and ``problem``."""

_ODD_GRADIENT = int(StepOutcome.ODD_GRADIENT)

_SHARED = (SHARE, MOMENTS)
"""Scales that begin with the share rule."""
_DTYPES = (torch.float32, torch.float64, torch.bfloat16, torch.float16)


class OptimizerView(NamedTuple):
    """Interface that a plan needs from an optimizer."""

    groups: list[dict[str, Any]]
    state: Mapping[Any, dict[str, Tensor]]
    trajectory: dict[str, Tensor]
    rules: FusedRules | str
    """The hyperparameters, or why there is no fused form for them."""
    started: bool
    away: set[Tensor]
    """Parameters that were left out of the last step."""
    factors: dict[Tensor, float]
    """Scales that are fixed; those that are found to be so are added."""
    sharded: bool
    watched: bool
    lay_out: Callable[[Sequence[int]], tuple[Sequence[int], int]]
    """Numbers of all parameters to where each begins in the vector of all, and its length."""
    rows: Callable[[FusedRules, bool], Rows | None]
    """Called with the rules, and with whether any weight decay is decoupled."""


def form_problem(device: torch.device) -> str | None:
    """Return in words why there is no fused form for a device, or None."""
    if device.type not in FORMS:
        return f"there is no fused form for device type {device.type}"
    problem: str | None = importlib.import_module(FORMS[device.type]).problem()
    return problem


def lasting_reason(run: OptimizerView) -> str | None:
    """Return why steps cannot use the fused form for any gradients; or None.

    Args:
        run: The optimizer's.
    """
    return (
        (run.rules if isinstance(run.rules, str) else None)
        or ("the optimizer has a shard_group" if run.sharded else None)
        or ("watchers are registered" if run.watched else None)
        or _of_params(run)
    )


def _passing_reason(run: OptimizerView) -> str | None:
    """Return why the next step cannot be made in fused form; a later one may be possible."""
    params = [p for group in run.groups for p in group["params"]]
    if not run.started:
        return "the first step sets the energy"
    present = {p for p in params if p.grad is not None}
    if not present:
        return "no parameter has a gradient"
    missing = [p for p in params if p.grad is None and p.numel()]
    leaving = any(p in run.state and p not in run.away for p in missing)
    if leaving or present & run.away or any(p not in run.state for p in present):
        return "a gradient has appeared or disappeared"
    for group in run.groups:
        if group.get("scale") in _SHARED and not all(
            _settled(run, p, group["scale"]) for p in group["params"] if p in present
        ):
            return "scales are not determined yet"
    return None


def _settled(run: OptimizerView, p: Tensor, scale: str) -> bool:
    """Return whether the share of a parameter is fixed, and keep its factor if it is."""
    if scale == MOMENTS and "second_moment" not in run.state[p]:
        return False
    if p not in run.factors and run.state[p]["batches"].item() >= BATCHES:
        run.factors[p] = factor_of(seen_of(run.state[p])).item()
    return p in run.factors


def _of_params(run: OptimizerView) -> str | None:
    params = [p for group in run.groups for p in group["params"]]
    devices = {p.device for p in params}
    if len(devices) != 1:
        return "the parameters are on several devices"
    turns = isinstance(run.rules, FusedRules) and run.rules.nu > 0
    for p in params:
        if hasattr(p, "placements") or is_traceable_wrapper_subclass(p) or p.is_inference():
            return f"a parameter is a {type(p).__name__} that wraps other tensors"
        if p.dtype not in _DTYPES:
            return f"a parameter is of dtype {p.dtype}"
        if getattr(p, "_fsdp_flattened", False):
            return "the parameters are shards of FullyShardedDataParallel"
        if not _dense(p):
            return "a parameter is a view with gaps"
        if turns and not p.is_contiguous():
            return "nu > 0 and a parameter does not have the contiguous memory format"
    return form_problem(devices.pop())


def _dense(p: Tensor) -> bool:
    """Return whether the elements fill a stretch of memory, each once."""
    if p.is_contiguous():
        return True
    expected = 1
    for stride, size in sorted(zip(p.stride(), p.shape, strict=True)):
        if size != 1:
            if stride != expected:
                return False
            expected *= size
    return True


class FusedPlan:
    """Makes fused steps while nothing but values changes.

    Args:
        run: The optimizer's, without a reason against it.

    Attributes:
        groups: The optimizer's ``param_groups``.
        state: Its ``state``.
        sign: -1 where it maximizes.
        device: Where the parameters are.
        on_host: That is the CPU; losses are read there before a step.
    """

    def __init__(self, run: OptimizerView) -> None:
        assert isinstance(run.rules, FusedRules)
        device = next(p.device for group in run.groups for p in group["params"])
        self.device, self.on_host = device, device.type == "cpu"
        scalars = Scalars(run.trajectory, device)
        self.groups, self.state = run.groups, run.state
        self.sign = -1.0 if run.rules.maximize else 1.0
        self._count = len(run.groups)
        self._table = _table(run)
        self._lrs = [(group, _held_lr(group)) for group in run.groups]
        self._rows = run.rows(run.rules, any(b.rate > 0 for b in self._table.blocks))
        runner: Callable[..., Runner] = importlib.import_module(FORMS[device.type]).Runner
        self._runner = runner(self._table, run.rules, scalars, self._rows)
        if self._rows is not None:
            self._rows.complete = self._runner.complete
        self._note_lr()

    def close(self) -> None:
        """Complete the numbers of the last step; no step follows."""
        if self._rows is not None:
            self._runner.complete()
            self._rows.complete = None

    def fits(self, groups: list[dict[str, Any]], state: Mapping[Any, Any]) -> bool:
        """Return whether an optimizer still has the groups and the state of the plan."""
        return self.groups is groups and self.state is state and self._count == len(groups)

    def step(self, loss: Any) -> int:
        """Make one step, if it can be made as the last one was.

        Args:
            loss: As for :meth:`~ecd_tune.optim.fused.table.Runner.step`.

        Returns:
            ``DONE`` or ``FULL``; else nothing was changed.
        """
        self.take_lr()
        outcome = self._runner.step(loss)
        if outcome == _ODD_GRADIENT:
            grads = self._copies()
            return outcome if grads is None else self._runner.step(loss, grads)
        return outcome

    def take_lr(self) -> None:
        """Read the learning rates again where they have changed."""
        for group, lr in self._lrs:
            if group["lr"] is not lr:
                self._read_lr()
                break

    @property
    def address(self) -> int | None:
        """Address of the compiled run; None on a GPU, and where it maximizes."""
        return self._runner.address if self.on_host and self.sign > 0 else None

    @property
    def free_rows(self) -> int:
        """Steps until the rows of Diagnostics are full."""
        return FUSED_ROWS - (0 if self._rows is None else int(self._rows.filled[0]))

    def _read_lr(self) -> None:
        self._lrs = [(group, _held_lr(group)) for group, _ in self._lrs]
        for block in self._table.blocks:
            block.set_lr()
        self._runner.set_lr()
        self._note_lr()

    def _note_lr(self) -> None:
        if self._rows is not None:
            top = max(float(group["lr"]) for group in self.groups)
            self._rows.lrs.append((int(self._rows.filled[0]), top))

    @torch.no_grad()
    def _copies(self) -> tuple[Tensor, ...] | None:
        """Return the gradients laid out as the parameters; None where a dtype differs."""
        copies = []
        for block in self._table.blocks:
            grad = block.param.grad
            if grad is None or grad.dtype != block.param.dtype:
                return None
            dense = grad if grad.layout == torch.strided else grad.to_dense()
            same = type(dense) is Tensor and dense.stride() == block.param.stride()
            copies.append(dense if same else torch.empty_like(block.param).copy_(dense))
        return tuple(copies)


def make_plan(run: OptimizerView) -> FusedPlan | None:
    """Return a plan; None where the next step is one of the reference form.

    Args:
        run: The optimizer's.

    Returns:
        The plan.
    """
    return FusedPlan(run) if lasting_reason(run) is None and _passing_reason(run) is None else None


def _held_lr(group: Mapping[str, Any]) -> Any:
    """Return the value that ``lr`` must still have; None if a tensor can change it."""
    return object() if isinstance(group["lr"], Tensor) else group["lr"]


def _table(run: OptimizerView) -> ParamTable:
    sizes = [p.numel() for group in run.groups for p in group["params"]]
    begins, total = run.lay_out(sizes)
    blocks, absent = [], []
    places = iter(begins)
    entries: list[Any] = []
    lists: list[Any] = []
    for group in run.groups:
        lists += (group["params"], tuple(group["params"]))
        for key, value in group.items():
            if key not in ("lr", "params"):
                entries += (group, key, value)
        for p in group["params"]:
            begin = next(places)
            if p.grad is None:
                absent.append(p)
                continue
            own = run.state[p]
            own["direction"] = _as_param(own["direction"], p)
            scale = group.get("scale", 1.0)
            factor = run.factors[p] if scale in _SHARED else scale
            moment = None
            if scale == MOMENTS:
                moment = own["second_moment"] = _as_param(own["second_moment"], p)
                entries += (own, "second_moment", moment)
            blocks.append(ParamBlock(p, own["direction"], group, factor, begin, moment))
            entries += (own, "direction", own["direction"])
    for key, value in run.trajectory.items():
        entries += (run.trajectory, key, value)
    return ParamTable(blocks, absent, total, tuple(entries), tuple(lists))


def _as_param(momentum: Tensor, p: Tensor) -> Tensor:
    """Return a momentum with the strides of its parameter."""
    if momentum.stride() == p.stride():
        return momentum
    return torch.empty_like(p, dtype=momentum.dtype).copy_(momentum)
