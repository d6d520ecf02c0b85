"""``ecd-tune studies``, ``show`` and ``validate``: look at study files."""

from __future__ import annotations

import json
from typing import Annotated, Any

import typer

from ecd_tune.cli.options import AsJson, Smoke, StudyName, resolve_study
from ecd_tune.errors import SpecError, UnknownNameError
from ecd_tune.records import Stage
from ecd_tune.spec import StudySpec, load_study, shipped_studies
from ecd_tune.spec.files import read_table
from ecd_tune.text import count

__all__ = ["show", "studies", "validate"]

_INVALID = 2


def studies(
    family: Annotated[
        str | None,
        typer.Argument(
            metavar="FAMILY",
            help="Only this family, a heading of the list, such as synthetic or graphs.",
            show_default=False,
        ),
    ] = None,
    as_json: AsJson = False,
) -> None:
    """List the studies that ship with ecd_tune.

    Studies of the paper's experiments end in -paper (its grids, its protocol) or -wide (wide
    spaces, clean protocol).
    """
    families = _load_families(family)
    if as_json:
        entries = [entry for rows in families.values() for entry in rows]
        typer.echo(json.dumps(entries, indent=2))
        return
    from rich import box
    from rich.console import Console
    from rich.table import Table

    table = Table(box=box.SIMPLE_HEAD)
    table.add_column("study", no_wrap=True)
    for column in ("protocol", "trials × steps", "content"):
        table.add_column(column, overflow="fold")
    for family_name, entries in families.items():
        table.add_row(f"[bold]{family_name}[/bold]")
        for entry in entries:
            size = f"{entry['trials']} × {entry['steps']}"
            name = f" {entry['name']}{'' if entry['smoke'] else ' *'}"
            table.add_row(name, entry["protocol"], size, entry["title"])
        table.add_section()
    Console().print(table)
    typer.echo(
        "ecd-tune show NAME shows details; ecd-tune run NAME --smoke runs a short form (*: none)."
    )


def _load_families(family: str | None) -> dict[str, list[dict[str, Any]]]:
    families: dict[str, list[dict[str, Any]]] = {}
    for path in shipped_studies().values():
        if family in (None, path.parent.name):
            entry = {**_entry(load_study(path)), "smoke": "smoke" in read_table(path)}
            families.setdefault(path.parent.name, []).append(entry)
    if not families:
        known = sorted({path.parent.name for path in shipped_studies().values()})
        raise UnknownNameError("family of studies", str(family), known)
    return {name: families[name] for name in sorted(families, key=_family_order)}


def _family_order(name: str) -> tuple[int, str]:
    # From studies that run in a minute to those that need data and a GPU.
    order = ("synthetic", "digits", "images", "graphs", "glue")
    return (order.index(name) if name in order else len(order), name)


def show(study: StudyName, smoke: Smoke = False, as_json: AsJson = False) -> None:
    """Show what a study does: task, spaces, budget, confirmation, checks."""
    spec = resolve_study(study, smoke=smoke)
    if as_json:
        typer.echo(json.dumps(spec.model_dump(mode="json"), indent=2, ensure_ascii=False))
        return
    task = spec.task_def
    typer.echo(f"{spec.name}: {spec.title}" if spec.title else spec.name)
    if spec.summary:
        typer.echo(f"\n{spec.summary.strip()}")
    typer.echo(f"\ntask          {task.name} ({task.title}; {task.source})")
    mark = " (oracle)" if spec.oracle else ""
    typer.echo(f"value         {spec.metric}{mark}, {task.direction.value}")
    typer.echo(f"options       {_pairs(spec.task_options(Stage.SEARCH))}")
    typer.echo(f"protocol      {spec.protocol}, seed {spec.seed}")
    typer.echo(f"sampler       {spec.sampler.name} {_pairs(spec.sampler.options)}".rstrip())
    if spec.sampler.why:
        typer.echo(f"              auto: {spec.sampler.why}")
    typer.echo(f"one trial     {spec.budget.steps} {task.budget_unit}")
    if spec.budget.timeout is not None:
        typer.echo(f"              ends after {spec.budget.timeout:g} s")
    if spec.search.repeats > 1:
        typer.echo(f"searches      {spec.search.repeats} of each optimizer")
    if spec.search.from_study is not None:
        first = f"the best {spec.search.from_best} of study {spec.search.from_study}"
        typer.echo(f"first trials  {first}")
    if spec.selection.top:
        again = f"the best {count(spec.selection.top, 'trial')}"
        typer.echo(f"selection     {again} under {count(spec.selection.runs, 'seed')}")
    if spec.confirmation.runs:
        changes = _pairs(spec.confirmation.task)
        typer.echo(
            f"confirmation  {count(spec.confirmation.runs, 'run')} of {spec.steps(Stage.CONFIRM)} "
            f"{task.budget_unit}{', with ' * bool(changes)}{changes}"
        )
    for key, optimizer in spec.optimizers.items():
        typer.echo(f"\n{key} ({optimizer.definition.title}), {count(spec.trials(key), 'trial')}")
        for name, text in optimizer.space.describe().items():
            typer.echo(f"  {name:<16} {text}")
        for reference in optimizer.references:
            typer.echo(f"  reference {reference.label}: {_pairs(reference.params)}")
        for check in spec.checks_of(key):
            typer.echo(f"  check {check.describe()}")


def validate(study: StudyName, smoke: Smoke = False, as_json: AsJson = False) -> None:
    """Check a study file; all problems are reported with file and key."""
    try:
        spec = resolve_study(study, smoke=smoke)
    except SpecError as error:
        if not as_json:
            raise
        typer.echo(json.dumps({"valid": False, "problems": str(error).splitlines()}, indent=2))
        raise typer.Exit(_INVALID) from None
    trials = sum(spec.trials(key) for key in spec.optimizers)
    if as_json:
        found = {"valid": True, "study": spec.name, "optimizers": list(spec.optimizers)}
        typer.echo(json.dumps({**found, "trials": trials}, indent=2))
        return
    size = f"{count(len(spec.optimizers), 'optimizer')}, {count(trials, 'trial')}"
    typer.echo(f"{study}: valid; {size}")


def _entry(spec: StudySpec) -> dict[str, Any]:
    trials = {key: spec.trials(key) for key in spec.optimizers}
    counts = sorted(set(trials.values()))
    return {
        "name": spec.name,
        "title": spec.title,
        "task": spec.task.name,
        "protocol": spec.protocol,
        "optimizers": list(spec.optimizers),
        "trials": counts[0] if len(counts) == 1 else f"{counts[0]}–{counts[-1]}",
        "steps": spec.budget.steps,
        "confirmation_runs": spec.confirmation.runs,
    }


def _pairs(values: Any) -> str:
    return ", ".join(f"{name} = {value}" for name, value in dict(values).items())
