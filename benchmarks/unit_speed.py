"""Compare the flows and integrators of ECDq1: on digits, and against the stationary law.

Usage: python -m benchmarks.unit_speed [digits] [law]    (both: about five minutes on one core)
"""

from __future__ import annotations

import itertools
import math
import statistics
import sys
import time
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
import torch

from ecd_tune.optim import ECDq1
from ecd_tune.optim.batched.unit_speed import BatchedECDq1
from ecd_tune.records import Stage
from ecd_tune.tasks.digits import make
from ecd_tune.theory import Basin, bounce_cosine

KINDS = list(itertools.product(("exact", "first_order"), ("algorithm1", "sync")))
SEEDS, STEPS = 5, 190
N, CHAINS, NU = 24, 256, 0.5


def trained(seed: int, build: Callable[..., Any]) -> tuple[float, float, float]:
    """Train the digits MLP, and return training loss, validation loss and accuracy."""
    problem = make().build(seed, Stage.SEARCH)
    optimizer = build(problem.parameters)
    for step in range(STEPS):
        loss = problem.closure(step)
        optimizer.step(lambda loss=loss: loss)
    train, val = problem.evaluate("train"), problem.evaluate("val")
    return train["loss"], val["loss"], val["accuracy"]


def row(name: str, build: Callable[..., Any]) -> None:
    """Print means over the seeds, and the range of the accuracy."""
    begin = time.perf_counter()
    runs = [trained(seed, build) for seed in range(SEEDS)]
    train, val, accuracy = (statistics.fmean(column) for column in zip(*runs, strict=True))
    each = [run[2] for run in runs]
    seconds = (time.perf_counter() - begin) / SEEDS
    print(
        f"| {name} | {train:.3f} | {val:.3f} | {accuracy:.3f} ({min(each):.3f}-{max(each):.3f}) "
        f"| {seconds:.2f} |",
        flush=True,
    )


def digits() -> None:
    print(f"digits, MLP 64-32-10, {STEPS} steps of 64, {SEEDS} seeds, means\n")
    print("| setting | train loss | val loss | val accuracy | s a run |\n|---|---|---|---|---|")
    row("AdamW .003", lambda p: torch.optim.AdamW(p, lr=3e-3))
    row("AdamW .01", lambda p: torch.optim.AdamW(p, lr=1e-2))
    for eta, lr, (flow, integrator) in itertools.product((10.0, 100.0), (0.3, 1.0, 3.0), KINDS):
        options: Mapping[str, Any] = {"eta": eta, "lr": lr, "flow": flow, "integrator": integrator}
        row(f"η {eta:g}, Δt̂ {lr:g}, {flow}, {integrator}",
            lambda p, options=options: ECDq1(p, seed=0, **options))  # fmt: skip


def sampled(eta: float, options: Mapping[str, Any], steps: int, burn_in: int) -> np.ndarray:
    """Run chains on F = 1 + |θ|² from the law itself, and return F − Fmin of each, averaged."""
    rng = np.random.default_rng(0)
    x = rng.beta(N / 2, (eta - 1) * N / 2, size=CHAINS)
    theta = rng.standard_normal((CHAINS, N))
    theta *= (np.sqrt(x / (1 - x)) / np.linalg.norm(theta, axis=1))[:, None]
    optimizer = BatchedECDq1(
        [torch.from_numpy(theta)], list(range(CHAINS)), [{"eta": eta, **options}] * CHAINS
    )
    total = torch.zeros(CHAINS, dtype=torch.float64)
    everyone = torch.ones(CHAINS, dtype=torch.bool)
    for step in range(steps):
        (theta,) = optimizer.params
        gap = theta.square().sum(1)
        total += gap if step >= burn_in else 0.0
        optimizer.step(1 + gap, [2 * theta], everyone)
    return (total / (steps - burn_in)).numpy()


def law() -> None:
    print(f"\nF = 1 + |θ|², n = {N}, F0 = 0, ν̂ = {NU}, {CHAINS} chains of 3000 steps:")
    print("mean F − Fmin over what the law ∝ (F−F0)^{−ηn/2} predicts, less 1, in %\n")
    print("| η | Δt̂ | " + " | ".join(" ".join(kind) for kind in KINDS) + " |")
    print("|---|---|" + "---|" * len(KINDS))
    cosine = float(bounce_cosine(N, NU / math.sqrt(N)))
    for eta, lr in itertools.product((1.5, 2.0, 4.0), (0.1, 1.0, 3.0)):
        cells = []
        for flow, integrator in KINDS:
            options = {"lr": lr, "nu": NU, "flow": flow, "integrator": integrator}
            own = eta if integrator == "sync" else 2 * eta / (1 + cosine)
            basin = Basin(
                n=N, eta=own, F_min=1.0, F0=0.0, curvature=1.0, F_init=2.0, s=0, delta_energy=1.0
            )
            ratio = sampled(eta, options, 3000, 300) / float(basin.plateau_gap())
            error = 100 * ratio.std() / math.sqrt(CHAINS)
            cells.append(f"{100 * (ratio.mean() - 1):+.1f} ± {error:.1f}")
        print(f"| {eta:g} | {lr:g} | " + " | ".join(cells) + " |", flush=True)


def main() -> None:
    torch.set_num_threads(1)
    print(f"torch {torch.__version__}\n")
    for part in sys.argv[1:] or ["digits", "law"]:
        {"digits": digits, "law": law}[part]()


if __name__ == "__main__":
    main()
