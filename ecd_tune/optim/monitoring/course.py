"""How a whole run went: sums over equal stretches of it, of numbers that its steps compute anyway.

The length of a run is not known beforehand, so the stretches double: there are never more than 32,
and never fewer than 17 once there are 17 steps. Only steps that are made are counted.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

__all__ = ["Course", "CourseRecorder"]

_STRETCHES = 32
_LEAST = 20
"""Smallest number of steps for which the end of a run is reported."""
_SUMS = (
    "made", "hot", "loss", "square", "gap", "inverse", "log_gap", "w", "turned", "fall", "path",
    "bound",
)  # fmt: skip


class Course(NamedTuple):
    """One run; NaN where something is not known. φ = F + ½ wd |Θ|² − F0, and that + F0 is the loss.

    The tail is the last three fifths of the run, the end the last of them. Distances are those in
    which each tensor is divided by its scale.
    """

    steps: float
    """Steps made."""
    share_hot: float
    """Share of them with V > 𝓔 for s = 1, and with a loss above the first one else."""
    loss_start: float
    """The first loss at which Δt > 0."""
    loss_early: float
    """Mean of the first stretch."""
    loss_end: float
    """Mean of the end."""
    noise: float
    """Standard deviation of a loss at the end."""
    gap_start: float
    """φ at the first loss."""
    gap_end: float
    """Mean φ of the end."""
    path: float
    """Σ|ΔΘ|; where groups differ in ``lr``, at most that."""
    path_bound: float
    """ΣΔt, which it cannot exceed for s = 1 and at unit speed; else NaN."""
    path_needed: float
    """φ/|∇φ| at the first loss: the way to φ = 0 if it fell evenly, and for convex φ at least."""
    fall: float
    """Σ|∇φ||ΔΘ|/φ of the tail: by how much log φ could have fallen, to first order. No step counts
    for more than 1."""
    orbit_step: float
    """Mean angle of an orbit that a step of the tail is, ½ |G||ΔΘ|, in radians."""
    drift: float
    """Range of the means of log φ of the three fifths of the tail."""
    plateau_gap: float
    """Height of the loss above its floor if the end is a plateau of the stationary law, at most:
    where the loss is flat in some directions, it is less."""
    plateau_floor: float
    """That floor, at least."""


class CourseRecorder:
    """Sums from the first step on; :class:`~ecd_tune.optim.monitoring.step_recorder.Sums`."""

    def __init__(self) -> None:
        self._count = 0
        self._sums: Tensor | None = None
        self._start: Tensor | None = None

    def read(self, eta: Tensor, limited: Tensor, integrator: str) -> list[Course]:
        """Wait for the device, and return how the runs went so far.

        Args:
            eta: Exponent η, 0-d or ``[B]``.
            limited: Whether no step is longer than Δt, alike.
            integrator: ``"algorithm1"`` or ``"sync"``.

        Returns:
            One entry per run.
        """
        rows = eta.numel()
        if self._sums is None or self._start is None:
            return [Course(0.0, *[math.nan] * (len(Course._fields) - 1))] * rows
        sums = self._sums.double().numpy(force=True).reshape(_STRETCHES, len(_SUMS), rows)
        start = self._start.numpy(force=True).reshape(3, rows)
        etas, bounds = (x.reshape(-1).tolist() for x in (eta, limited))
        used = -(-self._count // _length(self._count))
        return [
            self._course(
                sums[:used, :, row], start[:, row], etas[row], bounds[row], integrator == "sync"
            )
            for row in range(rows)
        ]

    def _course(
        self,
        sums: npt.NDArray[np.float64],
        start: npt.NDArray[np.float64],
        eta: float,
        limited: bool,
        sync: bool,
    ) -> Course:
        whole = dict(zip(_SUMS, sums.sum(0).tolist(), strict=True))
        loss, gap, needed = start.tolist()
        early = dict(zip(_SUMS, sums[0].tolist(), strict=True))
        fifth = len(sums) // 5 if self._count >= _LEAST else 0
        parts = [sums[len(sums) - k * fifth :][:fifth].sum(0).tolist() for k in (3, 2, 1)]
        tail = [dict(zip(_SUMS, part, strict=True)) for part in parts]
        end = tail[-1]
        levels = [_ratio(part["log_gap"], part["made"]) for part in tail]
        mean = {name: _ratio(end[name], end["made"]) for name in _SUMS}
        height = _height(mean, eta, sync)
        fall, made = (sum(part[name] for part in tail) for name in ("fall", "made"))
        away = mean["loss"]  # from the first loss, and so in the two that follow
        return Course(
            steps=whole["made"],
            share_hot=_ratio(whole["hot"], whole["made"]),
            loss_start=loss,
            loss_early=loss + _ratio(early["loss"], early["made"]),
            loss_end=loss + away,
            noise=math.sqrt(max(0.0, mean["square"] - away**2)) if fifth else math.nan,
            gap_start=gap,
            gap_end=mean["gap"],
            path=whole["path"],
            path_bound=whole["bound"] if limited else math.nan,
            path_needed=needed,
            fall=fall if fifth else math.nan,
            orbit_step=0.5 * eta * _ratio(fall, made),
            drift=max(levels) - min(levels),
            plateau_gap=height,
            plateau_floor=loss + away - height,
        )

    def take(self, columns: Mapping[str, Tensor]) -> None:
        """Add steps; see :class:`~ecd_tune.optim.monitoring.step_recorder.Sums`."""
        made, gap, speed = columns["made"], columns["gap"], columns["speed"]
        bounded = columns["s"] == 1
        force, step = (columns[key] * columns["pace"] for key in ("force_norm", "top_lr"))
        loss = gap + columns["F0"]
        first = _first(made & (force > 0), torch.stack([loss, gap, gap * step / force]))
        before = self._start
        start = first if before is None else torch.where(before.isnan(), first, before)
        excess = columns["log_potential"] - columns["log_energy"]
        away = loss - start[0]
        terms = {
            "made": torch.ones_like(gap),
            "hot": torch.where(bounded, excess > 0, away > 0),
            "loss": away,
            "square": away.square(),
            "gap": gap,
            "inverse": 1 / gap,
            "log_gap": columns["log_gap"],
            "w": torch.where(bounded, torch.exp(excess.clamp(max=0.0)), 0.0),
            "turned": torch.nan_to_num(columns["turned"], nan=1.0).square(),
            "fall": (force * speed / gap).clamp(max=1.0),
            "path": step * speed,
            "bound": step,
        }
        rows = [torch.where(made, terms[name].double(), 0.0) for name in _SUMS]
        self._add(torch.stack(rows, dim=1))
        self._start = start

    def _add(self, rows: Tensor) -> None:
        """Add rows, ``[T, S]`` or ``[T, S, B]``, to their stretches.

        In an order that depends on the steps alone, and not on how many come at once: what was
        saved in between must not change a bit.
        """
        sums, count = self._sums, self._count
        if sums is None:
            sums = rows.new_zeros((_STRETCHES, *rows.shape[1:]))
        while len(rows):
            length = _length(count + 1)
            if length > _length(count):
                pairs = sums.reshape(_STRETCHES // 2, 2, *sums.shape[1:]).sum(1)
                sums = torch.cat([pairs, torch.zeros_like(pairs)])
            part = rows[: length * _STRETCHES - count]
            place = torch.arange(count, count + len(part), device=rows.device) // length
            sums = sums.index_add(0, place, part)
            rows, count = rows[len(part) :], count + len(part)
        self._sums, self._count = sums, count

    # ------------------------------------------------------- saving and restoring

    def state_dict(self, zero: Tensor) -> dict[str, Tensor]:
        """Return the sums so far.

        Args:
            zero: 0.0, float64, with the shape and device of the scalars of a step.

        Returns:
            ``course``, ``course_start`` and ``course_steps``.
        """
        sums, start = self._sums, self._start
        if sums is None or start is None:
            sums = zero.new_zeros((_STRETCHES, len(_SUMS), *zero.shape))
            start = zero.new_full((3, *zero.shape), math.nan)
        steps = torch.tensor(self._count, dtype=torch.int64, device=zero.device)
        return {"course": sums, "course_start": start, "course_steps": steps}

    def load_state_dict(self, state: Mapping[str, Tensor]) -> None:
        """Continue with saved sums; where there are none, from here on.

        Args:
            state: What :meth:`state_dict` returned.
        """
        self._count = int(state.get("course_steps", 0))
        self._sums = state["course"] if self._count else None
        self._start = state["course_start"] if self._count else None


def _length(count: int) -> int:
    """Return the steps of a stretch, a power of 2, when there are so many in all."""
    return 1 << max(0, -(-count // _STRETCHES) - 1).bit_length()


def _first(usable: Tensor, values: Tensor) -> Tensor:
    """Return the values, ``[3, T, ...]``, of the first usable step, ``[3, ...]``; NaN without."""
    place = usable.int().argmax(0)
    found = torch.gather(values, 1, place.expand(1, *place.shape)[None].expand(3, 1, *place.shape))
    return torch.where(usable.any(0), found[:, 0], math.nan)


def _ratio(total: float, count: float) -> float:
    return total / count if count else math.nan


def _height(mean: Mapping[str, float], eta: float, sync: bool) -> float:
    """Return D/(η_eff − 1) of the plateau of which these are means.

    The law is that of a quadratic basin of many dimensions. λ comes from the turns that were seen,
    and w = V/𝓔 makes η_eff larger by 1/(1 − w) for s = 1: both integrators then have
    E[(F − Fmin)/(F − F0)] = 1/η_eff. D follows from the harmonic mean, E[1/(F−F0)] = (1−1/η_eff)/D.
    """
    rotation = 1 / math.sqrt(max(1.0, mean["turned"]))
    sampled = eta if sync else 2 * eta / (1 + rotation)
    return mean["gap"] - (1 - (1 - mean["w"]) / sampled) / mean["inverse"]
