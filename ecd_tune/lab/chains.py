"""Run chains with the optimizers' own step, for checks of the theory.

Every step is :func:`~ecd_tune.optim.dynamics.evaluate_point` and
:func:`~ecd_tune.optim.dynamics.advance`, or
:func:`~ecd_tune.optim.unit_speed.step.make_unit_step`: the code that
trains networks, so that what breaks the integrator breaks the checks. Everything is float64 on the
CPU; numpy arrays share their memory with the tensors.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from ecd_tune.lab.trajectory import ChainSetup, Moment
from ecd_tune.optim import dynamics
from ecd_tune.optim.dynamics import Constants, Phase, PointInfo, StepInfo
from ecd_tune.optim.params.blocks import Algebra
from ecd_tune.optim.unit_speed.rules import read_unit_rules
from ecd_tune.optim.unit_speed.step import UnitStepInput, begin_unit, make_unit_step
from ecd_tune.theory import Array

__all__ = ["begin_chains", "column", "cut", "run_chains", "turn_cosines"]

_ROWS = Algebra(batched=True)
_TURNS_AT_ONCE = 2_000_000
"""Numbers drawn at once by :func:`turn_cosines`, to bound the memory."""


def run_chains(setup: ChainSetup, steps: int, rng: np.random.Generator) -> Iterator[Moment]:
    """Run B chains.

    Args:
        setup: The chains.
        steps: Number of steps.
        rng: Source of the turns.

    Yields:
        The chains at each step.
    """
    theta = torch.from_numpy(np.array(setup.theta, dtype=np.float64))
    chains = _UnitSpeed(setup) if setup.flow else _Separable(setup)
    for t in range(steps):
        loss, gradient = setup.landscape(theta.numpy())
        noise = None
        if np.any(setup.nu):
            noise = cut(rng.standard_normal(theta.shape), setup)
        blocks = cut(theta.numpy(), setup)
        with torch.no_grad():
            did = chains.step(blocks, torch.from_numpy(loss), cut(gradient, setup), noise)
            moved = torch.cat(did.moved, dim=1)
            if not bool(did.ok.all()):
                (moved,) = _ROWS.where(did.ok, [moved], [torch.zeros_like(moved)])
        yield _moment(t, theta, loss, gradient, did, moved)
        theta = theta + moved


def turn_cosines(n: int, nu: float, count: int, rng: np.random.Generator) -> Array:
    """Turn momenta once.

    Args:
        n: Dimension.
        nu: Chaos strength ν.
        count: Number of independent turns.
        rng: Source of the turns.

    Returns:
        The cosines of the angles, ``[count]``.
    """
    cosines: list[Array] = []
    while (left := count - sum(map(len, cosines))) > 0:
        rows = min(left, max(1, _TURNS_AT_ONCE // n))
        e = torch.zeros(rows, n, dtype=torch.float64)
        e[:, 0] = 1.0
        log_p, strength = torch.zeros_like(e[:, 0]), torch.full_like(e[:, 0], nu)
        noise = torch.from_numpy(rng.standard_normal((rows, n)))
        (turned,), _ = dynamics.turn(_ROWS, [e], log_p, [noise], strength)
        cosines.append(turned[:, 0].numpy())
    return np.concatenate(cosines)


class _StepResult(NamedTuple):
    """Events of a step; ``moved`` may be NaN where it is not ``ok``."""

    ok: Tensor
    moved: list[Tensor]
    seen: PointInfo
    info: StepInfo
    log_energy: Tensor


class _Separable:
    """Steps of ECDSep."""

    def __init__(self, setup: ChainSetup) -> None:
        self._constants, self._phase = begin_chains(setup)
        self._lr, self._integrator = column(setup.lr, len(setup.theta))[:, None], setup.integrator

    def step(
        self, theta: list[Tensor], loss: Tensor, grads: list[Tensor], noise: list[Tensor] | None
    ) -> _StepResult:
        lr, phase = [self._lr] * len(theta), self._phase
        seen = dynamics.evaluate_point(_ROWS, theta, loss, grads, lr, None, self._constants)
        moved, after, info = dynamics.advance(
            _ROWS, phase, seen, lr, noise, self._constants, self._integrator
        )
        everywhere = bool(seen.ok.all())
        self._phase = after if everywhere else dynamics.choose(_ROWS, seen.ok, after, phase)
        return _StepResult(seen.ok, moved, seen, info, phase.log_energy)


class _UnitSpeed:
    """Steps of ECDq1."""

    def __init__(self, setup: ChainSetup) -> None:
        rows, self._n = np.shape(setup.theta)
        self._lr = column(setup.lr, rows)[:, None]
        columns = np.broadcast_arrays(setup.eta, setup.nu, setup.F0, np.empty(rows))
        same = {"integrator": setup.integrator, "flow": setup.flow, "eps2": 0.0}
        values = [
            {"eta": eta, "nu": nu, "F0": F0, "conserve_energy": setup.conserve, **same}
            for eta, nu, F0, _ in zip(*columns, strict=True)
        ]
        self._rules = read_unit_rules(values, torch.device("cpu"), single=False)
        self._everywhere = torch.ones(rows, dtype=torch.bool)
        state = begin_unit(torch.zeros(rows, dtype=torch.float64))
        self._state = state._replace(started=self._everywhere)
        self._e, self._t = cut(setup.direction, setup), 0

    def step(
        self, theta: list[Tensor], loss: Tensor, grads: list[Tensor], noise: list[Tensor] | None
    ) -> _StepResult:
        lr = [self._lr] * len(theta)
        point = UnitStepInput(theta, loss, grads, lr, self._lr, None, self._n, self._t)
        made = make_unit_step(
            _ROWS, point, self._e, self._state, self._rules, noise, self._everywhere, starting=False
        )
        self._e = _ROWS.where(made.go, made.e, self._e)
        self._state, self._t = made.state, self._t + 1
        return _StepResult(made.go, made.moved, made.seen, made.info, made.log_energy)


def cut(values: Array, setup: ChainSetup) -> list[Tensor]:
    """Return the blocks of ``[B, n]``."""
    whole = torch.from_numpy(np.asarray(values, dtype=np.float64))
    return list(whole.tensor_split(setup.cuts, dim=1))


def column(value: float | Array, rows: int) -> Tensor:
    """Return a column as float64 ``[rows]``."""
    return torch.from_numpy(np.array(np.broadcast_to(value, (rows,)), dtype=np.float64))


def begin_chains(setup: ChainSetup) -> tuple[Constants, Phase]:
    """Return what does not change, and where chains of ECDSep begin in phase space."""
    rows = len(setup.theta)
    s, delta = column(setup.s, rows), column(setup.delta_energy, rows)
    constants = Constants(
        eta=column(setup.eta, rows),
        nu=column(setup.nu, rows),
        s=s,
        bounded=s == 1,
        F0=column(setup.F0, rows),
        conserve=torch.full((rows,), setup.conserve),
        log_eps1=column(np.log(1e-10), rows),
        log_eps2=column(-np.inf, rows),
        log_delta=delta.log(),
    )
    loss = torch.from_numpy(setup.landscape(np.asarray(setup.theta, dtype=np.float64))[0])
    log_potential = constants.eta * torch.log(loss - constants.F0)
    if setup.log_energy is None:
        log_energy, log_p = log_potential + torch.log(s + delta), 0.5 * delta.log()
    else:
        log_energy = column(setup.log_energy, rows)
        excess = log_energy - log_potential
        log_p = 0.5 * torch.where(s == 1, dynamics.log_expm1(excess), excess)
    started = torch.zeros(rows, dtype=torch.int64)
    return constants, Phase(cut(setup.direction, setup), log_p, log_energy, started)


def _moment(
    t: int, theta: Tensor, loss: Array, gradient: Array, did: _StepResult, moved: Tensor
) -> Moment:
    return Moment(
        t=t,
        theta=theta.numpy(),
        loss=loss,
        gradient=gradient,
        log_potential=did.seen.log_potential.numpy(),
        log_p=did.info.log_p.numpy(),
        log_energy=did.log_energy.numpy(),
        moved=moved.numpy(),
        held=~did.ok.numpy(),
        unreachable=did.info.unreachable.numpy(),
    )
