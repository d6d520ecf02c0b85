"""How a study grows: asks, telling, status, report, memory and pages, by its number of trials.

    python -m benchmarks.growth [--trials 1000,10000,100000] [--url sqlite:///FOLDER/{trials}.db]
                                [--figure FILE.svg] [--json FILE]

Each study is filled with finished trials of six hyperparameters at random points, and then looked
at by processes that have just started, as a user's are: the first ask of a TPE worker and the
median of twenty later ones, each with its tell, trials/s in batches of 64, `ecd-tune status` and
`ecd-tune report` as whole commands, with the most memory that each process held.
"""

from __future__ import annotations

import argparse
import json
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import tomli_w

from benchmarks.asking import RANGES
from benchmarks.written import written_by
from ecd_tune.report.render.figures.parts.style import PALETTE, drawing, label_ends, new_panel
from ecd_tune.spec import load_study
from ecd_tune.store import Store, Worker
from ecd_tune.testing.bulk import fill_study
from ecd_tune.testing.store import complete

ASKS, BATCH, BATCHES = 20, 64, 5
STUDY = {
    "name": "growth",
    "title": "A study that grows",
    "summary": "Random points; nothing is trained.",
    "protocol": "clean",
    "seed": 0,
    "task": {"name": "zakharov", "n": 10},
    "budget": {"trials": 500_000, "steps": 1},
    "sampler": {"name": "tpe"},
    "confirmation": {"runs": 0},
    "optimizers": {"ecdsep": {"space": {k: v for k, v in RANGES.items() if k != "eps1"}}},
}
_PEAK = """
import resource, subprocess, sys
status = subprocess.call(sys.argv[1:])
print(resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss)
sys.exit(status)
"""
COLUMNS = {
    "first_ask_s": "first ask (s)",
    "later_ask_ms": "later ask (ms)",
    "batch_rate": "trials/s in batches of 64",
    "status_s": "status (s)",
    "report_s": "report (s)",
    "ask_mib": "memory of a worker (MiB)",
    "status_mib": "of status (MiB)",
    "report_mib": "of report (MiB)",
}


def main() -> None:
    """Fill one study for each size, measure it and print the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--trials", default="1000,10000,100000")
    parser.add_argument("--url", help="storage, with {trials} where its number belongs")
    parser.add_argument("--figure", type=Path)
    parser.add_argument("--json", type=Path)
    parser.add_argument("--worker", nargs=2, metavar=("URL", "FILE"), help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.worker:
        print(json.dumps(look_as_worker(*arguments.worker)))
        return
    sizes = [int(size) for size in arguments.trials.split(",")]
    with tempfile.TemporaryDirectory() as folder:
        url = arguments.url or f"sqlite:///{folder}/{{trials}}.db"
        found = {size: measure(url.format(trials=size), size, Path(folder)) for size in sizes}
    print("\n".join(written_by("python -m benchmarks.growth")) + "\n")
    print(f"| trials | {' | '.join(COLUMNS.values())} |\n|{'---|' * (len(COLUMNS) + 1)}")
    for size, row in found.items():
        print(f"| {size} | {' | '.join(f'{row[key]:.3g}' for key in COLUMNS)} |", flush=True)
    if arguments.figure:
        draw(found, arguments.figure)
    if arguments.json:
        arguments.json.write_text(json.dumps(found, indent=2))


def measure(url: str, trials: int, folder: Path) -> dict[str, float]:
    """Fill a study, and access it as workers and users do."""
    path = folder / "growth.toml"
    path.write_text(tomli_w.dumps(STUDY))
    spec = load_study(path)
    with Store.open(url) as store:
        store.create(spec)
        fill_study(store, spec, "ecdsep", trials)
    worker = [sys.executable, "-m", "benchmarks.growth", "--worker", url, str(path)]
    found: dict[str, float] = json.loads(run(worker)[2])
    command = [sys.executable, "-m", "ecd_tune"]
    out = str(folder / "report")
    for name, words in {
        "status": ["status", "growth", "--storage", url],
        "report": ["report", str(path), "--storage", url, "--out", out],
    }.items():
        found[f"{name}_s"], found[f"{name}_mib"], _ = run([*command, *words])
    print(f"{trials} trials: {found}", file=sys.stderr, flush=True)
    return found


def run(command: list[str]) -> tuple[float, float, str]:
    """Run a process; return its seconds, the most MiB that it held, and what it printed."""
    began = time.perf_counter()
    # A process inherits the peak of the one that starts it: a small one starts it.
    done = subprocess.run(
        [sys.executable, "-c", _PEAK, *command], stdout=subprocess.PIPE, text=True, check=False
    )
    taken = time.perf_counter() - began
    printed, _, peak = done.stdout.rstrip().rpartition("\n")
    if done.returncode:
        raise SystemExit(f"{' '.join(command)}: status {done.returncode}\n{done.stdout}")
    return taken, float(peak) / 1024, printed


def look_as_worker(url: str, path: str) -> dict[str, float]:
    """Ask and tell in a new process."""
    spec, worker = load_study(Path(path)), Worker.current()
    with Store.open(url) as store:

        def ask(count: int) -> None:
            store.tell(complete(store.ask(spec, "ecdsep", count=count, worker=worker)))

        first = seconds(lambda: ask(1))
        later = [seconds(lambda: ask(1)) for _ in range(ASKS)]
        batch = statistics.median(seconds(lambda: ask(BATCH)) for _ in range(BATCHES))
    return {
        "first_ask_s": first,
        "later_ask_ms": 1e3 * statistics.median(later),
        "batch_rate": BATCH / batch,
        "ask_mib": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024,
    }


def seconds(call: Callable[[], None]) -> float:
    """Return how long a call takes."""
    began = time.perf_counter()
    call()
    return time.perf_counter() - began


def draw(found: dict[int, dict[str, float]], path: Path) -> None:
    """Draw seconds against the number of trials, both axes logarithmic."""
    curves = {
        "later ask": [row["later_ask_ms"] / 1e3 for row in found.values()],
        "first ask": [row["first_ask_s"] for row in found.values()],
        "status": [row["status_s"] for row in found.values()],
        "report": [row["report_s"] for row in found.values()],
    }
    with drawing():
        figure, axes = new_panel("seconds", list(curves))
        axes.set_xscale("log")
        axes.set_yscale("log")
        for colour, values in zip(PALETTE, curves.values(), strict=False):
            axes.plot(list(found), values, "o-", color=colour, lw=1.5, ms=4)
        label_ends(
            axes, [(v[-1], n, c) for c, (n, v) in zip(PALETTE, curves.items(), strict=False)]
        )
        axes.set_xlabel("finished trials")
        figure.savefig(path)


if __name__ == "__main__":
    main()
