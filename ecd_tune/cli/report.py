"""``ecd-tune report``: write the report of a study."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from ecd_tune.cli.current import digest_of
from ecd_tune.cli.options import (
    DEFAULT_STORAGE,
    Called,
    Optimizers,
    Out,
    Seed,
    Smoke,
    Storage,
    StudyName,
    TrialsOption,
    parse_names,
    resolve_study,
)
from ecd_tune.spec import StudySpec

if TYPE_CHECKING:
    from ecd_tune.analysis.checks import StudyCheckResult
    from ecd_tune.report import StudyReport
    from ecd_tune.report.model.relations.panels import ScatterPanel

__all__ = ["FORMATS", "report", "write_study_report"]

FORMATS = ("md", "html", "csv", "json")
"""Default formats."""
_ALL = (*FORMATS, "latex", "parquet", "svg", "pdf", "png")


def report(
    study: StudyName,
    storage: Storage = DEFAULT_STORAGE,
    format: Annotated[
        str, typer.Option(metavar="LIST", help=f"Any of {','.join(_ALL)}, comma-separated.")
    ] = ",".join(FORMATS),
    out: Out = None,
    optimizers: Optimizers = None,
    trials: TrialsOption = None,
    seed: Seed = None,
    smoke: Smoke = False,
    full: Annotated[bool, typer.Option("--full", help="Add every trial to report.json.")] = False,
    note: Annotated[
        bool,
        typer.Option("--note", help="Save the answer and plots for Optuna's dashboard."),
    ] = False,
    name: Called = None,
) -> None:
    """Write the report of a study, finished or not: pages, tables, figures, data."""
    formats = parse_names(format, _ALL, "format")
    spec = resolve_study(study, trials, seed, optimizers, smoke, storage=storage, called=name)
    folder = out or Path("reports") / spec.name
    for path in write_study_report(spec, storage, folder, formats, full=full, note=note):
        typer.echo(str(path))


def write_study_report(
    spec: StudySpec,
    storage: str,
    out: Path,
    formats: tuple[str, ...] = FORMATS,
    say: bool = False,
    full: bool = False,
    note: bool = False,
) -> list[Path]:
    """Read a study from the database and write its report.

    Args:
        spec: The study.
        storage: Database URL.
        out: Folder, made when missing.
        formats: Which files.
        say: Print the summary to the terminal too.
        full: Put every trial into report.json.
        note: Save the answer and plots in the database, for the dashboard.

    Returns:
        The files written.
    """
    from ecd_tune.cli.collect import (
        check_trials,
        describe_environment,
        fetch_trials,
    )
    from ecd_tune.report import build_report, render_summary, write_report
    from ecd_tune.store import Store

    with Store.open(storage, create=False) as store:
        store.check(spec)
        trials = fetch_trials(store, spec)
        checked = check_trials(store, spec, trials)
        digest = digest_of(store, spec)
    model = build_report(spec, trials, describe_environment(), checked, digest)
    if say:
        from rich.console import Console

        Console().print(render_summary(model))
    if note:
        _save_notes(spec, storage, model)
    drawn = {"md", "html", "svg", "pdf", "png"} & set(formats)
    return write_report(model, out, formats, _relations(checked) if drawn else (), full)


def _save_notes(spec: StudySpec, storage: str, model: StudyReport) -> None:
    from ecd_tune.report import NOTE_BEGINS, render_notes, render_plots
    from ecd_tune.serve.notes import push_notes, push_plots

    notes = {spec.key(key).name: text for key, text in render_notes(model).items()}
    for name in push_notes(storage, notes, NOTE_BEGINS):
        typer.echo(f"{name}: the existing note was written by a user and is kept", err=True)
    push_plots(storage, list(notes), render_plots(model))


def _relations(checked: Sequence[StudyCheckResult]) -> tuple[ScatterPanel, ...]:
    """Return the relations of checks; nothing is loaded if there are none."""
    if not checked:
        return ()
    from ecd_tune.report.model.relations.draw import relation_panels  # loads scipy

    return relation_panels(checked)
