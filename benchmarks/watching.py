"""Cost of diagnostics and measurements per step of ECDSep: with and without, alternating.

    python -m benchmarks.watching [--steps 64] [--rounds 60] [--hidden 32 256] [--json FILE]

The network is that of digits, 64-hidden-10; the gradient is given, so that a step of the optimizer
alone is timed, in seconds of the processor.
"""

from __future__ import annotations

import argparse
import json
import platform
import statistics
import time
from collections.abc import Callable
from importlib.metadata import version
from pathlib import Path

import torch

from ecd_tune.optim import ECDSep
from ecd_tune.optim.monitoring.run_measurer import RunMeasurer


class Unwatched(ECDSep):
    """ECDSep without watchers."""

    def _show(self, *args: object) -> None:
        pass


def main() -> None:
    """Measure and print the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--steps", type=int, default=64)
    parser.add_argument("--rounds", type=int, default=60)
    parser.add_argument("--hidden", type=int, nargs="+", default=[32, 256])
    parser.add_argument("--json", type=Path)
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    rows = [measure(h, arguments.steps, arguments.rounds) for h in arguments.hidden]
    print("| n | step without (µs) | with diagnostics | measured too |\n|---|---|---|---|")
    for row in rows:
        print(
            f"| {row['n']} | {row['without']:.0f} | × {row['diagnostics']:.3f} | "
            f"× {row['measured']:.3f} |"
        )
    if arguments.json:
        facts = {name: version(name) for name in ("ecd_tune", "torch")}
        facts |= {"python": platform.python_version(), "machine": platform.machine()}
        arguments.json.write_text(json.dumps({"rows": rows, **facts}, indent=2))


def measure(hidden: int, steps: int, rounds: int) -> dict[str, float]:
    """Return the CPU time of a step, and the median ratios of subsequent turns."""
    made: dict[str, Callable[[], ECDSep]] = {
        "without": lambda: make(hidden, Unwatched),
        "diagnostics": lambda: make(hidden, ECDSep),
        "measured": lambda: measured(make(hidden, ECDSep), steps * rounds),
    }
    optimizers = {name: make_one() for name, make_one in made.items()}
    seconds: dict[str, list[float]] = {name: [] for name in made}
    for _ in range(rounds):
        for name, optimizer in optimizers.items():
            seconds[name].append(run(optimizer, steps))
    ratios = {
        name: statistics.median(a / b for a, b in zip(times, seconds["without"], strict=True))
        for name, times in seconds.items()
    }
    n = sum(p.numel() for group in optimizers["without"].param_groups for p in group["params"])
    return {"n": n, **ratios, "without": 1e6 * statistics.median(seconds["without"]) / steps}


def make(hidden: int, kind: type[ECDSep]) -> ECDSep:
    """Return an optimizer whose parameters have gradients."""
    torch.manual_seed(0)
    shapes = ((hidden, 64), (hidden,), (10, hidden), (10,))
    params = [torch.randn(shape).requires_grad_() for shape in shapes]
    for p in params:
        p.grad = torch.randn_like(p)
    return kind(params, lr=0.1, eta=2.0, nu=1e-2, seed=1, fused=False)


def measured(optimizer: ECDSep, steps: int) -> ECDSep:
    """Return the optimizer with a meter."""
    optimizer.watch(RunMeasurer(steps))
    return optimizer


def run(optimizer: ECDSep, steps: int) -> float:
    """Return the processor's seconds of some steps."""
    loss = torch.tensor(2.0)
    begin = time.process_time()
    for _ in range(steps):
        optimizer.step(loss=loss)
    return time.process_time() - begin


if __name__ == "__main__":
    main()
