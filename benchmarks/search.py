"""The Zakharov search of ECDSep on SQLite: ours in batches, plain Optuna one by one.

    python -m benchmarks.search [--trials 500] [--peer-trials 40] [--json FILE]

Plain Optuna runs fewer trials, since each takes long and its cost a trial only grows with their
number; the table gives seconds per trial, and ours in full.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import tempfile
import time
from importlib.metadata import version
from pathlib import Path

import optuna
import torch

from ecd_tune.objective import Objective
from ecd_tune.records import RunRequest
from ecd_tune.signals import StopFlag
from ecd_tune.spec import Confirmation, StudySpec, find_study, load_study
from ecd_tune.store import Store
from ecd_tune.worker import StudyWorker


def main() -> None:
    """Measure both and print the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--trials", type=int, default=500)
    parser.add_argument("--peer-trials", type=int, default=40)
    parser.add_argument("--json", type=Path)
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    spec = load_study(find_study("zakharov")).with_overrides(
        trials=arguments.trials, optimizers=("ecdsep",)
    )
    spec = spec.model_copy(update={"confirmation": Confirmation(runs=0)})
    with tempfile.TemporaryDirectory() as folder:
        ours = measure_ours(spec, Path(folder))
        peer = measure_peer(spec, Path(folder), arguments.peer_trials)
    report(arguments, ours, peer)


def measure_ours(spec: StudySpec, folder: Path) -> float:
    """Return the seconds of the whole search by one worker, the database's creation included."""
    begin = time.perf_counter()
    with StopFlag() as stop, Store.open(f"sqlite:///{folder / 'ours.db'}") as store:
        StudyWorker(store, spec, stop).run()
        seconds = time.perf_counter() - begin
        finished = sum(record.counts for record in store.trials(spec.key("ecdsep"), curves=False))
    assert finished == spec.trials("ecdsep"), finished
    return seconds


def measure_peer(spec: StudySpec, folder: Path, trials: int) -> float:
    """Return the seconds of ``trials`` trials with plain Optuna and the same optimizer."""
    space = spec.optimizers["ecdsep"].space
    objective = Objective(spec, "ecdsep")

    def evaluate(trial: optuna.Trial) -> float:
        request = RunRequest(space.suggest(trial), spec.search_seed(trial.number))
        value = objective.evaluate([request])[0].value
        assert value is not None
        return value

    study = optuna.create_study(
        storage=f"sqlite:///{folder / 'peer.db'}", sampler=optuna.samplers.TPESampler(seed=0)
    )
    begin = time.perf_counter()
    study.optimize(evaluate, n_trials=trials)
    return time.perf_counter() - begin


def report(arguments: argparse.Namespace, ours: float, peer: float) -> None:
    """Print the table, and write the JSON file where one is asked for."""
    per_trial = {"ours": ours / arguments.trials, "peer": peer / arguments.peer_trials}
    print("| search | trials | seconds | ms a trial | ratio |")
    print("|---|---|---|---|---|")
    rows = (
        ("ecd_tune", "ours", arguments.trials, ours),
        ("plain Optuna", "peer", arguments.peer_trials, peer),
    )
    for title, key, trials, seconds in rows:
        ratio = per_trial[key] / per_trial["ours"]
        print(f"| {title} | {trials} | {seconds:.2f} | {1000 * per_trial[key]:.1f} | {ratio:.1f} |")
    if arguments.json:
        figures = {
            "ours": {"trials": arguments.trials, "seconds": ours},
            "peer": {"trials": arguments.peer_trials, "seconds": peer},
            "versions": {p: version(p) for p in ("ecd_tune", "optuna", "torch", "sqlalchemy")},
            "machine": {"cores": os.cpu_count(), "system": platform.platform()},
        }
        arguments.json.write_text(json.dumps(figures, indent=2) + "\n")


if __name__ == "__main__":
    main()
