"""``ecd-tune report``: write the report of a study."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from ecd_tune.cli.options import (
    DEFAULT_STORAGE,
    Optimizers,
    Out,
    Seed,
    Smoke,
    Storage,
    StudyName,
    TrialsOption,
    resolve_study,
)
from ecd_tune.errors import SpecError
from ecd_tune.spec import StudySpec

if TYPE_CHECKING:
    from ecd_tune.analysis.checks import Judged

__all__ = ["FORMATS", "report", "write_study_report"]

FORMATS = ("md", "html", "csv", "json")


def report(
    study: StudyName,
    storage: Storage = DEFAULT_STORAGE,
    format: Annotated[
        str, typer.Option(metavar="LIST", help=f"Any of {','.join(FORMATS)}, comma-separated.")
    ] = ",".join(FORMATS),
    out: Out = None,
    optimizers: Optimizers = None,
    trials: TrialsOption = None,
    seed: Seed = None,
    smoke: Smoke = False,
) -> None:
    """Write the report of a study, finished or not, as Markdown, HTML, CSV and JSON."""
    formats = tuple(part.strip() for part in format.split(",") if part.strip())
    unknown = [part for part in formats if part not in FORMATS]
    if unknown or not formats:
        raise SpecError(f"--format {format}: allowed: {', '.join(FORMATS)}, comma-separated")
    spec = resolve_study(study, trials, seed, optimizers, smoke)
    for path in write_study_report(spec, storage, out or Path("reports") / spec.name, formats):
        typer.echo(str(path))


def write_study_report(
    spec: StudySpec, storage: str, out: Path, formats: tuple[str, ...] = FORMATS, say: bool = False
) -> list[Path]:
    """Read a study from the database and write its report.

    Args:
        spec: The study.
        storage: Database URL.
        out: Folder, made when missing.
        formats: Which files.
        say: Print the summary to the terminal too.

    Returns:
        The files written.
    """
    from ecd_tune.cli.collect import (
        describe_environment,
        fetch_trials,
        judge_trials,
    )
    from ecd_tune.report import build_report, render_summary, write_report
    from ecd_tune.store import Store

    with Store.open(storage, create=False) as store:
        store.check(spec)
        trials = fetch_trials(store, spec)
        judged = judge_trials(store, spec, trials)
    model = build_report(spec, trials, describe_environment(), judged)
    if say:
        from rich.console import Console

        Console().print(render_summary(model))
    drawn = {"md", "html"} & set(formats)
    theory = _theory_figure(spec.title or spec.name, judged) if drawn else ""
    return write_report(model, out, formats, theory)


def _theory_figure(title: str, judged: Sequence[Judged]) -> str:
    """Draw what checks judged; empty where there is nothing to draw."""
    if not judged:
        return ""
    from ecd_tune.report.model.relations.draw import relation_panels  # loads scipy
    from ecd_tune.report.render.figures.scatter import render_scatter

    panels = relation_panels(judged)
    return render_scatter(title, panels) if panels else ""
