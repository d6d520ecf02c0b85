"""``ecd-tune compare``: several studies side by side."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from ecd_tune.cli.options import (
    DEFAULT_STORAGE,
    AsJson,
    Out,
    Smoke,
    Storage,
    complete_study,
    parse_names,
    resolve_study,
)

__all__ = ["compare"]

_FORMATS = ("md", "html", "csv", "json", "latex", "svg", "pdf", "png")


def compare(
    studies: Annotated[
        list[str],
        typer.Argument(
            metavar="STUDY...",
            help="Names or paths of studies, or tasks of your own.",
            autocompletion=complete_study,
        ),
    ],
    storage: Storage = DEFAULT_STORAGE,
    format: Annotated[
        str, typer.Option(metavar="LIST", help=f"Any of {','.join(_FORMATS)}, comma-separated.")
    ] = "md,html,csv,json",
    out: Out = None,
    smoke: Smoke = False,
    as_json: AsJson = False,
) -> None:
    """Compare optimizers over several studies: medians, ranks, time to target, ease of tuning.

    For studies on the paper's tasks the printed values are shown next to the means. With --json no
    file is written.
    """
    formats = parse_names(format, _FORMATS, "format")
    specs = [resolve_study(name, smoke=smoke, storage=storage) for name in dict.fromkeys(studies)]

    from ecd_tune.cli.collect import fetch_trials
    from ecd_tune.cli.printed_results import find_printed
    from ecd_tune.report import (
        build_report,
        compare_studies,
        comparison_json,
        write_comparison,
    )
    from ecd_tune.store import Store

    with Store.open(storage, create=False) as store:
        found = []
        for spec in specs:
            store.check(spec)
            found.append((spec, fetch_trials(store, spec)))
    reports = [(spec, build_report(spec, trials)) for spec, trials in found]
    across = compare_studies([report for _, report in reports], find_printed(reports))
    if as_json:
        typer.echo(comparison_json(across), nl=False)
        return
    for path in write_comparison(across, out or Path("reports") / "comparison", formats):
        typer.echo(str(path))
