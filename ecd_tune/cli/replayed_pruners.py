"""``ecd-tune replay --pruner``: compare pruners for a budget of epochs."""

from __future__ import annotations

import statistics
from collections.abc import Mapping, Sequence
from typing import Any

import typer

from ecd_tune.cli.options import parse_names
from ecd_tune.errors import NoResultError
from ecd_tune.spec import PruningSpec, StudySpec

__all__ = ["PRUNERS", "compare_pruners", "pruner_table"]

PRUNERS: Mapping[str, PruningSpec] = {
    "none": PruningSpec(),
    "median": PruningSpec(kind="median"),
    "successive_halving": PruningSpec(kind="successive_halving"),
    "successive_halving+resume": PruningSpec(kind="successive_halving", resume=True),
    "hyperband": PruningSpec(kind="hyperband"),
    "hyperband+resume": PruningSpec(kind="hyperband", resume=True),
}

Row = dict[str, Any]


def compare_pruners(
    spec: StudySpec, storage: str, names: str, repeats: int, epochs: int | None, workers: int
) -> list[Row]:
    """Simulate searches with pruners on the stored trials of a study.

    Args:
        spec: The study.
        storage: Storage URL.
        names: Comma-separated names of pruners.
        repeats: Searches per pruner.
        epochs: Budget of a search. Default: half of the epochs of the study.
        workers: Simulated workers.

    Returns:
        One row per optimizer and pruner.

    Raises:
        SpecError: A pruner is unknown.
        NoResultError: No optimizer has trials that a replay of pruners can use.
    """
    from ecd_tune.lab.replayed_pruners import read_curves, replay_pruner
    from ecd_tune.store import Store

    chosen = parse_names(names, PRUNERS, "pruner")
    with Store.open(storage, create=False) as store:
        store.check(spec)
        records = {key: store.trials(spec.key(key)) for key in spec.optimizers}
    rows: list[Row] = []
    for key, own in records.items():
        try:
            curves = read_curves(spec, key, own)
        except NoResultError as error:
            if len(records) == 1:
                raise
            typer.echo(f"ecd-tune: skipped: {error}", err=True)
            continue
        budget = epochs or sum(curve.epochs[-1] for curve in curves) // 2
        for name in chosen:
            searches = [
                replay_pruner(spec, key, curves, PRUNERS[name], seed, budget, workers)
                for seed in range(repeats)
            ]
            row: Row = {"optimizer": key, "pruner": name}
            row |= {
                field: statistics.median(getattr(search, field) for search in searches)
                for field in ("best", "epochs", "begun", "complete", "seconds")
            }
            row["worst"] = max(search.best for search in searches)
            row |= {"budget": budget, "stored": len(curves), "repeats": repeats, "workers": workers}
            rows.append(row)
    if not rows:
        raise NoResultError(f"study {spec.name!r}: no optimizer has curves for a replay of pruners")
    return rows


def pruner_table(rows: Sequence[Row]) -> str:
    """Format the rows as a Markdown table.

    Args:
        rows: As :func:`compare_pruners` returns them.
    """
    first = rows[0]
    lines = [
        "share of the study's trials that are better than the best complete one, "
        f"{first['repeats']} searches, {first['workers']} worker{'s' * (first['workers'] != 1)}",
        "",
        "| optimizer | pruner | budget | median | worst | epochs | begun | complete | seconds |",
        "|---|---|---|---|---|---|---|---|---|",
    ]
    lines += [
        f"| {row['optimizer']} | {row['pruner']} | {row['budget']} | {row['best']:.4f} | "
        f"{row['worst']:.4f} | {row['epochs']:g} | {row['begun']:g} of {row['stored']} | "
        f"{row['complete']:g} | {row['seconds']:.1f} |"
        for row in rows
    ]
    return "\n".join(lines)
