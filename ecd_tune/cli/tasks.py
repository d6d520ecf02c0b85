"""``ecd-tune tasks``: what a study can be about."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Annotated, Any

import typer

from ecd_tune.cli.options import AsJson
from ecd_tune.registry import TASKS, Option, TaskDef

__all__ = ["render_tasks", "tasks"]


def tasks(
    as_json: AsJson = False,
    markdown: Annotated[
        bool, typer.Option("--markdown", help="Print the page docs/tasks.md.")
    ] = False,
) -> None:
    """List the tasks that a study can be about, with their options."""
    if as_json:
        typer.echo(json.dumps([_entry(task) for task in TASKS], indent=2, ensure_ascii=False))
    elif markdown:
        typer.echo(render_tasks(), nl=False)
    else:
        for task in TASKS:
            typer.echo(f"{task.name:<16} {task.title}; {task.metric}, {task.direction.value}")


def render_tasks() -> str:
    """Return ``docs/tasks.md``: every task and option, from their definitions."""
    return "\n".join(_page()) + "\n"


def _page() -> Iterator[str]:
    yield "# Tasks"
    yield ""
    yield (
        "Made by `ecd-tune tasks --markdown`. A study names one of these in `[task]`; the options "
        "stand beside the name."
    )
    for task in TASKS:
        yield ""
        yield f"## `{task.name}`"
        yield ""
        yield (
            f"{task.title} ({task.source}). A trial's value is the {task.metric}, "
            f"{task.direction.value}d; its length counts {task.budget_unit}."
        )
        if task.groups:
            names = ", ".join(f"`{name}`" for name in task.groups)
            yield f"Groups of its parameters: {names}."
        yield ""
        yield "| option | default | allowed | meaning |"
        yield "|---|---|---|---|"
        for name, option in task.options.items():
            yield f"| `{name}` | `{option.default!r}` | {_allowed(option)} | {option.doc} |"


def _allowed(option: Option) -> str:
    if option.choices:
        return ", ".join(f"`{choice!r}`" for choice in option.choices)
    return option.kind.__name__


def _entry(task: TaskDef) -> dict[str, Any]:
    return {
        "name": task.name,
        "title": task.title,
        "metric": task.metric,
        "direction": task.direction.value,
        "unit": task.budget_unit,
        "source": task.source,
        "groups": list(task.groups),
        "options": {
            name: {"default": option.default, "allowed": _allowed(option), "meaning": option.doc}
            for name, option in task.options.items()
        },
    }
