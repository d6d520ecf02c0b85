"""Cost of one ask in a large study: ours with several histories, and plain Optuna.

    python -m benchmarks.asking [--backends sqlite,postgresql] [--trials 10000] [--asks 20]
                                [--no-peer] [--json FILE]

Six parameters, one trial at a time. The first ask is that of a store that was opened just before,
which reads the study; the others are of one that has asked before. The samplers take turns. The
random sampler ignores earlier trials, so its rows are the cost of the store. Plain Optuna reads a
study of the same trials: ask, six suggestions.
"""

from __future__ import annotations

import argparse
import json
import platform
import statistics
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from importlib.metadata import version
from pathlib import Path
from typing import Any

import optuna

from benchmarks.storage import open_backend
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
    "tpe, history = 250": {"name": "tpe", "history": 250},
    "tpe, history = 1000000": {"name": "tpe", "history": 1_000_000},
}
OPENINGS = 3
Ask = Callable[[], float]
"""Asks once, and returns the seconds."""


@dataclass
class Asker:
    """One row of the table.

    Attributes:
        name: Database, who, and sampler.
        url: Of a separate database with a full study.
        spec: The study.
        peer: True for plain Optuna.
        first: Seconds of first asks.
        later: Seconds of the others.
    """

    name: str
    url: str
    spec: StudySpec
    peer: bool = False
    first: list[float] = field(default_factory=list)
    later: list[float] = field(default_factory=list)

    def open(self) -> Any:
        """Reopen the storage."""
        return open_plain(self) if self.peer else open_ours(self)


def main() -> None:
    """Fill one database per row, measure alternately and print the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--backends", default="sqlite,postgresql")
    parser.add_argument("--trials", type=int, default=10_000)
    parser.add_argument("--asks", type=int, default=20)
    parser.add_argument("--no-peer", action="store_true", help="leave plain Optuna out")
    parser.add_argument("--json", type=Path)
    arguments = parser.parse_args()
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    askers: list[Asker] = []
    with ExitStack() as stack:
        for backend in arguments.backends.split(","):
            databases, _ = stack.enter_context(open_backend(backend))
            askers += [
                make(f"{backend}: ours, {title}", databases(), sampler, arguments.trials)
                for title, sampler in SAMPLERS.items()
            ]
            if not arguments.no_peer:
                plain = make(
                    f"{backend}: plain Optuna, tpe", databases(), SAMPLERS["tpe"], arguments.trials
                )
                plain.peer = True
                askers.append(plain)
        measure(askers, arguments.asks)
    report(arguments, askers)


def measure(askers: list[Asker], asks: int) -> None:
    """Let all take turns."""
    for _ in range(OPENINGS):
        for asker in askers:
            with asker.open() as ask:
                asker.first.append(ask())
    with ExitStack() as stack:
        opened = [stack.enter_context(asker.open()) for asker in askers]
        for turn in range(asks + 1):
            for asker, ask in zip(askers, opened, strict=True):
                seconds = ask()
                if turn:
                    asker.later.append(seconds)


def make(name: str, url: str, sampler: Mapping[str, Any], trials: int) -> Asker:
    """Return a row, whose database has a study of finished trials."""
    made = make_spec(trials=2 * trials, space=RANGES)
    spec = made.model_copy(update={"sampler": SamplerSpec.model_validate(sampler)})
    with Store.open(url) as store:
        store.create(spec)
        fill_study(store, spec, "ecdsep", trials)
    return Asker(name, url, spec)


@contextmanager
def open_ours(asker: Asker) -> Iterator[Ask]:
    """Open our store."""
    worker = Worker.current()
    with Store.open(asker.url) as store:

        def ask() -> float:
            began = time.perf_counter()
            leases = store.ask(asker.spec, "ecdsep", count=1, worker=worker)
            seconds = time.perf_counter() - began
            store.tell(complete(leases))
            return seconds

        yield ask


@contextmanager
def open_plain(asker: Asker) -> Iterator[Ask]:
    """Open the same kind of study with plain Optuna; a study is loaded with the first ask."""
    storage = optuna.storages.RDBStorage(asker.url)
    sampler, space = optuna.samplers.TPESampler(seed=0), asker.spec.optimizers["ecdsep"].space
    studies: list[optuna.Study] = []

    def ask() -> float:
        began = time.perf_counter()
        if not studies:
            name = asker.spec.key("ecdsep").name
            studies.append(optuna.load_study(study_name=name, storage=storage, sampler=sampler))
        trial = studies[0].ask()
        space.suggest(trial)  # type: ignore[arg-type]
        seconds = time.perf_counter() - began
        studies[0].tell(trial, 0.5)
        return seconds

    try:
        yield ask
    finally:
        storage.scoped_session.remove()
        storage.engine.dispose()


def report(arguments: argparse.Namespace, askers: list[Asker]) -> None:
    """Print the table, and write the figures where asked."""
    print(f"One ask at {arguments.trials} trials, medians of {OPENINGS} and {arguments.asks}\n")
    print("| who, sampler | first (ms) | later (ms) | slowest later (ms) |\n|---|---|---|---|")
    for asker in askers:
        first, later = (1e3 * statistics.median(v) for v in (asker.first, asker.later))
        print(f"| {asker.name} | {first:.0f} | {later:.1f} | {1e3 * max(asker.later):.1f} |")
    if arguments.json:
        names = ("optuna", "sqlalchemy", "numpy")
        content = {
            "trials": arguments.trials,
            "first": {asker.name: asker.first for asker in askers},
            "later": {asker.name: asker.later for asker in askers},
            "versions": {package: version(package) for package in names},
            "machine": platform.platform(),
        }
        arguments.json.write_text(json.dumps(content, indent=2))


if __name__ == "__main__":
    main()
