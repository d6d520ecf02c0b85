"""``ecd-tune check``: predictions of the theory compared with measurements."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Annotated, Any

import typer

from ecd_tune.cli.options import (
    DEFAULT_STORAGE,
    AsJson,
    Optimizers,
    Smoke,
    Storage,
    complete_study,
    resolve_study,
)

if TYPE_CHECKING:
    from ecd_tune.analysis.checks import CheckResult, Finding, StudyCheckResult
    from ecd_tune.spec import StudySpec

__all__ = ["check", "render_result"]

NOT_AS_EXPECTED = 1
_SYSTEMS_SEED = 7


def check(
    study: Annotated[
        str | None,
        typer.Argument(
            metavar="STUDY",
            help="Study whose stored trials are checked: name of a shipped study, path of a .toml "
            "file, or a task of your own.",
            show_default=False,
            autocompletion=complete_study,
        ),
    ] = None,
    systems: Annotated[
        bool, typer.Option("--systems", help="Check exact systems; takes about two minutes.")
    ] = False,
    storage: Storage = DEFAULT_STORAGE,
    as_json: AsJson = False,
    only: Annotated[
        str | None,
        typer.Option(
            help="Ids of checks, comma-separated; for a study also undeclared ones. [default: "
            "all; for a study those that it declares]"
        ),
    ] = None,
    seed: Annotated[
        int | None,
        typer.Option(
            min=0,
            help="Seed of the exact systems, or the seed that the study was run with. [default: "
            "7, or as in the file]",
        ),
    ] = None,
    optimizers: Optimizers = None,
    smoke: Smoke = False,
    processes: Annotated[
        int | None,
        typer.Option(min=1, help="Number of processes, with --systems. [default: one per core]"),
    ] = None,
    fused: Annotated[
        bool, typer.Option("--fused", help="With --systems: use the compiled step.")
    ] = False,
) -> None:
    """Check what the theory predicts, on exact systems or on a study's trials.

    Exit status 1: a verdict is not the expected one. Ids with N are negative controls: wrong
    hypotheses that must be refuted. A study declares its checks in its file, before it runs.
    """
    if systems == (study is not None):
        raise typer.BadParameter("give a STUDY, or --systems")
    names = [name.strip() for name in only.split(",")] if only else []
    if study is None:
        _check_systems(names, _SYSTEMS_SEED if seed is None else seed, processes, as_json, fused)
    else:
        spec = resolve_study(study, None, seed, optimizers, smoke, storage=storage)
        _check_study(spec, storage, names, as_json)


def _check_systems(
    names: list[str], seed: int, processes: int | None, as_json: bool, fused: bool
) -> None:
    from ecd_tune.lab import run_systems, system_checks

    chosen = system_checks(names)
    results = []
    count = min(processes or len(os.sched_getaffinity(0)), len({c.family for c in chosen}))
    for result in run_systems(chosen, seed, count, fused=fused):
        results.append(result)
        if not as_json:
            typer.echo(render_result(result))
    results.sort(key=lambda result: result.id)
    if as_json:
        _print_json({"seed": seed, "results": [r.to_json() for r in results]})
    wrong = [result.id for result in results if not result.as_expected]
    _close(len(results), wrong, f"seed {seed}", as_json)


def _check_study(spec: StudySpec, storage: str, names: Sequence[str], as_json: bool) -> None:
    from ecd_tune.analysis.checks import reservations
    from ecd_tune.cli.collect import check_trials, fetch_trials
    from ecd_tune.spec import find_study_check
    from ecd_tune.store import Store

    for name in names:
        find_study_check(name)
    with Store.open(storage, create=False) as store:
        store.check(spec)
        trials = fetch_trials(store, spec, curves=False)
        checked = check_trials(store, spec, trials, names)
    wrong = [f"{entry.check.name} ({entry.title})" for entry in checked if entry.failed]
    if as_json:
        results = [entry.to_json() for entry in checked]
        _print_json({"study": spec.name, "results": results})
        _close(len(checked), wrong, f"study {spec.name}", as_json)
        return
    if not checked:
        typer.echo(
            f"Study {spec.name} declares no checks. Declare them in [[checks]] tables of its file "
            "before it is run (docs/study-files.md), or select some with --only S1,S12."
        )
        return
    for entry in checked:
        typer.echo(_render_study_result(entry))
    for sentence in reservations(spec, trials):
        typer.echo(sentence)
    _close(len(checked), wrong, f"study {spec.name}", as_json)


def _close(count: int, wrong: Sequence[str], of: str, quiet: bool) -> None:
    """Print how many verdicts are as expected, unless the output is JSON, and exit.

    Raises:
        Exit: Some are not.
    """
    typer.echo(f"{count - len(wrong)} of {count} verdicts as expected, {of}", err=quiet)
    if wrong:
        typer.echo(f"not as expected: {', '.join(wrong)}", err=quiet)
        raise typer.Exit(NOT_AS_EXPECTED)


def render_result(result: CheckResult) -> str:
    """Return a check's result as lines of text: relation, then predicted against measured.

    Args:
        result: The result.

    Returns:
        Lines without the last line's end.
    """
    control = "negative control" if result.expects == "refuted" else ""
    return "\n".join(_lines(result, control))


def _lines(result: CheckResult, about: str) -> Iterator[str]:
    mark = "" if result.as_expected else f", expected {result.expects}"
    about = f" [{about}]" if about else ""
    yield f"{result.id} {result.verdict}{mark}: {result.relation.statement}{about}"
    yield f"    {result.relation.source}; rule {result.rule}"
    for finding in result.findings:
        case = f"{finding.case}: " if finding.case else ""
        yield f"    {case}{_numbers(finding)} {finding.verdict}"
        if finding.left_out:
            yield f"        {finding.samples} trials; left out: {finding.left_out}"


def _numbers(finding: Finding) -> str:
    text = f"{finding.statistic} predicted {finding.prediction}, measured {finding.measurement}"
    note = f"({finding.note})" if finding.note else ""
    return " ".join(part for part in (text, finding.interval, note) if part)


def _render_study_result(checked: StudyCheckResult) -> str:
    result = checked.result
    about = f"{checked.title}; {checked.declared}"
    if result.expects == "refuted":
        about += "; negative control, refuted is expected"
    if result.advisory:
        about += f"; advisory: {result.advisory}"
    return "\n".join(_lines(result, about))


def _print_json(document: Mapping[str, Any]) -> None:
    import ecd_tune

    document = {"ecd_tune": ecd_tune.__version__, **document}
    typer.echo(json.dumps(document, indent=2, ensure_ascii=False))
