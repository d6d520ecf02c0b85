"""Run chains with the compiled step, for the same checks of the theory."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import torch
from torch import Tensor

from ecd_tune.errors import HyperparameterError
from ecd_tune.lab.chains import begin_chains, column, cut
from ecd_tune.lab.trajectory import ChainSetup, Moment
from ecd_tune.optim.driver import COUNTERS
from ecd_tune.optim.fused import cpu
from ecd_tune.optim.fused.table import (
    FUSED_COLUMNS,
    FusedRules,
    ParamBlock,
    ParamTable,
    Rows,
    Scalars,
)
from ecd_tune.optim.monitoring.step_recorder import COLUMNS
from ecd_tune.optim.params.noise import aligned
from ecd_tune.optim.unit_speed.step import COUNTERS as UNIT_COUNTERS
from ecd_tune.theory import Array

__all__ = ["run_fused_chains", "turn_fused_cosines"]

_ROWS = 256
"""Rows that the compiled step keeps of each chain."""
_TURNS_AT_ONCE = 200_000


def run_fused_chains(setup: ChainSetup, steps: int, rng: np.random.Generator) -> Iterator[Moment]:
    """Run B chains on the CPU with the compiled step, which makes its own noise.

    Args:
        setup: The chains.
        steps: Number of steps.
        rng: Source of the seeds of their noise.

    Yields:
        The chains at each step.

    Raises:
        HyperparameterError: There is no compiled step.
    """
    chains = _Chains(setup, rng)
    for t in range(steps):
        theta = torch.cat(chains.theta, dim=1)
        loss, gradient = setup.landscape(theta.numpy())
        numbers = chains.step(loss, gradient)
        yield Moment(
            t=t,
            theta=theta.numpy(),
            loss=loss,
            gradient=gradient,
            log_potential=numbers["log_potential"],
            log_p=numbers["log_p"],
            log_energy=numbers["log_energy"],
            moved=(torch.cat(chains.theta, dim=1) - theta).numpy(),
            held=numbers["held"] > 0,
            unreachable=(numbers["unreachable"] > 0) & (numbers["made"] > 0),
        )


def turn_fused_cosines(n: int, nu: float, count: int, rng: np.random.Generator) -> Array:
    """Turn momenta once, by compiled steps without a force.

    Args:
        n: Dimension.
        nu: Chaos strength ν.
        count: Number of independent turns.
        rng: Source of the seeds of their noise.

    Returns:
        The cosines of the angles, ``[count]``.

    Raises:
        HyperparameterError: There is no compiled step.
    """
    rows = min(count, max(1, _TURNS_AT_ONCE // n), _ROWS)
    direction = np.zeros((rows, n))
    direction[:, 0] = 1.0
    setup = ChainSetup(
        lambda theta: (np.ones(len(theta)), np.zeros_like(theta)),
        np.zeros((rows, n)), direction, lr=1.0, eta=1.0, nu=nu, integrator="algorithm1",
        conserve=False,
    )  # fmt: skip
    chains, cosines = _Chains(setup, rng), []
    for _ in range(-(-count // rows)):
        (momentum,) = chains.momentum
        momentum.copy_(torch.from_numpy(direction))
        chains.step(*setup.landscape(setup.theta))
        cosines.append((momentum[:, 0] / momentum.norm(dim=1)).numpy())
    return np.concatenate(cosines)[:count]


class _Chains:
    """B chains of the compiled step."""

    def __init__(self, setup: ChainSetup, rng: np.random.Generator) -> None:
        problem = cpu.problem()
        if problem is not None:
            raise HyperparameterError(f"no fused chains: {problem}")
        self._setup, trials = setup, len(setup.theta)
        self.theta = [block.contiguous() for block in cut(np.array(setup.theta), setup)]
        self.momentum = [block.contiguous() for block in cut(np.array(setup.direction), setup)]
        scalars = _scalars(setup)
        block = torch.zeros((trials, _ROWS, FUSED_COLUMNS), dtype=torch.float64)
        self._rows = Rows(block, torch.zeros(trials, dtype=torch.int64))
        self._everywhere = torch.ones(trials, dtype=torch.bool)
        seeds = [int(seed) for seed in rng.integers(2**62, size=trials)]
        lr = column(setup.lr, trials).tolist()
        self._runner = cpu.BatchRunner(
            [self._table(b, lr[b]) for b in range(trials)],
            _rules(setup, seeds),
            scalars,
            self._rows,
            (self.theta, self.momentum, []),
        )

    def step(self, loss: Array, gradient: Array) -> dict[str, Array]:
        """Make a step, and return its rows for Diagnostics."""
        self._rows.filled.zero_()
        grads = [block.contiguous() for block in cut(gradient, self._setup)]
        self._runner.step(torch.from_numpy(np.ascontiguousarray(loss)), grads, self._everywhere)
        numbers = self._rows.block[:, 0].clone().unbind(1)
        return {name: x.numpy() for name, x in zip(COLUMNS, numbers, strict=False)}

    def _table(self, row: int, lr: float) -> ParamTable:
        blocks, total = [], 0
        for theta, momentum in zip(self.theta, self.momentum, strict=True):
            total = aligned(total, theta[row].numel())
            blocks.append(ParamBlock(theta[row], momentum[row], {"lr": lr}, 1.0, total))
            total += theta[row].numel()
        return ParamTable(blocks, (), total, (), ())


def _scalars(setup: ChainSetup) -> Scalars:
    trials = len(setup.theta)
    zero = torch.zeros(trials, dtype=torch.float64)
    count, yes = zero.long(), torch.ones(trials, dtype=torch.bool)
    names = UNIT_COUNTERS if setup.flow else COUNTERS
    known: dict[str, Tensor] = {
        "log_p": zero,
        "log_scale": zero,
        "mean_moment": zero,
        "started": yes,
        "converged": ~yes,
        "updates": count,
        "first_bad": count - 1,
        "counts": count.expand(len(names), trials),
        "steps": count,
    }
    if not setup.flow:
        _, phase = begin_chains(setup)
        separable = {"log_p": phase.log_p, "log_energy": phase.log_energy, "shift": zero}
        known |= {**separable, "stopped": ~yes}
    return Scalars(known, torch.device("cpu"))


def _rules(setup: ChainSetup, seeds: list[int]) -> list[FusedRules]:
    columns = [column(x, len(seeds)).tolist() for x in (setup.eta, setup.nu, setup.F0, setup.s)]
    exact = setup.flow == "exact"
    return [
        FusedRules(
            unit_speed=setup.flow is not None,
            sync=setup.integrator == "sync",
            seed=seed,
            maximize=False,
            eta=eta,
            nu=nu,
            F0=F0,
            conserve=exact or setup.conserve,
            eps2=0.0,
            s=int(s),
            eps1=1e-10,
            exact=exact,
        )
        for seed, eta, nu, F0, s in zip(seeds, *columns, strict=True)
    ]
