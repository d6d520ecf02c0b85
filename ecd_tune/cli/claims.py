"""``ecd-tune claims``: the paper's claims, one by one, with verdicts."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from ecd_tune.cli.options import AsJson

if TYPE_CHECKING:
    from ecd_tune.lab.claims import ClaimResults, RecordedResult

__all__ = ["claims"]


def claims(
    as_json: AsJson = False,
    markdown: Annotated[
        bool, typer.Option("--markdown", help="Print the page docs/claims.md.")
    ] = False,
    results: Annotated[
        list[Path] | None,
        typer.Option(
            metavar="PATH",
            help="File with the output of `ecd-tune check --json`, or a folder with such files "
            "named checks.json; may be repeated.",
        ),
    ] = None,
    run: Annotated[
        bool,
        typer.Option(
            help="Run the checks of exact systems that are missing in the results; about two "
            "minutes."
        ),
    ] = True,
    seed: Annotated[int, typer.Option(min=0, help="Seed of the checks that are run.")] = 7,
    processes: Annotated[
        int | None, typer.Option(min=1, help="Number of processes. [default: one per core]")
    ] = None,
) -> None:
    """Evaluate the paper's quantitative claims: supported, refuted, inconclusive or not tested."""
    from ecd_tune.lab.claims import (
        Evidence,
        evaluate_claims,
        needed_systems,
        read_printed,
        read_results,
        render_page,
    )

    given = tuple(entry for path in results or () for entry in read_results(path))
    known = {entry.result.id for entry in given if not entry.study}
    missing = [name for name in needed_systems() if name not in known]
    if run and missing:
        typer.echo(f"running {len(missing)} checks of exact systems, seed {seed}", err=True)
        given += _run(missing, seed, processes or len(os.sched_getaffinity(0)))
    result = evaluate_claims(Evidence(read_printed(), given))
    if as_json:
        typer.echo(json.dumps(list(_entries(result)), indent=2, ensure_ascii=False))
    elif markdown:
        typer.echo(render_page(result), nl=False)
    else:
        typer.echo("\n".join(_lines(result)))


def _run(names: Sequence[str], seed: int, processes: int) -> tuple[RecordedResult, ...]:
    from ecd_tune.lab import run_systems, system_checks
    from ecd_tune.lab.claims import record_results

    return record_results(run_systems(system_checks(names), seed, processes), seed)


def _lines(sections: ClaimResults) -> Iterator[str]:
    from ecd_tune.lab.claims import Decision, count_decisions

    for section, claims_of_it in sections:
        yield section.title
        for result in claims_of_it:
            yield f"  {result.decision}: {result.claim.printed.text}"
            yield f"      {result.claim.id}; {result.claim.where}"
            for statement, found in result.pairs[1:]:
                yield f"      {result.relation}, {found.decision}: {statement.text}"
        yield ""
    counts = count_decisions(sections)
    words = ", ".join(f"{counts[decision]} {decision}" for decision in Decision)
    yield f"{sum(counts.values())} claims as printed: {words}"


def _entries(sections: ClaimResults) -> Iterator[dict[str, Any]]:
    for section, claims_of_it in sections:
        for result in claims_of_it:
            yield {"section": section.title} | result.to_json()
