"""Measure a run of ECDSep or ECDq1 for the checks of the theory, one step after the other.

The run's length is known beforehand, so that nothing but sums over twentieths of it is kept:
the tail is the last twelve, and three fifths of the run are four each.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from ecd_tune.measurements import BLOCKS, TAIL_SHARE, RunMeasurements
from ecd_tune.optim.monitoring.watching import Step, StepBuffer

__all__ = ["RunMeasurer"]

_PARTS = round(BLOCKS / TAIL_SHARE)
"""Equal stretches of the whole run."""
_SUMS = ("made", "hazards", "loss", "inverse", "virial", "w", "log_gap", "turns", "cosine")


class RunMeasurer:
    """A :class:`~ecd_tune.optim.monitoring.watching.Watcher` that measures.

    Each step costs three passes over the parameters more: Θ·∇F, |z| and |ΔΘ|.

    Args:
        steps: Length of the run, in steps.
        rows: Number of runs that go together.
    """

    def __init__(self, steps: int, rows: int = 1) -> None:
        self._steps, self._rows = steps, rows
        self._seen = 0
        self._parts: list[int] = []
        self._buffer = StepBuffer(self._work)
        self._sums: Tensor | None = None
        self._longest: Tensor | None = None
        self._loss_init: Tensor | None = None
        self._known: dict[str, Tensor] = {}

    def on_step(self, step: Step) -> None:
        """Measure a step."""
        seen, info, constants = step.seen, step.info, step.constants
        total = seen.gap + constants.F0
        if not self._seen:
            self._loss_init = total
        if not self._known:
            self._known = _fixed(step)
        self._known |= {"log_energy": step.log_energy, "F0": constants.F0}
        self._parts.append(_PARTS * self._seen // self._steps)
        self._seen += 1
        self._buffer.add(
            (
                step.made,
                step.held,
                info.unreachable,
                total,
                seen.gap,
                seen.log_gap,
                step.algebra.dot(step.theta, step.grads) + 2 * (total - step.loss),
                torch.exp(seen.log_potential - step.log_energy),
                _cosine(step),
                _length(step),
            )
        )

    def _work(self, columns: Sequence[Tensor]) -> None:
        made, held, unreachable, total, gap, log_gap, pull, w, cosine, length = columns
        turns = made & cosine.isfinite()
        terms = {
            "made": made,
            "hazards": held | (made & unreachable),
            "loss": torch.where(made, total, 0.0),
            "inverse": torch.where(made, 1 / gap, 0.0),
            "virial": torch.where(made, 0.5 * self._known["eta"] * pull / gap, 0.0),
            "w": torch.where(made, w, 0.0),
            "log_gap": torch.where(made, log_gap, 0.0),
            "turns": turns,
            "cosine": torch.where(turns, cosine, 0.0),
        }
        rows = torch.stack([terms[name].double() for name in _SUMS], dim=1)
        parts, self._parts = torch.tensor(self._parts, device=rows.device), []
        if self._sums is None:
            self._sums = rows.new_zeros((_PARTS, *rows.shape[1:]))
        self._sums = self._sums.index_add(0, parts, rows)
        longest = torch.where(made, length, 0.0).amax(0)
        before = self._longest
        self._longest = longest if before is None else torch.maximum(before, longest)

    # ------------------------------------------------------------------ reading

    def read(self) -> list[RunMeasurements | None]:
        """Wait for the device, and return what was measured.

        Returns:
            One entry per run; None where it did not go to its end, is shorter than twenty steps,
            or has a twelfth of its tail in which no step was made.
        """
        self._buffer.flush()
        if self._sums is None or self._loss_init is None or self._longest is None:
            return [None] * self._rows
        sums = self._sums.reshape(_PARTS, len(_SUMS), -1).numpy(force=True)
        once = {**self._known, "loss_init": self._loss_init, "longest": self._longest}
        flat = {
            name: np.broadcast_to(column.double().numpy(force=True), (self._rows,))
            for name, column in once.items()
        }
        return [
            self._row(sums[:, :, row], {name: float(column[row]) for name, column in flat.items()})
            for row in range(self._rows)
        ]

    def _row(
        self, sums: npt.NDArray[np.float64], once: Mapping[str, float]
    ) -> RunMeasurements | None:
        column = dict(zip(_SUMS, sums.T, strict=True))
        made = column["made"][-BLOCKS:]
        if self._seen != self._steps or not made.all():
            return None
        tail = {name: column[name][-BLOCKS:] for name in _SUMS}
        inverse = tail["inverse"] / made
        fifths = [tail[key].reshape(3, -1).sum(1) for key in ("log_gap", "made")]
        log_gaps = fifths[0] / fifths[1]
        turns = column["turns"].sum()
        found = RunMeasurements(
            n=int(once["n"]),
            steps=self._steps,
            log_energy=once["log_energy"],
            loss_init=once["loss_init"],
            F0=once["F0"],
            s=int(once["s"]),
            delta_energy=once["delta_energy"],
            weight_decay=once["weight_decay"],
            conserve_energy=int(once["conserve"]),
            sync=int(once["sync"]),
            unit_speed=int(once["unit_speed"]),
            cos_bounce=float(column["cosine"].sum() / turns) if turns else 1.0,
            max_step_over_lr=once["longest"],
            share_hazard=float(column["hazards"].sum()) / self._steps,
            tail_loss=_mean(tail, "loss"),
            tail_inverse_gap=_mean(tail, "inverse"),
            tail_inverse_gap_se=float(inverse.std(ddof=1) / np.sqrt(BLOCKS)),
            tail_virial=_mean(tail, "virial"),
            tail_w=_mean(tail, "w"),
            tail_log_gap_1=float(log_gaps[0]),
            tail_log_gap_2=float(log_gaps[1]),
            tail_log_gap_3=float(log_gaps[2]),
        )
        return found if np.isfinite(list(found.to_metrics().values())).all() else None

    # ------------------------------------------------------- saving and restoring

    def state_dict(self) -> dict[str, Any]:
        """Return what was measured so far, of a single run."""
        self._buffer.flush()
        once = {"sums": self._sums, "longest": self._longest, "loss_init": self._loss_init}
        kept = {name: value.clone() for name, value in once.items() if value is not None}
        known = {name: value.clone() for name, value in self._known.items()}
        return {**kept, "known": known, "seen": self._seen}

    def load_state_dict(self, state: Mapping[str, Any], home: torch.device) -> None:
        """Continue.

        Args:
            state: What :meth:`state_dict` returned.
            home: Where the scalars of the steps lie.
        """
        self._buffer.clear()
        self._parts = []
        names = ("sums", "longest", "loss_init")
        found = {name: state[name].to(home, copy=True) for name in names if name in state}
        self._sums, self._longest = found.get("sums"), found.get("longest")
        self._loss_init = found.get("loss_init")
        self._known = {name: value.to(home, copy=True) for name, value in state["known"].items()}
        self._seen = int(state["seen"])


def _fixed(step: Step) -> dict[str, Tensor]:
    """Return what is the same in all steps, 0-d or ``[B]``."""
    constants, zero = step.constants, torch.zeros_like(step.constants.eta)
    size = sum(block[0].numel() if step.algebra.batched else block.numel() for block in step.theta)
    decay = zero if step.weight_decay is None else zero + _column(step.weight_decay[0])
    return {
        "n": zero + size,
        "eta": constants.eta,
        "s": constants.s,
        "delta_energy": constants.log_delta.exp(),
        "weight_decay": decay,
        "conserve": constants.conserve,
        "sync": zero + (step.integrator == "sync"),
        "unit_speed": zero + step.unit_speed,
    }


def _column(factor: float | Tensor) -> float | Tensor:
    return factor.flatten() if isinstance(factor, Tensor) else factor


def _inverses(lr: Sequence[float | Tensor]) -> list[float | Tensor]:
    # A schedule may set Δt = 0, at which nothing moves.
    return [1 / x if isinstance(x, Tensor) else 1 / x if x else 0.0 for x in lr]


def _length(step: Step) -> Tensor:
    """Return |ΔΘ|/Δt, less what rounding can add to it."""
    length = step.algebra.norm(step.algebra.times_each(step.moved, _inverses(step.lr)))
    pace = step.constants.pace
    # ΔΘ is a product of four rounded factors: a step of exactly Δt must not seem longer.
    rounding = 4 * max(torch.finfo(block.dtype).eps for block in step.moved)
    return length * (1 - rounding) if pace is None else length * (1 - rounding) / pace


def _cosine(step: Step) -> Tensor:
    """Return cos α of the turn by the law of cosines on Π̂, νz and their sum; NaN without one."""
    length = step.info.turned
    if length is None or step.noise is None:
        return torch.full_like(step.info.speed, torch.nan)
    squared = (step.constants.nu * step.algebra.norm(step.noise)).square()
    return (1 + length.square() - squared) / (2 * length)


def _mean(tail: Mapping[str, npt.NDArray[np.float64]], name: str) -> float:
    return float(tail[name].sum() / tail["made"].sum())
