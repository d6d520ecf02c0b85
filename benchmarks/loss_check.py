"""Count how often a loss is doubted, on digits: the right one, and wrong ones.

Usage: python -m benchmarks.loss_check [ecdsep] [ecdq1]    (about two and four minutes)

ECDSep doubts by itself. For ECDq1, which does not compare, ∇F·ΔΘ is computed outside.
"""

from __future__ import annotations

import itertools
import sys
import warnings
from typing import Any

import torch
from sklearn.datasets import load_digits

from ecd_tune.optim import ECDq1, ECDSep
from ecd_tune.optim.monitoring.loss_check import compare

STEPS = 256
SCALES = (1.0, 0.5, 0.25, 4.0, -1.0)


class Work:
    """Watches a run, and keeps the input of the comparison."""

    def __init__(self) -> None:
        self.loss: list[float] = []
        self.first: list[float] = []
        self.last: list[float] = []
        self._moved: list[torch.Tensor] | None = None

    def on_step(self, step: Any) -> None:
        """Keep the loss, and ∇F·ΔΘ of this step and of the last one."""
        if self._moved is not None:
            self.last.append(float(step.algebra.dot(step.grads, self._moved)))
        self._moved = [block.clone() for block in step.moved]
        self.loss.append(float(step.loss))
        self.first.append(float(step.algebra.dot(step.grads, self._moved)))


def train(kind: Any, scale: float, batch: int, **options: Any) -> tuple[bool, Work]:
    """Train a network of 2 410 parameters, and return whether it warned, and its work."""
    torch.manual_seed(0)
    data = load_digits()
    x, y = torch.tensor(data.data / 16).float(), torch.tensor(data.target)
    net = torch.nn.Sequential(torch.nn.Linear(64, 32), torch.nn.ReLU(), torch.nn.Linear(32, 10))
    optimizer = kind(net.parameters(), F0=min(0.0, 9 * scale), seed=0, **options)
    work = Work()
    if kind is ECDq1:
        optimizer.watch(work)
    with warnings.catch_warnings(record=True) as said:
        warnings.simplefilter("always")
        for _ in range(STEPS):
            rows = torch.randint(len(x), (batch,)) if batch < len(x) else slice(None)
            optimizer.zero_grad()
            loss = torch.nn.functional.cross_entropy(net(x[rows]), y[rows])
            loss.backward()
            optimizer.step(loss=scale * loss.detach())
    return any("gradients imply" in str(warning.message) for warning in said), work


def ecdsep() -> None:
    grid = list(
        itertools.product((0.03, 0.1, 0.4, 1.0), (1, 2, 4), (0.0, 0.01, 0.1), (16, 128, 2000))
    )
    print(f"ECDSep, {len(grid)} settings of Δt, η, ν and batch, {STEPS} steps\n")
    print("| loss given | doubted |\n|---|---|")
    for scale in SCALES:
        count = sum(
            train(ECDSep, scale, batch, lr=lr, eta=eta, nu=nu)[0] for lr, eta, nu, batch in grid
        )
        print(f"| {scale:g} F | {count} of {len(grid)} |")


def ecdq1() -> None:
    grid = list(itertools.product((10.0, 100.0), (0.0, 0.5), (16, 128, 2000)))
    print(f"ECDq1, {len(grid)} settings of η, ν̂ and batch at each Δt̂, {STEPS} steps: doubted\n")
    print("| Δt̂ | " + " | ".join(f"{scale:g} F" for scale in SCALES) + " |")
    print("|---|" + "---|" * len(SCALES))
    for lr in (0.1, 0.3, 1.0, 3.0):
        counts = []
        for scale in SCALES:
            runs = [train(ECDq1, scale, b, lr=lr, eta=eta, nu=nu)[1] for eta, nu, b in grid]
            counts.append(sum(doubts(run) for run in runs))
        print(f"| {lr:g} | " + " | ".join(map(str, counts)) + " |", flush=True)


def doubts(run: Work) -> bool:
    columns = (run.loss, run.first[:-1], run.last)
    return compare(*(torch.tensor(column, dtype=torch.float64) for column in columns)) is not None


def main() -> None:
    print(f"torch {torch.__version__}")
    for part in sys.argv[1:] or ["ecdsep", "ecdq1"]:
        {"ecdsep": ecdsep, "ecdq1": ecdq1}[part]()


if __name__ == "__main__":
    main()
