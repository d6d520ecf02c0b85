"""Time the random numbers of ECDSep and of torch's generator, one thread.

Usage: python -m benchmarks.noise
"""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable

import torch

from ecd_tune.optim.params.noise import Noise

SIZES = (2_410, 99_840, 3_000_000)
TURNS = 15


def nanoseconds(draw: Callable[[int, int], object], size: int) -> float:
    """Time ``draw(step, size)``."""
    steps = max(1, 200_000 // size)
    times = []
    for turn in range(TURNS):
        began = time.perf_counter()
        for step in range(steps):
            draw(turn * steps + step, size)
        times.append((time.perf_counter() - began) / steps / size * 1e9)
    return statistics.median(times)


def main() -> None:
    torch.set_num_threads(1)
    noise = Noise(0)

    def threefry(step: int, size: int) -> torch.Tensor:
        return noise.normal(step, size, [(0, size)], torch.float32)

    def generator(step: int, size: int) -> torch.Tensor:
        return torch.randn(size)

    print(f"torch {torch.__version__}, float32, median of {TURNS}, nanoseconds a number")
    print("| numbers a step | Threefry | torch.randn | ratio |\n|---|---|---|---|")
    for size in SIZES:
        ours, peer = nanoseconds(threefry, size), nanoseconds(generator, size)
        print(f"| {size} | {ours:.1f} | {peer:.1f} | {ours / peer:.1f} |")


if __name__ == "__main__":
    main()
