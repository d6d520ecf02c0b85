"""Input of a fused step, for all devices."""

from __future__ import annotations

import enum
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

import torch
from torch import Tensor

from ecd_tune.optim.params.noise import BLOCK, aligned

__all__ = [
    "FUSED_COLUMNS",
    "FUSED_ROWS",
    "BatchRunner",
    "ParamBlock",
    "FusedRules",
    "StepOutcome",
    "Rows",
    "Runner",
    "Scalars",
    "ParamTable",
]


FUSED_ROWS, FUSED_COLUMNS = 256, 17
"""Steps, and numbers of each, that a fused form keeps for Diagnostics."""


@dataclass(frozen=True)
class FusedRules:
    """The hyperparameters, as numbers.

    Attributes:
        unit_speed: The step is that of ECDq1, else of ECDSep.
        sync: Kick, turn, kick, drift instead of kick, drift, turn.
        seed: Of the noise.
        maximize: Gradients and losses are turned round.
        eta: η.
        nu: ν, of ECDq1 ν̂.
        F0: As given, without shifts.
        conserve: Rescale Π to the energy surface; of ECDq1, set |p| to 1.
        eps2: ε2; of ECDSep of V, of ECDq1 of the gap.
        s: Of ECDSep.
        eps1: ε1 of ECDSep.
        on_gap: Of ECDSep.
        shift_factor: Depths by which ``on_gap="shift"`` lowers F0.
        shifts_early: V < ε2 lowers F0 too (Algorithm 2).
        resets_energy: 𝓔 is measured again when F0 is lowered.
        exact: ECDq1 follows the exact flow.
    """

    unit_speed: bool
    sync: bool
    seed: int
    maximize: bool
    eta: float
    nu: float
    F0: float
    conserve: bool
    eps2: float
    s: int = 0
    eps1: float = 0.0
    on_gap: str = "hold"
    shift_factor: float = 5.0
    shifts_early: bool = False
    resets_energy: bool = False
    exact: bool = False

    @classmethod
    def of(
        cls, values: Mapping[str, Any], seed: int, *, unit_speed: bool, maximize: bool = False
    ) -> FusedRules:
        """Read checked hyperparameters of ECDSep, Algorithm 2 or ECDq1; none of them ``"auto"``.

        Args:
            values: Name to value.
            seed: Of the noise.
            unit_speed: They are ECDq1's.
            maximize: Gradients and losses are turned round.

        Returns:
            The rules.
        """
        shared = {
            "unit_speed": unit_speed,
            "sync": values["integrator"] == "sync",
            "seed": seed,
            "maximize": maximize,
            **{key: values[key] for key in ("eta", "nu", "F0", "eps2")},
        }
        if unit_speed:
            exact = values["flow"] == "exact"
            return cls(**shared, exact=exact, conserve=exact or values["conserve_energy"])
        lowers = {"shift_factor": values["shift_factor"]} if "shift_factor" in values else {}
        return cls(
            **shared,
            **lowers,
            conserve=values["conserve_energy"],
            s=values["s"],
            eps1=values["eps1"],
            on_gap=values.get("on_gap", "shift"),
            shifts_early=bool(lowers),
            resets_energy=values.get("reset_energy", False),
        )

    @property
    def log_eps1(self) -> float:
        """Logarithm of ε1."""
        return math.log(self.eps1) if self.eps1 > 0 else -math.inf

    @property
    def log_eps2(self) -> float:
        """Logarithm of ε2 where it bounds V, else -inf."""
        return math.log(self.eps2) if self.eps2 > 0 and not self.unit_speed else -math.inf


@dataclass
class ParamBlock:
    """One parameter with a gradient.

    Attributes:
        param: The parameter; real, dense.
        momentum: Its part of the momentum, laid out as the parameter; float64 of a float64
            parameter, else float32. Its norm over all blocks is not 1: each step divides it out.
        group: Its parameter group.
        scale: Factor of its Δt, but not those of each number.
        moment: Second moments, laid out as the momentum; None where its scale is not
            ``"moments"``.
        begin: Number of its first element in the vector of all parameters.
        lr: Δt, scale included.
        weight_decay: wd in the loss.
        rate: Δt wd where it is decoupled, without the scale.
    """

    param: Tensor
    momentum: Tensor
    group: Mapping[str, Any]
    scale: float
    begin: int
    moment: Tensor | None = None
    lr: float = field(init=False)
    weight_decay: float = field(init=False)
    rate: float = field(init=False)

    def __post_init__(self) -> None:
        self.set_lr()

    def set_lr(self) -> None:
        """Read step size and weight decay from the group."""
        lr, wd = float(self.group["lr"]), float(self.group.get("weight_decay", 0.0))
        decoupled = self.group.get("decoupled_weight_decay", False)
        self.lr = lr * self.scale
        self.weight_decay, self.rate = (0.0, lr * wd) if decoupled else (wd, 0.0)


@dataclass
class ParamTable:
    """The blocks of a step, and the properties that must not change while it is used.

    Attributes:
        blocks: The parameters that have a gradient.
        absent: Those that have none.
        total: Length of the vector of all parameters.
        entries: Dictionaries with a key and the very object under it, flat.
        lists: Lists with a tuple of their very items, flat.
    """

    blocks: Sequence[ParamBlock]
    absent: Sequence[Tensor]
    total: int
    entries: tuple[Any, ...]
    lists: tuple[Any, ...]

    @property
    def size(self) -> int:
        """Numbers that move."""
        return sum(b.momentum.numel() for b in self.blocks)

    @property
    def stride(self) -> int:
        """Random numbers of one step."""
        return self.total if self.total < BLOCK else aligned(self.total, BLOCK)

    @property
    def double_noise(self) -> bool:
        """The noise is made to the precision of float64."""
        return all(b.momentum.dtype == torch.float64 for b in self.blocks)

    @property
    def rounding(self) -> float:
        """Root of the rounding error of the coarsest momentum."""
        return math.sqrt(max(torch.finfo(b.momentum.dtype).eps for b in self.blocks))

    @property
    def tiny(self) -> float:
        """Smallest norm that a momentum can be divided by."""
        return 1e-300 if self.double_noise else 1e-37


class Scalars:
    """The scalars of a run, or of B runs, in a few tensors; the trajectory holds views of them.

    Args:
        trajectory: The scalars by name, 0-d or ``[B]``; its values are replaced by the views.
        device: Where the parameters are.
    """

    def __init__(self, trajectory: dict[str, Tensor], device: torch.device) -> None:
        floats = [k for k in ("log_p", "log_energy", "shift") if k in trajectory]
        scaling = ("log_scale", "mean_moment")
        flags = [k for k in ("started", "stopped", "converged") if k in trajectory]
        held = {
            k: trajectory[k] for k in (*floats, *flags, *scaling, "updates", "first_bad", "counts")
        }
        self.floats = torch.stack([held[k] for k in floats], dim=-1)
        self.scaling = torch.stack([held[k] for k in scaling], dim=-1)
        self.flags = torch.stack([held[k] for k in flags], dim=-1)
        first = torch.stack([held["updates"], held["first_bad"]])
        self.ints = torch.cat([first, held["counts"]]).movedim(0, -1).contiguous()
        self.steps = trajectory["steps"].clone()
        views: dict[str, Tensor] = {
            **dict(zip(floats, self.floats.unbind(-1), strict=True)),
            **dict(zip(scaling, self.scaling.unbind(-1), strict=True)),
            **dict(zip(flags, self.flags.unbind(-1), strict=True)),
            "updates": self.ints[..., 0],
            "first_bad": self.ints[..., 1],
            "counts": self.ints[..., 2:].movedim(-1, 0),
            "steps": self.steps,
            "normalised": torch.zeros((), dtype=torch.bool, device=device),
        }
        trajectory.update(views)


@dataclass
class Rows:
    """Numbers of the last steps for Diagnostics.

    Attributes:
        block: float64, ``[256, 17]``, or ``[B, 256, 17]``, on the parameters' device.
        filled: Number of filled rows, int64 on the CPU, ``[1]``, or ``[B]`` with equal entries.
        complete: To be called before the last row is read, whose turn the next step would measure.
    """

    block: Tensor
    filled: Tensor
    complete: Callable[[], None] | None = None
    lrs: list[tuple[int, float | Tensor]] = field(default_factory=list)
    """Row from which on the largest Δt without scales is another one, with that."""

    def take(self) -> tuple[Tensor, ...]:
        """Return the filled rows as columns, the largest Δt last, and reset them."""
        if self.complete is not None:
            self.complete()
        filled = int(self.filled[0])
        block = self.block[..., :filled, :].movedim(-2, 0).clone()
        top = torch.empty(block.shape[:-1], dtype=torch.float64, device=block.device)
        for row, lr in self.lrs:
            top[row:] = lr
        self.filled.zero_()
        self.lrs = [(0, lr) for _, lr in self.lrs[-1:]]
        return (*block.unbind(-1), top)


class StepOutcome(enum.IntEnum):
    """Result of a request for a fused step."""

    DONE = 0
    FULL = 1
    """Done, and the rows of Diagnostics are full."""
    CHANGED = 2
    """Not made: something has changed since the table was made."""
    ODD_GRADIENT = 3
    """Not done: a gradient is not laid out as its parameter."""


class BatchRunner(Protocol):
    """A form of the fused step of B runs with the same blocks.

    Built from a table and rules for each run, the scalars and the rows of all, and the blocks,
    ``[B, …]``, of θ, momentum and second moments (none where no run has them).
    """

    def step(self, loss: Tensor, grads: Sequence[Tensor], active: Tensor) -> None:
        """Make one step.

        Args:
            loss: Float64, ``[B]``.
            grads: Laid out as the parameters.
            active: Bool, ``[B]``; a run that is not keeps everything.
        """

    def complete(self) -> None:
        """Complete the last rows of Diagnostics, whose turns the next step would measure."""


class Runner(Protocol):
    """A form of the fused step; built from table, rules, scalars and rows."""

    @property
    def address(self) -> int:
        """Address of the compiled run; on a CPU only."""

    def set_lr(self) -> None:
        """Copy the step sizes of the table."""

    def step(self, loss: Any, grads: tuple[Tensor, ...] | None = None) -> int:
        """Make one step.

        Args:
            loss: F, or -F to maximize: a number on the CPU, elsewhere float64, 0-d.
            grads: Instead of the parameters' gradients; laid out as these.

        Returns:
            The result, a :class:`StepOutcome` as a plain number.
        """

    def complete(self) -> None:
        """Complete the last row of Diagnostics, whose turn the next step would measure."""
