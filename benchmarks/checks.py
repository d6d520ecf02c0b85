"""The exact-system checks over many seeds: measurements and error rates.

    nice -n 19 python -m benchmarks.checks [--seeds 20] [--first 1] [--processes 2]
        [--only C21,C22] [--json FILE] [--markdown FILE]

A verdict is wrong when it is not the expected one, be it the opposite or inconclusive. After each
seed the files are rewritten, so an interrupted run keeps its results.
"""

from __future__ import annotations

import argparse
import json
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path

from benchmarks.written import written_by
from ecd_tune.analysis.checks import CheckResult, Verdict
from ecd_tune.analysis.statistics import share_interval
from ecd_tune.lab import run_systems, system_checks

Pass = list[CheckResult]


def main() -> None:
    """Run every seed and write the page."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seeds", type=int, default=20)
    parser.add_argument("--first", type=int, default=1)
    parser.add_argument("--processes", type=int, default=2)
    parser.add_argument("--only", default="", help="ids of checks; all by default")
    parser.add_argument("--json", type=Path)
    parser.add_argument("--markdown", type=Path)
    arguments = parser.parse_args()
    passes: dict[int, Pass] = {}
    seconds: list[float] = []
    for seed in range(arguments.first, arguments.first + arguments.seeds):
        begin = time.perf_counter()
        checks = system_checks(arguments.only.split(",") if arguments.only else ())
        results = run_systems(checks, seed, arguments.processes)
        passes[seed] = sorted(results, key=lambda result: result.id)
        seconds.append(time.perf_counter() - begin)
        wrong = [f"{r.id} {r.verdict}" for r in passes[seed] if not r.as_expected]
        print(
            f"seed {seed}: {seconds[-1]:.0f} s, {', '.join(wrong) or 'all as expected'}", flush=True
        )
        if arguments.json:
            document = {seed: [r.to_json() for r in found] for seed, found in passes.items()}
            arguments.json.write_text(json.dumps(document, ensure_ascii=False))
        if arguments.markdown:
            arguments.markdown.write_text("\n".join(page(arguments, passes, seconds)) + "\n")


def page(
    arguments: argparse.Namespace, passes: dict[int, Pass], seconds: Sequence[float]
) -> Iterator[str]:
    """Yield the lines of the page."""
    first, last = min(passes), max(passes)
    flat = [result for found in passes.values() for result in found]
    wrong = sum(not result.as_expected for result in flat)
    interval = share_interval(wrong, len(flat))
    assert interval is not None
    yield "# Checks of the theory on exact systems"
    yield ""
    only = f"--only {arguments.only} " if arguments.only else ""
    yield from written_by(
        f"python -m benchmarks.checks {only}--first {first} --seeds {arguments.seeds} "
        f"--processes {arguments.processes}"
    )
    yield ""
    yield (
        f"Seeds {first} to {last}: {len(flat)} verdicts, {wrong} not as expected "
        f"({wrong / len(flat):.2%}; exact 95 % interval {interval.low:.2%} to "
        f"{interval.high:.2%}), of which {opposite(flat)} the opposite and "
        f"{wrong - opposite(flat)} inconclusive. A pass took {min(seconds):.0f} to "
        f"{max(seconds):.0f} s on a machine shared with other work."
    )
    yield ""
    yield "## Verdicts by check"
    yield ""
    yield "| check | relation | source | expected | supported | refuted | inconclusive |"
    yield "|---|---|---|---|---|---|---|"
    for result in passes[first]:
        counts = Counter(r.verdict for r in flat if r.id == result.id)
        cells = " | ".join(str(counts[verdict]) for verdict in Verdict)
        statement = result.relation.statement.replace("|", "\\|")
        yield (
            f"| {result.id} | {statement} | {result.relation.source} | {result.expects} | {cells} |"
        )
    yield ""
    yield f"## Measurements, seed {first}"
    yield ""
    yield "| check | case | statistic | predicted | measured | 95 % interval | verdict | units |"
    yield "|---|---|---|---|---|---|---|---|"
    for result in passes[first]:
        for f in result.findings:
            cells = (result.id, f.case, f.statistic, f.prediction, f"{f.measured:.5g}")
            cells += (f.interval, f.verdict, str(f.samples))
            yield "| " + " | ".join(cell.replace("|", "\\|") for cell in cells) + " |"


def opposite(results: Sequence[CheckResult]) -> int:
    """Return how many verdicts are the opposite of the expected one."""
    return sum(
        not result.as_expected and result.verdict is not Verdict.INCONCLUSIVE for result in results
    )


if __name__ == "__main__":
    main()
