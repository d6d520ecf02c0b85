"""Count how often ECDSep doubts a loss, on digits: the right one, and wrong ones.

Usage: python benchmarks/loss_check.py    (about two minutes)
"""

from __future__ import annotations

import itertools
import warnings

import torch
from sklearn.datasets import load_digits

from ecd_tune.optim import ECDSep

STEPS = 256


def doubted(scale: float, lr: float, eta: float, nu: float, batch: int) -> bool:
    """Train a network of 2 410 parameters, and return whether the loss was doubted."""
    torch.manual_seed(0)
    data = load_digits()
    x, y = torch.tensor(data.data / 16).float(), torch.tensor(data.target)
    net = torch.nn.Sequential(torch.nn.Linear(64, 32), torch.nn.ReLU(), torch.nn.Linear(32, 10))
    optimizer = ECDSep(net.parameters(), lr=lr, eta=eta, nu=nu, F0=min(0.0, 9 * scale), seed=0)
    with warnings.catch_warnings(record=True) as said:
        warnings.simplefilter("always")
        for _ in range(STEPS):
            rows = torch.randint(len(x), (batch,)) if batch < len(x) else slice(None)
            optimizer.zero_grad()
            loss = torch.nn.functional.cross_entropy(net(x[rows]), y[rows])
            loss.backward()
            optimizer.step(loss=scale * loss.detach())
    return any("gradients imply" in str(warning.message) for warning in said)


def main() -> None:
    grid = list(
        itertools.product((0.03, 0.1, 0.4, 1.0), (1, 2, 4), (0.0, 0.01, 0.1), (16, 128, 2000))
    )
    print(f"torch {torch.__version__}, {len(grid)} settings of Δt, η, ν and batch, {STEPS} steps")
    print("| loss given | doubted |\n|---|---|")
    for scale in (1.0, 0.5, 0.25, 4.0, -1.0):
        count = sum(doubted(scale, *setting) for setting in grid)
        print(f"| {scale:g} F | {count} of {len(grid)} |")


if __name__ == "__main__":
    main()
