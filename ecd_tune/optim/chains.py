"""Run chains with the optimizers' own step, for checks of the theory.

Every step is :func:`~ecd_tune.optim.dynamics.survey` and
:func:`~ecd_tune.optim.dynamics.advance`, the code that trains networks, so that what breaks the
integrator breaks the checks. Everything is float64 on the CPU; numpy arrays share their memory
with the tensors.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import torch
from torch import Tensor

from ecd_tune.optim import dynamics
from ecd_tune.optim.blocks import Algebra
from ecd_tune.optim.dynamics import Constants, Phase, StepInfo, Survey
from ecd_tune.optim.trajectory import Array, ChainSetup, Moment

__all__ = ["ChainRunner"]

_ROWS = Algebra(batched=True)
_TURNS_AT_ONCE = 2_000_000
"""Numbers drawn at once by :meth:`ChainRunner.turn`, to bound the memory."""


class ChainRunner:
    """Runs chains on the CPU, in float64.

    Args:
        threads: Threads that torch may use, in the whole process; None leaves them alone.
    """

    def __init__(self, threads: int | None = None) -> None:
        if threads is not None:
            torch.set_num_threads(threads)

    def run(self, setup: ChainSetup, steps: int, rng: np.random.Generator) -> Iterator[Moment]:
        """Run B chains.

        Args:
            setup: The chains.
            steps: Number of steps.
            rng: Source of the turns.

        Yields:
            The chains at each step.
        """
        theta, constants, phase = _begin(setup)
        lr = [_column(setup.lr, len(theta))[:, None]]
        for t in range(steps):
            loss, gradient = setup.landscape(theta.numpy())
            noise = None
            if np.any(setup.nu):
                noise = [torch.from_numpy(rng.standard_normal(theta.shape))]
            with torch.no_grad():
                seen = dynamics.survey(
                    _ROWS,
                    [theta],
                    torch.from_numpy(loss),
                    [torch.from_numpy(gradient)],
                    lr,
                    None,
                    constants,
                )
                moved, after, info = dynamics.advance(
                    _ROWS, phase, seen, lr, noise, constants, setup.integrator
                )
                if not bool(seen.ok.all()):
                    after = dynamics.choose(_ROWS, seen.ok, after, phase)
                    moved = _ROWS.where(seen.ok, moved, [torch.zeros_like(theta)])
                yield _moment(t, theta, loss, gradient, phase, seen, moved[0], info)
                theta, phase = theta + moved[0], after

    def turn(self, n: int, nu: float, count: int, rng: np.random.Generator) -> Array:
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


def _column(value: float | Array, rows: int) -> Tensor:
    return torch.from_numpy(np.array(np.broadcast_to(value, (rows,)), dtype=np.float64))


def _begin(setup: ChainSetup) -> tuple[Tensor, Constants, Phase]:
    theta = torch.from_numpy(np.array(setup.theta, dtype=np.float64))
    rows = len(theta)
    s, delta = _column(setup.s, rows), _column(setup.delta_energy, rows)
    constants = Constants(
        eta=_column(setup.eta, rows),
        nu=_column(setup.nu, rows),
        s=s,
        bounded=s == 1,
        F0=_column(setup.F0, rows),
        conserve=torch.full((rows,), setup.conserve),
        log_eps1=_column(np.log(1e-10), rows),
        log_eps2=_column(-np.inf, rows),
        log_delta=delta.log(),
    )
    loss = torch.from_numpy(setup.landscape(theta.numpy())[0])
    log_potential = constants.eta * torch.log(loss - constants.F0)
    if setup.log_energy is None:
        log_energy, log_p = log_potential + torch.log(s + delta), 0.5 * delta.log()
    else:
        log_energy = _column(setup.log_energy, rows)
        excess = log_energy - log_potential
        log_p = 0.5 * torch.where(s == 1, dynamics.log_expm1(excess), excess)
    direction = torch.from_numpy(np.array(setup.direction, dtype=np.float64))
    started = torch.zeros(rows, dtype=torch.int64)
    return theta, constants, Phase([direction], log_p, log_energy, started)


def _moment(
    t: int,
    theta: Tensor,
    loss: Array,
    gradient: Array,
    phase: Phase,
    seen: Survey,
    moved: Tensor,
    info: StepInfo,
) -> Moment:
    return Moment(
        t=t,
        theta=theta.numpy(),
        loss=loss,
        gradient=gradient,
        log_potential=seen.log_potential.numpy(),
        log_p=info.log_p.numpy(),
        log_energy=phase.log_energy.numpy(),
        moved=moved.numpy(),
        held=~seen.ok.numpy(),
        unreachable=info.unreachable.numpy(),
    )
