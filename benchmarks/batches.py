"""The cost of proposing trials before the results of others are known.

    python -m benchmarks.batches [--studies zakharov ackley digits] [--batches 1 8 64]
        [--repeats 20] [--trials 64] [--steps 200] [--epochs 5] [--json FILE]

For each study, size of a batch and seed the whole search of ECDSep runs with the study's sampler
through SQLite, by one worker. What counts is the best value after all trials: of the synthetic
studies its logarithm to base 10, of digits the share of wrong validation images in per cent; a
smaller one is better. Seeds pair the sizes: differences are to the smallest of them, with their
standard error.
"""

from __future__ import annotations

import argparse
import json
import math
import os
import statistics
import tempfile
from collections.abc import Mapping, Sequence
from importlib.metadata import version
from pathlib import Path

import torch

from ecd_tune.records import Direction
from ecd_tune.signals import StopFlag
from ecd_tune.spec import StudySpec, load_study
from ecd_tune.spec.find import find_study
from ecd_tune.store import Store
from ecd_tune.worker import StudyWorker

OPTIMIZER = "ecdsep"


def make_spec(name: str, batch: int, seed: int, arguments: argparse.Namespace) -> StudySpec:
    spec = load_study(find_study(name))
    steps = arguments.epochs if name == "digits" else arguments.steps
    budget = {"trials": arguments.trials, "steps": steps, "batch": batch}
    return spec.model_copy(
        update={
            "seed": seed,
            "budget": spec.budget.model_copy(update=budget),
            "confirmation": spec.confirmation.model_copy(update={"runs": 0}),
            "optimizers": {OPTIMIZER: spec.optimizers[OPTIMIZER]},
        }
    )


def search(spec: StudySpec) -> float:
    """Return the best value of a search, minimized."""
    with (
        tempfile.TemporaryDirectory() as folder,
        Store.open(f"sqlite:///{folder}/trials.db") as store,
    ):
        StudyWorker(store, spec, StopFlag()).run()
        found = [record.value for record in store.trials(spec.key(OPTIMIZER))]
    values = [value for value in found if value is not None]
    if spec.task_def.direction is Direction.MAXIMIZE:
        return 100 * (1 - max(values))
    return math.log10(max(min(values), 1e-300))


def show(name: str, found: Mapping[int, Sequence[float]]) -> None:
    one = found[min(found)]
    for batch, values in found.items():
        apart = [value - base for value, base in zip(values, one, strict=True)]
        cell = "–"
        if batch != min(found):
            error = statistics.stdev(apart) / math.sqrt(len(apart))
            cell = f"{statistics.mean(apart):+.2f} ± {error:.2f}"
        print(f"| {name} | {batch} | {statistics.median(values):.2f} | {cell} |", flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--studies", nargs="+", default=["zakharov", "ackley", "digits"])
    parser.add_argument("--batches", nargs="+", type=int, default=[1, 8, 64])
    parser.add_argument("--repeats", type=int, default=20, help="at least 2")
    parser.add_argument("--trials", type=int, default=64)
    parser.add_argument("--steps", type=int, default=200)
    parser.add_argument("--epochs", type=int, default=5)
    parser.add_argument("--json", type=Path)
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    print("| study | trials at once | median of the best | against the first row, mean ± error |")
    print("|---|---|---|---|")
    everything: dict[str, dict[int, list[float]]] = {}
    for name in arguments.studies:
        found: dict[int, list[float]] = {batch: [] for batch in arguments.batches}
        for seed in range(arguments.repeats):
            for batch in arguments.batches:
                found[batch].append(search(make_spec(name, batch, seed, arguments)))
        show(name, found)
        everything[name] = found
    if arguments.json:
        about = {p: version(p) for p in ("torch", "optuna")} | {"load": os.getloadavg()[0]}
        arguments.json.write_text(json.dumps({"about": about, "found": everything}, indent=2))


if __name__ == "__main__":
    main()
