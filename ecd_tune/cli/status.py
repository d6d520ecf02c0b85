"""``ecd-tune status``: how far the studies in a database are."""

from __future__ import annotations

import json
from collections import Counter
from typing import TYPE_CHECKING, Annotated, Any

import typer

from ecd_tune.cli.options import DEFAULT_STORAGE, Storage
from ecd_tune.cli.studies import AsJson
from ecd_tune.errors import StudyNotFoundError
from ecd_tune.records import Stage, StudyKey

if TYPE_CHECKING:
    from ecd_tune.store import HeldTrial, WorkerRecord

__all__ = ["status"]

_RECENT_SECONDS = 60.0
_MOST_ERRORS = 5
_EVENTS = {
    "lost": "trials of dead workers re-queued",
    "released": "trials re-queued after workers were stopped",
    "fenced": "late results refused",
    "invalidated": "results taken out by hand",
    "exception": "kinds of errors in trials, as each worker met them",
}
_COUNTS = ("failed", "lost", "running", "waiting")


def status(
    study: Annotated[
        str | None, typer.Argument(help="Name of a study in the database. [default: all]")
    ] = None,
    storage: Storage = DEFAULT_STORAGE,
    as_json: AsJson = False,
) -> None:
    """Show trials by state, best values, who works on what, and what went wrong."""
    from ecd_tune.store import Store

    with Store.open(storage, create=False) as store:
        known, shown = store.studies(), store.url
        if study is not None and study not in known:
            raise StudyNotFoundError(
                f"no study {study!r} in {shown}; there are: {', '.join(known) or 'none'}"
            )
        names = [study] if study else known
        rows = [
            _row(progress, "pruning" in store.identity(progress.key))
            for name in names
            for progress in store.progress(name)
        ]
        workers = [_worker_row(record) for record in store.workers()]
        happened = [event for name in names for event in store.events(name)]
    events = Counter(event.kind for event in happened)
    errors = {event.detail["reason"]: event for event in happened if event.kind == "exception"}
    if as_json:
        typer.echo(json.dumps({"trials": rows, "workers": workers, "events": events}, indent=2))
        return
    if not rows:
        typer.echo(f"{shown}: no studies yet; start one with `ecd-tune run STUDY`")
        return
    typer.echo(_table(rows))
    for worker in workers:
        if worker["trials"] or worker["seen_seconds_ago"] < _RECENT_SECONDS:
            typer.echo(_describe_worker(worker))
    if events:
        told = ", ".join(f"{count} {_EVENTS.get(kind, kind)}" for kind, count in events.items())
        typer.echo(f"events: {told}")
    for reason, event in [*errors.items()][-_MOST_ERRORS:]:
        typer.echo(f"error: {event.key.name} #{event.detail['number']}: {reason}")


def _table(rows: list[dict[str, Any]]) -> str:
    # The database counts both as one.
    ended = "pruned, diverged" if any(row["prunes"] for row in rows) else "diverged"
    lines: list[tuple[str, ...]] = [("study", "finished", ended, *_COUNTS, "best")]
    for row in rows:
        search = row["stage"] == "search"
        name = StudyKey(row["study"], row["optimizer"], Stage(row["stage"])).name
        finished = row["complete"] + row["diverged"] + row["failed"]
        counts = [row[key] for key in ("diverged", *_COUNTS)]
        # The best of runs from other starts and seeds is luck, not a result.
        best = _show(row["best"]) if search else ""
        target = row["target"] if search else finished + row["running"] + row["waiting"]
        lines.append((name, f"{finished}/{target}", *map(str, counts), best))
    widths = [max(map(len, column)) for column in zip(*lines, strict=True)]
    return "\n".join(
        "  ".join(
            cell.rjust(width) if column else cell.ljust(width)
            for column, (cell, width) in enumerate(zip(line, widths, strict=True))
        )
        for line in lines
    )


def _row(progress: Any, prunes: bool) -> dict[str, Any]:
    return {
        "study": progress.key.study,
        "optimizer": progress.key.optimizer,
        "stage": progress.key.stage.value,
        "complete": progress.complete,
        "diverged": progress.pruned,
        "prunes": prunes,
        "failed": progress.failed,
        "lost": progress.lost,
        "running": progress.running,
        "waiting": progress.waiting,
        "best": progress.best,
        "target": progress.target,
    }


def _worker_row(record: WorkerRecord) -> dict[str, Any]:
    return {
        "worker": record.name,
        "device": record.device,
        "running": record.running,
        "trials": [_name(trial) for trial in record.trials],
        "seen_seconds_ago": round(record.age, 1),
        "started": record.started.isoformat(),
        "versions": dict(record.versions),
    }


def _describe_worker(worker: dict[str, Any]) -> str:
    device = f" on {worker['device']}" if worker["device"] else ""
    first, *more = worker["trials"] or ["no trial"]
    others = f" and {len(more)} more" if more else ""
    age = worker["seen_seconds_ago"]
    return f"worker {worker['worker']}{device}: {first}{others}, heartbeat {age:.0f} s ago"


def _name(trial: HeldTrial) -> str:
    return f"{trial.key.name} #{trial.number}"


def _show(value: Any) -> str:
    if value is None:
        return "–"
    return f"{value:.4g}" if isinstance(value, float) else str(value)
