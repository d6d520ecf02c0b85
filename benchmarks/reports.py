"""Cost of one report of a curve for the training thread, on SQLite: ours and plain Optuna's.

    python -m benchmarks.reports [--points 2000] [--json FILE]

Between two reports lies a millisecond, in place of the training; ours writes every 50 ms here, a
hundred times as often as a worker does, so that the calls meet the writing thread at all.
"""

from __future__ import annotations

import argparse
import json
import platform
import tempfile
import time
from collections.abc import Callable
from importlib.metadata import version
from pathlib import Path

import optuna

from ecd_tune.spec import find_study, load_study
from ecd_tune.store import ReportBuffer, Store, Worker


def main() -> None:
    """Measure both and print the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--points", type=int, default=2000)
    parser.add_argument("--json", type=Path)
    arguments = parser.parse_args()
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    with tempfile.TemporaryDirectory() as folder:
        figures = {
            "ecd_tune": measure_ours(Path(folder), arguments.points),
            "optuna": measure_peer(Path(folder), arguments.points),
        }
    print("| | median [ms] | p99 [ms] | largest [ms] |\n|---|---|---|---|")
    for name, (median, p99, largest) in figures.items():
        print(f"| {name} | {median:.4f} | {p99:.4f} | {largest:.3f} |")
    if arguments.json:
        names = ("ecd_tune", "optuna", "sqlalchemy")
        versions = {package: version(package) for package in names}
        data = {"ms": figures, "versions": versions, "machine": platform.platform()}
        arguments.json.write_text(json.dumps(data, indent=2))


def measure_ours(folder: Path, points: int) -> tuple[float, float, float]:
    """Return milliseconds of a call of :meth:`ReportBuffer.report`."""
    spec = load_study(find_study("zakharov"))
    with Store.open(f"sqlite:///{folder / 'ours.db'}") as store:
        store.create(spec)
        (lease,) = store.ask(spec, "ecdsep", count=1, worker=Worker.current())
        buffer = ReportBuffer(store.report, interval=0.05)
        with buffer.flushing():
            return time_calls(lambda step: buffer.report(lease, step, 0.5), points)


def measure_peer(folder: Path, points: int) -> tuple[float, float, float]:
    """Return milliseconds of a call of Optuna's ``trial.report``."""
    trial = optuna.create_study(storage=f"sqlite:///{folder / 'peer.db'}").ask()
    return time_calls(lambda step: trial.report(0.5, step), points)


def time_calls(report: Callable[[int], None], points: int) -> tuple[float, float, float]:
    """Return median, 99th percentile and maximum, in milliseconds."""
    times = []
    for step in range(points):
        began = time.perf_counter()
        report(step)
        times.append(1e3 * (time.perf_counter() - began))
        time.sleep(0.001)
    times.sort()
    return times[points // 2], times[int(0.99 * points)], times[-1]


if __name__ == "__main__":
    main()
