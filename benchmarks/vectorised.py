"""Trials of digits trained together, compared with the same trials one by one.

    python -m benchmarks.vectorised [--optimizers ecdsep ...] [--widths 1 8 64 ...] [--rounds 3]
        [--alone 4] [--epochs 20] [--json FILE]

Each round has a few trials one by one and then whole waves of as many lanes as the widths say, in
one process and through the objective: no database. Trials are random points of the shipped study's
space. Times are of the processor (of this process, all threads), medians over the rounds; read the
ratios. Each figure is of one core: a worker has one thread.

    python -m benchmarks.vectorised --networks resnet20 bert cora char_lm [--widths 4 16]

times a step's forward and backward pass of other networks instead, stacked and one by one in turns,
and says how many trials a worker would train at once, of the largest width at most.

    python -m benchmarks.vectorised --study TRIALS [--workers 2] [--batch N] [--sampler tpe]

runs the whole shipped study instead, TRIALS for each optimizer and the confirmations, through
SQLite with worker processes, and then its report, and says how long each took by the wall clock.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import re
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping, Sequence
from importlib.metadata import version
from pathlib import Path
from typing import Any

import torch

from ecd_tune.objective import Job, Objective
from ecd_tune.objective.lanes.widths import choose_width
from ecd_tune.records import Outcome, RunRequest, Stage
from ecd_tune.registry import TASKS, load_attribute
from ecd_tune.spec import StudySpec, load_study
from ecd_tune.spec.find import find_study
from ecd_tune.store.sampling.random_points import draw_random

NETWORKS: Mapping[str, tuple[str, dict[str, Any]]] = {
    "digits": ("digits", {}),
    "resnet20": ("cifar10", {"source": "jpeg", "model": "resnet20", "subset": 100}),
    "bert": ("glue_sst2", {"model": "tiny", "subset": 640, "batch_size": 8}),
    "cora": ("cora", {"hidden": 64}),
    "char_lm": ("char_lm", {}),
}
SEEDS = 4  # runs of one seed share initial weights and order; a search has one


def make_spec(epochs: int) -> StudySpec:
    spec = load_study(find_study("digits"))
    return spec.model_copy(update={"budget": spec.budget.model_copy(update={"steps": epochs})})


def draw(spec: StudySpec, optimizer: str, count: int, seed: int) -> list[RunRequest]:
    """Return random points of a space."""
    points = draw_random(spec.optimizers[optimizer].space, count, seed)
    return [RunRequest(point.params, number % SEEDS) for number, point in enumerate(points)]


def run_lanes(objective: Objective, requests: Sequence[RunRequest], width: int) -> list[Outcome]:
    waiting, outcomes = list(requests), []

    def jobs(count: int) -> list[Job]:
        taken, waiting[:] = waiting[:count], waiting[count:]
        return [Job(request, outcomes.append) for request in taken]

    objective.run_lanes(Stage.SEARCH, jobs, width)
    return outcomes


def seconds_each(act: Any, count: int) -> float:
    """Return the processor's seconds for each of ``count`` trials."""
    began = time.process_time()
    done = act()
    assert len(done) == count
    return (time.process_time() - began) / count


def measure(optimizer: str, arguments: argparse.Namespace) -> dict[str, Any]:
    spec = make_spec(arguments.epochs)
    objective = Objective(spec, optimizer)
    objective.prepare(Stage.SEARCH)
    objective.evaluate(draw(spec, optimizer, 1, 0))
    alone: list[float] = []
    together: dict[int, list[float]] = {width: [] for width in arguments.widths}
    for number in range(arguments.rounds):
        few = draw(spec, optimizer, arguments.alone, number)
        alone.append(seconds_each(lambda few=few: objective.evaluate(few), len(few)))
        for width in arguments.widths:
            many = draw(spec, optimizer, max(2 * width, 8), number)
            act = lambda many=many, width=width: run_lanes(objective, many, width)  # noqa: E731
            together[width].append(seconds_each(act, len(many)))
    return {
        "optimizer": optimizer,
        "alone_s": statistics.median(alone),
        "together_s": {width: statistics.median(own) for width, own in together.items()},
    }


def measure_network(name: str, widths: Sequence[int], rounds: int) -> dict[str, Any]:
    """Return CPU milliseconds per trial's step, single and stacked."""
    registered, options = NETWORKS[name]
    task = load_attribute(TASKS.get(registered).factory)(**options)

    def build(seed: int) -> Any:
        return task.build(seed, Stage.SEARCH)

    alone: list[float] = []
    together: dict[int, list[float]] = {width: [] for width in widths}
    single, stacks = build(0), {width: task.stack([*map(build, range(width))]) for width in widths}
    for number in range(rounds + 1):
        alone.append(_milliseconds(lambda number=number: single.closure(number), 1))
        for width, stack in stacks.items():
            act = lambda stack=stack, n=[number] * width: stack.closure(n)  # noqa: E731
            together[width].append(_milliseconds(act, width))
    return {
        "network": name,
        "alone_ms": statistics.median(alone[1:]),  # the first ones allocate
        "together_ms": {width: statistics.median(own[1:]) for width, own in together.items()},
        "chosen": choose_width(build, task.stack, max(widths), time.process_time),
    }


def _milliseconds(act: Any, count: int) -> float:
    began = time.process_time()
    act()
    return 1e3 * (time.process_time() - began) / count


def show_networks(rows: Sequence[dict[str, Any]], widths: Sequence[int]) -> None:
    heads = " | ".join(f"{width} stacked: ms, ratio" for width in widths)
    print(f"| network | alone, ms a step | {heads} | trials at once |")
    print("|---" * (3 + len(widths)) + "|")
    for row in rows:
        cells = " | ".join(
            f"{row['together_ms'][width]:.2f}, {row['alone_ms'] / row['together_ms'][width]:.2f}"
            for width in widths
        )
        print(f"| {row['network']} | {row['alone_ms']:.2f} | {cells} | {row['chosen']} |")


def show(rows: Sequence[dict[str, Any]], widths: Sequence[int]) -> None:
    heads = [f"{width} lanes: ms, ratio" for width in widths]
    print(f"| optimizer | one by one, ms a trial | {' | '.join(heads)} |")
    print("|---" * (2 + len(widths)) + "|")
    for row in rows:
        cells = [
            f"{1e3 * row['together_s'][width]:.1f}, {row['alone_s'] / row['together_s'][width]:.1f}"
            for width in widths
        ]
        print(f"| {row['optimizer']} | {1e3 * row['alone_s']:.0f} | {' | '.join(cells)} |")


def run_study(arguments: argparse.Namespace) -> dict[str, Any]:
    """Run the study in worker processes."""
    source = find_study("digits").read_text()
    source = re.sub(r"^batch = \d+", f"batch = {arguments.batch}", source, flags=re.MULTILINE)
    source = source.replace('name = "tpe"', f'name = "{arguments.sampler}"')
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "digits.toml")
        path.write_text(source)
        place = f"sqlite:///{folder}/trials.db"
        common = [sys.executable, "-m", "ecd_tune"]
        began = time.monotonic()
        subprocess.run(
            [
                *common, "run", str(path), "--storage", place,
                "--workers", str(arguments.workers), "--trials", str(arguments.study),
            ],
            check=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
        )  # fmt: skip
        ran = time.monotonic()
        subprocess.run(
            [
                *common, "report", str(path), "--storage", place,
                "--trials", str(arguments.study), "--out", f"{folder}/report",
            ],
            check=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
        )  # fmt: skip
        return {"run_s": ran - began, "report_s": time.monotonic() - ran}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--optimizers", nargs="+", default=["ecdsep", "sgd", "adamw"])
    parser.add_argument("--widths", nargs="+", type=int, default=[1, 8, 64])
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--alone", type=int, default=4)
    parser.add_argument("--epochs", type=int, default=20)
    parser.add_argument("--networks", nargs="+", choices=NETWORKS)
    parser.add_argument("--study", type=int)
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--batch", type=int, default=32)
    parser.add_argument("--sampler", default="tpe")
    parser.add_argument("--json", type=Path)
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    found: Any
    if arguments.networks:
        widths, rounds = arguments.widths, arguments.rounds
        found = [measure_network(name, widths, rounds) for name in arguments.networks]
        show_networks(found, widths)
    elif arguments.study:
        found = run_study(arguments)
        print(
            f"{arguments.study} trials of each of 4 optimizers by {arguments.sampler}, and 40 "
            f"confirmations, {arguments.workers} workers with {arguments.batch} trials at once: "
            f"{found['run_s']:.1f} s, report {found['report_s']:.1f} s."
        )
    else:
        found = [measure(optimizer, arguments) for optimizer in arguments.optimizers]
        show(found, arguments.widths)
    if arguments.json:
        about = {
            "torch": version("torch"),
            "machine": platform.processor(),
            "cores": len(os.sched_getaffinity(0)),
            "load": os.getloadavg()[0],
        }
        arguments.json.write_text(json.dumps({"about": about, "found": found}, indent=2))


if __name__ == "__main__":
    main()
