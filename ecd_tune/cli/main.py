"""``ecd-tune``: the commands, and how errors reach the user."""

from __future__ import annotations

import io
import sys
from typing import Annotated

import typer

import ecd_tune
from ecd_tune.cli.best import best
from ecd_tune.cli.check import check
from ecd_tune.cli.claims import claims
from ecd_tune.cli.compare import compare
from ecd_tune.cli.dashboard import dashboard
from ecd_tune.cli.data import data
from ecd_tune.cli.db import db
from ecd_tune.cli.doctor import doctor
from ecd_tune.cli.examples import EXIT_STATUS, example_of
from ecd_tune.cli.launch import launch
from ecd_tune.cli.new_study import new_study
from ecd_tune.cli.new_task import new_task
from ecd_tune.cli.reap import reap
from ecd_tune.cli.replay import replay
from ecd_tune.cli.report import report
from ecd_tune.cli.retry import invalidate, retry
from ecd_tune.cli.run import run
from ecd_tune.cli.status import status
from ecd_tune.cli.stopping import ending_on_sigterm
from ecd_tune.cli.studies import show, studies, validate
from ecd_tune.cli.tasks import tasks
from ecd_tune.cli.verify import verify
from ecd_tune.cli.worker import worker
from ecd_tune.errors import EcdTuneError, NoResultError, RepeatedFailureError

__all__ = ["app", "main"]

USER_ERROR = 2
GAVE_UP = 3
"""The launcher does not start a worker again that left with one of these."""
_STATUS: dict[type[EcdTuneError], int] = {RepeatedFailureError: GAVE_UP, NoResultError: 1}

app = typer.Typer(
    name="ecd-tune",
    help="Tune energy-conserving descent (ECDSep) and other optimizers, and compare them.",
    no_args_is_help=True,
    epilog=EXIT_STATUS,
    pretty_exceptions_enable=False,
    rich_markup_mode="markdown",  # with "rich", "[default: all]" would be read as a style
    context_settings={"help_option_names": ["-h", "--help"]},
)

for command in (
    run,
    launch,
    worker,
    status,
    best,
    report,
    compare,
    dashboard,
    studies,
    tasks,
    show,
    validate,
    check,
    claims,
    doctor,
    reap,
    retry,
    invalidate,
    verify,
    replay,
    new_task,
    new_study,
):
    name = command.__name__.replace("_", "-")
    app.command(name, epilog=example_of(name))(command)
app.add_typer(data, name="data")
app.add_typer(db, name="db")


def _print_version(wanted: bool) -> None:
    if wanted:
        typer.echo(f"ecd_tune {ecd_tune.__version__}")
        raise typer.Exit


@app.callback()
def _options(
    version: Annotated[
        bool,
        typer.Option(
            "--version", callback=_print_version, is_eager=True, help="Print the version."
        ),
    ] = False,
) -> None:
    pass


def main() -> None:
    """Run the command line; an error is one clear message and status 2, or 3 for giving up."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="replace")  # a terminal without Greek letters shows "?"
    try:
        with ending_on_sigterm():
            app(prog_name="ecd-tune")  # with `python -m ecd_tune` too
    except EcdTuneError as error:
        typer.echo(f"ecd-tune: {error}", err=True)
        sys.exit(next((s for kind, s in _STATUS.items() if isinstance(error, kind)), USER_ERROR))
