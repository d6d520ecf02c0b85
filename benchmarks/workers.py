"""Trials per second of one and of two workers on digits, started by ``ecd-tune launch``.

    python -m benchmarks.workers [--trials 120] [--workers 1,2] [--rounds 3] [--json FILE]

The rate is that of the steady part, from the second to the last finished tenth of the trials by
the database's times, so that the start of the interpreter does not count. Rounds alternate, and
the ratio is the median over rounds.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import statistics
import subprocess
import sys
import tempfile
from importlib.metadata import version
from pathlib import Path

from ecd_tune.spec import find_study, load_study
from ecd_tune.store import Store

_OPTIMIZER = "ecdsep"


def main() -> None:
    """Measure and print the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--trials", type=int, default=120)
    parser.add_argument("--workers", default="1,2")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--json", type=Path)
    arguments = parser.parse_args()
    counts = [int(count) for count in arguments.workers.split(",")]
    rates: dict[int, list[float]] = {count: [] for count in counts}
    for _ in range(arguments.rounds):
        for count in counts:
            rates[count].append(measure(count, arguments.trials))
    report(rates, arguments)


def measure(workers: int, trials: int) -> float:
    """Return the steady trials per second of a fresh study."""
    with tempfile.TemporaryDirectory() as folder:
        url = f"sqlite:///{folder}/digits.db"
        command = [sys.executable, "-m", "ecd_tune", "launch", "digits", "--storage", url]
        command += ["--workers", str(workers), "--trials", str(trials)]
        command += ["--optimizers", _OPTIMIZER, "--logs", f"{folder}/logs"]
        subprocess.run(command, check=True, capture_output=True)
        key = load_study(find_study("digits")).key(_OPTIMIZER)
        with Store.open(url) as store:
            ends = sorted(r.completed for r in store.trials(key, curves=False) if r.completed)
    first, last = len(ends) // 10, len(ends) - len(ends) // 10 - 1
    return (last - first) / (ends[last] - ends[first]).total_seconds()


def report(rates: dict[int, list[float]], arguments: argparse.Namespace) -> None:
    """Print the table, and write the JSON file where one is asked for."""
    base = min(rates)
    print("| workers | trials/s, median of rounds | ratio to the fewest, median of rounds |")
    print("|---|---|---|")
    ratios = {}
    for count, values in rates.items():
        ratios[count] = statistics.median(v / b for v, b in zip(values, rates[base], strict=True))
        print(f"| {count} | {statistics.median(values):.2f} | {ratios[count]:.2f} |")
    if arguments.json:
        figures = {
            "trials": arguments.trials,
            "rates": rates,
            "ratios": ratios,
            "versions": {p: version(p) for p in ("ecd_tune", "optuna", "torch")},
            "machine": {"cores": os.cpu_count(), "system": platform.platform()},
        }
        arguments.json.write_text(json.dumps(figures, indent=2) + "\n")


if __name__ == "__main__":
    main()
