"""Measure what the remarks of ``report()`` are decided by, on settings that train and that fail.

Usage: python -m benchmarks.remarks [digits] [sst2]    (one minute; sst2 needs the data and takes
ten minutes more on one core)
"""

from __future__ import annotations

import sys
from collections.abc import Mapping, Sequence
from typing import Any

import torch

from ecd_tune.optim import ECDq1, ECDSep
from ecd_tune.optim.monitoring.course import Course
from ecd_tune.optim.monitoring.remarks import FLAGS
from ecd_tune.records import Stage
from ecd_tune.tasks import Task
from ecd_tune.tasks.digits import make as make_digits
from ecd_tune.tasks.glue.tasks import make_sst2

AUTO = {"lr": "auto", "eta": 3.0, "s": 0}
DIGITS: Sequence[tuple[Any, Mapping[str, Any]]] = [
    (ECDSep, {"lr": 0.4, "eta": 2.0}),
    (ECDSep, {"lr": 1.0, "eta": 3.0}),
    (ECDSep, {"lr": 10.0, "eta": 2.0}),
    (ECDSep, {"lr": 1.0, "eta": 1.0}),
    (ECDSep, {"lr": 3.0, "eta": 3.0, "s": 0}),
    (ECDSep, AUTO),
    (ECDSep, {"lr": 0.3, "eta": 3.0, "nu": 1e-2, "weight_decay": 1e-2}),
    (ECDSep, {"lr": 0.4, "eta": 6.0}),
    (ECDSep, {"lr": 0.3, "eta": 20.0}),
    (ECDSep, {"lr": 0.01, "eta": 2.0}),
    (ECDSep, {"lr": 0.001, "eta": 2.0}),
    (ECDSep, {"lr": 0.1, "eta": 3.0, "F0": -3.0}),
    (ECDSep, {"lr": 0.3, "eta": 3.0, "F0": -3.0}),
    (ECDSep, {"lr": 3.0, "eta": 3.0, "F0": -3.0}),
    (ECDSep, {"lr": 0.1, "eta": 3.0, "F0": -10.0}),
    (ECDSep, {"lr": 30.0, "eta": 1.0, "s": 0}),
    (ECDq1, {}),
    (ECDq1, {"lr": 3.0, "eta": 100.0}),
    (ECDq1, {"lr": 0.01, "eta": 100.0}),
    (ECDq1, {"lr": 30.0, "eta": 100.0}),
    (ECDq1, {"lr": 3.0, "eta": 2.0}),
]
SST2: Sequence[tuple[Any, Mapping[str, Any]]] = [
    (ECDSep, {"lr": 0.1, "eta": 3.0, "scale": "share"}),
    (ECDSep, {"lr": 0.01, "eta": 3.0, "scale": "share"}),
    (ECDSep, {**AUTO, "scale": "share"}),
    (ECDSep, {"lr": 0.107, "eta": 2.98}),
    (ECDSep, {"lr": 0.1, "eta": 3.0, "delta_energy": 1.0}),
    (ECDSep, {"lr": 0.02, "eta": 2.0, "delta_energy": 1.0}),
    (ECDSep, {"lr": 0.1, "eta": 3.0, "s": 0}),
    (ECDSep, {"lr": 0.01, "eta": 2.0}),
    (ECDSep, {"lr": 0.05, "eta": 3.0, "F0": -3.0}),
]
SMALL = {"model": "tiny", "width": 32, "layers": 1, "batch_size": 128, "max_length": 32}


def table(
    title: str, task: Task, steps: int, runs: Sequence[tuple[Any, Mapping[str, Any]]]
) -> None:
    """Print a row for each setting."""
    print(f"\n{title}, {steps} steps, seed 0\n")
    print("| setting | val | said | hot | rise | fall | left | drift | worth | orbit step |")
    print("|" + "---|" * 10)
    for kind, values in runs:
        problem = task.build(0, Stage.SEARCH)
        optimizer = kind(problem.parameters, seed=0, **values)
        for step in range(steps):
            optimizer.step(loss=problem.closure(step))
        report, course = optimizer.report(), measured(optimizer)
        words = ", ".join(f"{name} {value}" for name, value in values.items())
        said = ", ".join(name for name in FLAGS if report[name]) or "–"
        won = course.loss_start - course.loss_end
        numbers = (
            course.share_hot,
            -won / course.gap_start,
            course.fall,
            course.gap_end / course.gap_start,
            course.drift,
            course.plateau_gap / won,
            course.orbit_step,
        )
        accuracy = problem.evaluate("val")["accuracy"]
        cells = " | ".join(f"{number:.2g}" for number in numbers)
        print(f"| {kind.__name__} {words} | {accuracy:.3f} | {said} | {cells} |", flush=True)


def measured(optimizer: Any) -> Course:
    """Return the course of a run."""
    group, yes = optimizer.param_groups[0], torch.tensor(True)
    eta = torch.tensor(float(group["eta"]))
    (course,) = optimizer._working.course.read(eta, yes, group["integrator"])
    assert isinstance(course, Course)
    return course


def main() -> None:
    chosen = sys.argv[1:] or ["digits", "sst2"]
    if "digits" in chosen:
        table("digits, MLP 64-32-10", make_digits(), 340, DIGITS)
    if "sst2" in chosen:
        table("SST-2, 1 layer of 32", make_sst2(**SMALL, subset=12800, device="cpu"), 400, SST2)


if __name__ == "__main__":
    main()
