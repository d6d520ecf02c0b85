"""``ecd-tune check``: what the theory predicts, against what is measured."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from ecd_tune.analysis.checks import CheckResult, Finding

__all__ = ["check", "render_result"]

NOT_AS_EXPECTED = 1


def check(
    systems: Annotated[
        bool, typer.Option("--systems", help="Run the exact systems; about two minutes.")
    ] = False,
    json_file: Annotated[
        Path | None, typer.Option("--json", help="Also write the results to this file.")
    ] = None,
    seed: Annotated[int, typer.Option(min=0, help="Seed of everything random.")] = 7,
    only: Annotated[
        str | None, typer.Option(help="Ids of checks, separated by commas. [default: all]")
    ] = None,
    processes: Annotated[
        int | None, typer.Option(min=1, help="Processes. [default: one a core]")
    ] = None,
) -> None:
    """Check what the theory predicts; status 1 when a verdict is not the expected one.

    Ids with N are negative controls: wrong hypotheses that must come out refuted.
    """
    if not systems:
        raise typer.BadParameter("say what to check: --systems")
    from ecd_tune.analysis.checks import run_systems, system_checks

    chosen = system_checks([name.strip() for name in only.split(",")] if only else [])
    # After the names are checked, since torch is slow to import.
    from ecd_tune.optim.chains import ChainRunner

    results = []
    count = min(processes or len(os.sched_getaffinity(0)), len({c.family for c in chosen}))
    for result in run_systems(chosen, partial(ChainRunner, threads=1), seed, count):
        results.append(result)
        typer.echo(render_result(result))
    results.sort(key=lambda result: result.id)
    if json_file is not None:
        _write_json(json_file, seed, results)
    wrong = [result.id for result in results if not result.as_expected]
    typer.echo(f"{len(results) - len(wrong)} of {len(results)} verdicts as expected, seed {seed}")
    if wrong:
        typer.echo(f"not as expected: {', '.join(wrong)}")
        raise typer.Exit(NOT_AS_EXPECTED)


def render_result(result: CheckResult) -> str:
    """Return a check's result as lines of text: relation, then predicted against measured.

    Args:
        result: The result.

    Returns:
        Lines without the last line's end.
    """
    return "\n".join(_lines(result))


def _lines(result: CheckResult) -> Iterator[str]:
    mark = "" if result.as_expected else f", expected {result.expects}"
    control = " [negative control]" if result.expects == "refuted" else ""
    yield f"{result.id} {result.verdict}{mark}: {result.relation.statement}{control}"
    yield f"    {result.relation.source}; rule {result.rule}"
    for finding in result.findings:
        yield f"    {finding.case}: {_numbers(finding)} {finding.verdict}"


def _numbers(finding: Finding) -> str:
    text = f"{finding.statistic} predicted {finding.prediction}, measured {finding.measured:.5g}"
    note = f"({finding.note})" if finding.note else ""
    return " ".join(part for part in (text, finding.interval, note) if part)


def _write_json(path: Path, seed: int, results: list[CheckResult]) -> None:
    """Write the results.

    Raises:
        ReportError: The file cannot be written.
    """
    import ecd_tune
    from ecd_tune.errors import ReportError

    document = {
        "ecd_tune": ecd_tune.__version__,
        "seed": seed,
        "results": [result.to_json() for result in results],
    }
    try:
        path.write_text(json.dumps(document, indent=2, ensure_ascii=False) + "\n")
    except OSError as error:
        raise ReportError(
            f"--json {path}: cannot be written ({error.strerror}); name a file in a folder that "
            "exists and that you may write to"
        ) from error
