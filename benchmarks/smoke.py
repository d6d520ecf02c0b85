"""Run the smoke form of every shipped study as a user would, and write how long each takes.

    python -m benchmarks.smoke [NAME ...] [--out docs/results/smoke.md]

Needs the small data sets (``ECD_TUNE_DATA``). One study at a time, one worker, one thread.
"""

from __future__ import annotations

import argparse
import os
import platform
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path

from ecd_tune.cli.display import Meter
from ecd_tune.spec import find_study, load_study, shipped_studies
from ecd_tune.spec.files import read_table

COMMAND = "ecd-tune run {} --smoke"
PACKAGES = ("ecd_tune", "torch", "optuna", "transformers", "numpy", "scipy")


def main() -> None:
    """Run them and write the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("names", nargs="*", default=[])
    parser.add_argument("--out", type=Path)
    parser.add_argument("--reports", type=Path, help="copy the reports to this folder")
    arguments = parser.parse_args()
    rows = []
    for name in arguments.names or smoke_studies():
        rows.append(measure(name, arguments.reports))
        print(rows[-1], flush=True)
    if arguments.out:
        arguments.out.write_text(page(rows), encoding="utf-8")
    if any("| 0 |" not in row for row in rows):
        sys.exit(1)


def smoke_studies() -> list[str]:
    """Return the names of the studies that have a smoke form, family by family."""
    paths = shipped_studies()
    named = [
        (path.parent.name, name) for name, path in paths.items() if "smoke" in read_table(path)
    ]
    return [name for _, name in sorted(named)]


def measure(name: str, kept: Path | None = None) -> str:
    """Run one smoke form in an empty folder; return its row."""
    spec = load_study(find_study(name), smoke=True)
    with tempfile.TemporaryDirectory() as folder:
        environment = {**os.environ, "OMP_NUM_THREADS": "1"}
        began = time.perf_counter()
        command = [sys.executable, "-m", "ecd_tune", "run", name, "--smoke"]
        result = subprocess.run(
            command, cwd=folder, env=environment, capture_output=True, text=True, check=False
        )
        seconds = time.perf_counter() - began
        check_report(Path(folder) / "reports" / spec.name / "report.md", result)
        if kept is not None:
            shutil.copytree(Path(folder) / "reports", kept, dirs_exist_ok=True)
    runs = Meter(spec, 0.0).total
    real = load_study(find_study(name)).task.name
    stand_in = spec.task.name if spec.task.name != real else f"{real}, smaller"
    return f"| `{name}` | {real} | {stand_in} | {runs} | {seconds:.0f} | {result.returncode} |"


def check_report(path: Path, result: subprocess.CompletedProcess[str]) -> None:
    """Print what a run said that made no report, or one that does not say what it is."""
    if not path.is_file():
        print(result.stdout[-2000:], result.stderr[-2000:], sep="\n", file=sys.stderr)
    elif not path.read_text(encoding="utf-8").splitlines()[2].startswith("This is a smoke run"):
        print(
            f"{path.parent.name}: the report does not say that it is a smoke run", file=sys.stderr
        )


def page(rows: Sequence[str]) -> str:
    """Return the page."""
    return "\n".join([*head(), *rows]) + "\n"


def head() -> Iterator[str]:
    """Yield what stands before the rows."""
    versions = ", ".join(f"{name} {version(name)}" for name in PACKAGES)
    yield "# Smoke runs"
    yield ""
    yield (
        "Made by `python -m benchmarks.smoke --out docs/results/smoke.md`: each shipped study that "
        f"has one as `{COMMAND.format('NAME')}`, one after the other, with one worker and one "
        "thread. A smoke run shows that a study runs the whole way, and no more; its report says "
        "so, and what stands in for what."
    )
    yield ""
    yield (
        f"{datetime.now(UTC):%Y-%m-%d}, {platform.system()} {platform.machine()}, "
        f"{os.cpu_count()} cores, no GPU used; Python {platform.python_version()}, {versions}. "
        f"The load average of the last 15 minutes was {os.getloadavg()[2]:.1f} at the end: above "
        "1, other work shared the cores. Image tasks decode their subset in the first run on a "
        "machine."
    )
    yield ""
    yield "| study | task | trained here | runs | seconds | exit |"
    yield "|---|---|---|---|---|---|"


if __name__ == "__main__":
    main()
