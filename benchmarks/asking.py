"""What one ask costs in a study of 10 000 trials: ours, ours with a bounded history, plain Optuna.

    python benchmarks/asking.py [--trials 10000] [--asks 20] [--json FILE]

Six parameters, one trial at a time, SQLite. Each figure is the median over asks of a process that
has asked before; the samplers take turns. The random sampler looks at no trial, so that its row is
what the store itself costs. Plain Optuna reads the same study: ask, six suggestions.
"""

from __future__ import annotations

import argparse
import json
import platform
import statistics
import tempfile
import time
from collections.abc import Callable, Mapping
from importlib.metadata import version
from pathlib import Path
from typing import Any

import optuna

from ecd_tune.spec import SamplerSpec, StudySpec
from ecd_tune.store import Store, Worker
from ecd_tune.testing.bulk import fill_study
from ecd_tune.testing.store import complete, make_spec

RANGES = {
    "lr": {"low": 1e-4, "high": 1.0, "log": True},
    "eta": {"low": 1.0, "high": 6.0},
    "nu": {"low": 1e-6, "high": 1.0, "log": True},
    "delta_energy": {"low": 1e-3, "high": 10.0, "log": True},
    "weight_decay": {"low": 1e-6, "high": 1e-1, "log": True},
    "eps1": {"low": 1e-12, "high": 1e-2, "log": True},
}
SAMPLERS: Mapping[str, dict[str, Any]] = {
    "random": {"name": "random"},
    "tpe": {"name": "tpe"},
    "tpe, history = 1000": {"name": "tpe", "history": 1000},
    "tpe, history = 250": {"name": "tpe", "history": 250},
}


def main() -> None:
    """Fill one database a row, measure in turns and print the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--trials", type=int, default=10_000)
    parser.add_argument("--asks", type=int, default=20)
    parser.add_argument("--json", type=Path)
    arguments = parser.parse_args()
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    with tempfile.TemporaryDirectory() as folder:
        askers = {
            f"ours, {title}": make_ours(f"{folder}/{index}.db", sampler, arguments.trials)
            for index, (title, sampler) in enumerate(SAMPLERS.items())
        }
        askers["plain Optuna, tpe"] = make_plain(f"{folder}/plain.db", arguments.trials)
        seconds: dict[str, list[float]] = {name: [] for name in askers}
        for turn in range(arguments.asks + 1):
            for name, ask in askers.items():
                taken = ask()
                if turn:  # the first one reads the whole study
                    seconds[name].append(taken)
    report(arguments, seconds)


def make_ours(file: str, sampler: Mapping[str, Any], trials: int) -> Callable[[], float]:
    """Return a function that asks once and says how long it took."""
    store, spec = fill(file, sampler, trials)
    worker = Worker.current()

    def ask() -> float:
        began = time.perf_counter()
        leases = store.ask(spec, "ecdsep", count=1, worker=worker)
        seconds = time.perf_counter() - began
        store.tell(complete(leases))
        return seconds

    return ask


def make_plain(file: str, trials: int) -> Callable[[], float]:
    """Return the same for plain Optuna on the same study."""
    store, spec = fill(file, SAMPLERS["tpe"], trials)
    store.close()
    study = optuna.load_study(study_name=spec.key("ecdsep").name, storage=f"sqlite:///{file}")
    study.sampler = optuna.samplers.TPESampler(seed=0)
    space = spec.optimizers["ecdsep"].space

    def ask() -> float:
        began = time.perf_counter()
        trial = study.ask()
        space.suggest(trial)  # type: ignore[arg-type]
        seconds = time.perf_counter() - began
        study.tell(trial, 0.5)
        return seconds

    return ask


def fill(file: str, sampler: Mapping[str, Any], trials: int) -> tuple[Store, StudySpec]:
    """Make a database with one study of finished trials."""
    made = make_spec(trials=2 * trials, space=RANGES)
    spec = made.model_copy(update={"sampler": SamplerSpec.model_validate(sampler)})
    store = Store.open(f"sqlite:///{file}")
    store.create(spec)
    fill_study(store, spec, "ecdsep", trials)
    return store, spec


def report(arguments: argparse.Namespace, seconds: Mapping[str, list[float]]) -> None:
    """Print the table, and write the figures where asked."""
    print(f"One ask at {arguments.trials} trials, median of {arguments.asks}\n")
    print("| who, sampler | median (ms) | slowest (ms) |\n|---|---|---|")
    for name, values in seconds.items():
        print(f"| {name} | {1e3 * statistics.median(values):.1f} | {1e3 * max(values):.1f} |")
    if arguments.json:
        names = ("optuna", "sqlalchemy", "numpy")
        content = {
            "trials": arguments.trials,
            "seconds": dict(seconds),
            "versions": {package: version(package) for package in names},
            "machine": platform.platform(),
        }
        arguments.json.write_text(json.dumps(content, indent=2))


if __name__ == "__main__":
    main()
