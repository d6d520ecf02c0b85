"""``ecd-tune db``: the database's tables."""

from __future__ import annotations

import dataclasses
import json
from typing import TYPE_CHECKING

import typer

from ecd_tune.cli.examples import example_of
from ecd_tune.cli.options import DEFAULT_STORAGE, AsJson, Storage

if TYPE_CHECKING:
    from ecd_tune.store import SchemaState

__all__ = ["db"]

_NOT_CURRENT = 1

db = typer.Typer(
    no_args_is_help=True,
    help="Create, migrate and check the database's tables.",
    context_settings={"help_option_names": ["-h", "--help"]},
)


@db.command(epilog=example_of("db upgrade"))
def upgrade(storage: Storage = DEFAULT_STORAGE) -> None:
    """Create or migrate the tables; several processes may do this at the same time."""
    from ecd_tune.store import Store, schema_state

    with Store.open(storage):
        pass
    state = schema_state(storage)
    typer.echo(f"{state.storage}: {state.words}")


@db.command(epilog=example_of("db current"))
def current(storage: Storage = DEFAULT_STORAGE, as_json: AsJson = False) -> None:
    """Print the version of the schema and the required version."""
    from ecd_tune.store import schema_state

    state = schema_state(storage)
    typer.echo(_as_json(state) if as_json else f"{state.storage}: {state.words}")


@db.command(epilog=example_of("db check"))
def check(storage: Storage = DEFAULT_STORAGE, as_json: AsJson = False) -> None:
    """Exit with status 1 if the schema must be upgraded."""
    from ecd_tune.store import schema_state

    state = schema_state(storage)
    if as_json:
        typer.echo(_as_json(state))
    elif state.current:
        typer.echo(f"{state.storage}: {state.words}")
    else:
        typer.echo(f"{state.storage}: {state.words}; run `ecd-tune db upgrade`", err=True)
    raise typer.Exit(0 if state.current else _NOT_CURRENT)


def _as_json(state: SchemaState) -> str:
    return json.dumps(dataclasses.asdict(state) | {"current": state.current}, indent=2)
