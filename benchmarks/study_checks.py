"""The checks on simulated random searches: measurements and shares of correct verdicts.

    nice -n 19 python -m benchmarks.study_checks [--seeds 10] [--first 1] [--subsets 20]
        [--markdown FILE]

Every trial runs 4000 steps of the optimizers' own step on a quadratic bowl of n = 50, condition
10, Fmin = 1, s = 0, at η uniform in [1.25, 4], Δt logarithmic in [0.1, 3.2] and ν√n logarithmic
in [0.03, 1] (Algorithm 1: to 3). From the 160 trials of each search smaller ones are drawn at
random, without replacement.
"""

from __future__ import annotations

import argparse
import time
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import torch

from benchmarks.written import written_by
from ecd_tune.analysis.checks import CHECKS, Finding, StudyTrials, Verdict
from ecd_tune.lab.searches import Bowl, simulated_search, take

SIZES = (20, 40, 80)


@dataclass(frozen=True)
class Case:
    """A search, its checks, and the correct verdicts."""

    title: str
    bowl: Bowl
    checks: tuple[str, ...]
    right: Verdict = Verdict.SUPPORTED


KNOWN = ", F_min known"
"""Suffix of a check with a known lowest loss."""
LAWS = ("S1", "S1" + KNOWN, "S2", "S3", "S6", "S7")
CASES = (
    Case("sync", Bowl("sync"), LAWS),
    Case("Algorithm 1", Bowl("algorithm1"), (*LAWS[:4], "S4", "S4" + KNOWN, *LAWS[4:])),
    Case("sync, F0 = Fmin", Bowl("sync", F0=1.0), ("S1" + KNOWN,), Verdict.REFUTED),
    Case("Algorithm 1, F0 = Fmin", Bowl("algorithm1", F0=1.0), ("S1" + KNOWN,), Verdict.REFUTED),
)


@dataclass
class Tally:
    """Results of one check for one case, over seeds."""

    findings: list[tuple[Finding, ...]] = field(default_factory=list)
    verdicts: Counter[Verdict] = field(default_factory=Counter)
    small: dict[int, Counter[Verdict]] = field(
        default_factory=lambda: {size: Counter() for size in SIZES}
    )


def main() -> None:
    """Simulate, check and write the page."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seeds", type=int, default=10)
    parser.add_argument("--first", type=int, default=1)
    parser.add_argument("--subsets", type=int, default=20)
    parser.add_argument("--markdown", type=Path)
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    tallies = {(case.title, check): Tally() for case in CASES for check in case.checks}
    for seed in range(arguments.first, arguments.first + arguments.seeds):
        for case in CASES:
            begin = time.perf_counter()
            data = simulated_search(case.bowl, seed)
            ran = time.perf_counter() - begin
            check_search(case, data, seed, arguments.subsets, tallies)
            checking = time.perf_counter() - begin - ran
            print(f"seed {seed}, {case.title}: {ran:.0f} s + {checking:.0f} s", flush=True)
        if arguments.markdown:
            arguments.markdown.write_text("\n".join(page(arguments, seed, tallies)) + "\n")


def check_search(
    case: Case,
    data: StudyTrials,
    seed: int,
    subsets: int,
    tallies: Mapping[tuple[str, str], Tally],
) -> None:
    """Check a whole search and parts of it."""
    rng = np.random.default_rng(seed)
    parts = [
        (size, rng.choice(case.bowl.trials, size, replace=False))
        for size in SIZES
        for _ in range(subsets)
    ]
    for name in case.checks:
        check, tally = CHECKS.get(name.removesuffix(KNOWN)), tallies[case.title, name]
        options = {"F_min": case.bowl.F_min} if name.endswith(KNOWN) else {}
        whole = check.run(take(data, range(case.bowl.trials), **options))
        tally.findings.append(whole.findings)
        tally.verdicts[whole.verdict] += 1
        for size, chosen in parts:
            tally.small[size][check.run(take(data, chosen, **options)).verdict] += 1


def page(
    arguments: argparse.Namespace, last: int, tallies: Mapping[tuple[str, str], Tally]
) -> Iterator[str]:
    """Yield the lines of the page."""
    seeds = last - arguments.first + 1
    yield "# Checks on studies, on simulated searches"
    yield ""
    yield from written_by(
        f"python -m benchmarks.study_checks --first {arguments.first} --seeds {seeds} "
        f"--subsets {arguments.subsets}"
    )
    yield ""
    yield (
        "Each search is 160 random trials of 4000 steps on a quadratic bowl: n = 50, F2 from 0.1 "
        "to 1, Fmin = 1, F0 = 0, s = 0, δE = 1; η uniform in [1.25, 4], Δt logarithmic in "
        "[0.1, 3.2], ν√n logarithmic in [0.03, 1], for Algorithm 1 in [0.03, 3]. F̂min is estimated "
        "by the check if it is not known; with too few stationary trials it is a guess, and the "
        "verdict is inconclusive. If F0 = Fmin, a larger η is slower: S1 must be refuted."
    )
    yield ""
    yield f"## Measurements, {seeds} searches of 160 trials"
    yield ""
    yield (
        "| search | check | statistic | predicted | mean | spread over searches "
        "| mean standard error | trials used | supported | refuted | inconclusive |"
    )
    yield "|---|---|---|---|---|---|---|---|---|---|---|"
    for (title, check), tally in tallies.items():
        for i, finding in enumerate(tally.findings[0]):
            found = [findings[i] for findings in tally.findings]
            yield "| " + " | ".join(row(title, check, finding, found)) + " |"
    yield ""
    yield "## Share of correct verdicts"
    yield ""
    yield (
        f"{arguments.subsets} random parts of each search, {arguments.subsets * seeds} of each "
        "size: share of correct verdicts / wrong ones (the opposite); the rest is inconclusive."
    )
    yield ""
    yield f"| search | check | correct | {' | '.join(f'{size} trials' for size in SIZES)} | 160 |"
    yield "|---|---|---|---|---|---|---|"
    rights = {case.title: case.right for case in CASES}
    for (title, check), tally in tallies.items():
        right = rights[title]
        counts = [*tally.small.values(), tally.verdicts]
        cells = " | ".join(shares(count, right) for count in counts)
        yield f"| {title} | {check} | {right} | {cells} |"


def row(title: str, check: str, first: Finding, found: Sequence[Finding]) -> Iterator[str]:
    """Yield the cells of one statistic."""
    values = np.array([finding.measured for finding in found])
    widths = [(f.high - f.low) / 3.92 for f in found if f.high is not None and f.low is not None]
    counts = Counter(finding.verdict for finding in found)
    yield from (title, check, first.statistic, first.prediction)
    yield f"{values.mean():.4g}"
    yield f"{values.std(ddof=1):.2g}" if len(values) > 1 else "–"
    yield f"{np.mean(widths):.2g}"
    yield f"{np.mean([finding.samples for finding in found]):.0f}"
    yield from (str(counts[verdict]) for verdict in Verdict)


def shares(counts: Counter[Verdict], right: Verdict) -> str:
    """Return the shares of right and of wrong verdicts."""
    total = sum(counts.values())
    wrong = total - counts[right] - counts[Verdict.INCONCLUSIVE]
    return f"{counts[right] / total:.2f} / {wrong / total:.2f}"


if __name__ == "__main__":
    main()
