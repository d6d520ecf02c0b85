"""Run the short form of the benchmarks and write one page.

    python -m benchmarks [--out docs/results/bench.md] [NAME ...]

Each is a script of its own in a process of its own, with its peer beside it in the same run; the
page has its command, its table, and how long it took. Within six minutes on two cores.
"""

from __future__ import annotations

import argparse
import os
import platform
import subprocess
import sys
import time
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path

RUNS = (
    "step --sizes digits 100k --turns 15",
    "step --sizes digits --turns 5 --train",
    "training --cases digits bert --turns 7 --steps 8",
    "vectorised",
    "search --peer-trials 20",
    "storage --seconds 1",
    "asking --backends sqlite --trials 5000 --asks 5",
    "reports --points 500",
    "workers --rounds 1 --trials 60",
)
"""Module and arguments of each, the quick ones of each subject."""
PACKAGES = ("torch", "optuna", "sqlalchemy", "numpy")
HERE = Path(__file__).parent


def processor() -> str:
    """Return the processor's name and the number of cores that may be used."""
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        lines = []
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return f"{len(os.sched_getaffinity(0))} cores of {names[0] if names else platform.processor()}"


def run(command: str) -> tuple[str, float]:
    """Run one script; return what it printed and its seconds."""
    name, *arguments = command.split()
    path = os.pathsep.join([str(HERE.parent), str(HERE), os.environ.get("PYTHONPATH", "")])
    began = time.monotonic()
    done = subprocess.run(
        [sys.executable, "-m", f"benchmarks.{name}", *arguments],
        env={**os.environ, "PYTHONPATH": path},
        stdout=subprocess.PIPE,
        text=True,
        check=False,
    )
    if done.returncode:
        done.stdout += f"\nEnded with status {done.returncode}.\n"
    return done.stdout, time.monotonic() - began


def tables(printed: str) -> str:
    """Keep tables and sentences; leave out what tells of progress."""
    lines = [line for line in printed.splitlines() if not line.startswith((" ", "\t", "{"))]
    return "\n".join(lines).strip()


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("names", nargs="*", help="only these modules")
    parser.add_argument("--out", type=Path)
    arguments = parser.parse_args()
    chosen = [r for r in RUNS if not arguments.names or r.split()[0] in arguments.names]
    versions = ", ".join(f"{package} {version(package)}" for package in PACKAGES)
    load = f"{os.getloadavg()[0]:.1f}"
    page = [
        "# Short benchmarks",
        "",
        f"Made by `make bench` on {datetime.now(UTC):%Y-%m-%d}: {processor()}, Python "
        f"{platform.python_version()}, {versions}; load at the start {load}. The longer runs and "
        "what follows from them are in [benchmarks](../benchmarks.md).",
    ]
    failed = 0
    for command in chosen:
        printed, seconds = run(command)
        failed += "Ended with status" in printed
        section = f"\n## `python -m benchmarks.{command}`\n\n{tables(printed)}\n\n{seconds:.0f} s"
        page.append(section)
        print(section, flush=True)
    if arguments.out:
        arguments.out.write_text("\n".join(page) + "\n")
    return int(failed > 0)


if __name__ == "__main__":
    sys.exit(main())
