"""``ecd-tune status``: how far the studies in a database are."""

from __future__ import annotations

import json
import shutil
import sys
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from time import sleep
from typing import TYPE_CHECKING, Annotated, Any

import typer

from ecd_tune.analysis import normalise_reason
from ecd_tune.analysis.rate import RateMeter, describe_rate, format_time, runs_to_come
from ecd_tune.cli.options import DEFAULT_STORAGE, AsJson, Storage
from ecd_tune.errors import StudyNotFoundError, hint
from ecd_tune.records import Stage, StudyKey
from ecd_tune.references import is_reference, short_reference
from ecd_tune.spec.files import read_table

if TYPE_CHECKING:
    from ecd_tune.store import HeldTrial, Store, WorkerRecord

__all__ = ["status"]

_RECENT_SECONDS = 60.0
_ANY_WIDTH = 10_000
"""Of an output that is no terminal."""
_MOST_ERRORS = 5
_MOST_REASONS = 8
_EVENTS = {
    "lost": ("trial of a dead worker re-queued", "trials of dead workers re-queued"),
    "released": (
        "trial re-queued after a worker was stopped",
        "trials re-queued after workers were stopped",
    ),
    "given_up": ("trial given up after its last retry", "trials given up after their last retry"),
    "promoted": ("paused trial promoted", "paused trials promoted"),
    "fenced": ("late result rejected", "late results rejected"),
    "retried": ("failed trial re-queued by a user", "failed trials re-queued by users"),
    "invalidated": ("result invalidated by a user", "results invalidated by users"),
    "exception": ("kind of error in trials", "kinds of errors in trials, counted per worker"),
}
"""Kind of event to its description, for one and for several."""
_COUNTS = ("failed", "lost", "running", "waiting")


def status(
    study: Annotated[
        str | None,
        typer.Argument(
            metavar="STUDY",
            help="Name of a study in the database, its .toml file, or your own task: FILE.py:NAME "
            "or package.module:NAME. [default: all]",
            show_default=False,
        ),
    ] = None,
    storage: Storage = DEFAULT_STORAGE,
    as_json: AsJson = False,
    watch: Annotated[
        bool,
        typer.Option("--watch", help="Refresh until Ctrl-C, with rate and time left."),
    ] = False,
    interval: Annotated[
        float, typer.Option(min=0.2, metavar="SECONDS", help="Refresh interval of --watch.")
    ] = 2.0,
) -> None:
    """Show trials by state, best values, workers and their trials, and failures."""
    from ecd_tune.store import Store

    with Store.open(storage, create=False) as store:
        if not watch:
            typer.echo(_show_now(store, study, as_json))
            return
        pace = RateMeter()
        _show_repeatedly(lambda: _show_now(store, study, as_json, pace), interval)


def _show_repeatedly(look: Callable[[], str], interval: float) -> None:
    """Print a text until Ctrl-C: in place on a terminal, else one after another."""
    try:
        if not sys.stdout.isatty():
            while True:
                typer.echo(look() + "\n")
                sleep(interval)
        from rich.live import Live
        from rich.text import Text

        with Live(auto_refresh=False, vertical_overflow="visible") as live:
            while True:
                live.update(Text(look()), refresh=True)
                sleep(interval)
    except KeyboardInterrupt:
        return


def _show_now(store: Store, study: str | None, as_json: bool, pace: RateMeter | None = None) -> str:
    names = store.studies() if study is None else _find_names(store, study)
    progress = {name: store.progress(name) for name in names}
    rows = [
        _row(entry, to_come, "pruning" in store.identity(entry.key))
        for entries in progress.values()
        for entry, to_come in zip(entries, runs_to_come(entries), strict=True)
    ]
    workers = [_worker_row(record) for record in store.workers()]
    happened = [event for name in names for event in store.events(name)]
    events = Counter(event.kind for event in happened)
    reasons = [entry for name in names for entry in _reasons(store, name)]
    paces = {} if pace is None else {name: pace.add(name, p) for name, p in progress.items()}
    if as_json:
        data = {"trials": rows, "workers": workers, "events": events, "reasons": reasons}
        return json.dumps({**data, **({"pace": paces} if paces else {})}, indent=2)
    if not rows:
        return f"{store.url}: no studies yet; start one with `ecd-tune run STUDY`"
    lines = [*_table(rows), *(f"{name}: {describe_rate(found)}" for name, found in paces.items())]
    for worker in workers:
        if worker["trials"] or worker["seen_seconds_ago"] < _RECENT_SECONDS:
            lines.append(_describe_worker(worker))
    if events:
        told = ", ".join(
            f"{count} {_EVENTS.get(kind, (kind, kind))[count > 1]}"
            for kind, count in events.items()
        )
        lines.append(f"events: {told}")
    errors = {event.detail["reason"]: event for event in happened if event.kind == "exception"}
    for reason, event in [*errors.items()][-_MOST_ERRORS:]:
        lines.append(f"error: {event.key.name} #{event.detail['number']}: {reason}")
    lines += [f"{r['count']} of {r['study']}: {r['reason']}" for r in reasons[:_MOST_REASONS]]
    if len(reasons) > _MOST_REASONS:
        lines.append(f"and {len(reasons) - _MOST_REASONS} more reasons; --json lists all")
    return "\n".join(lines)


def _find_names(store: Store, study: str) -> list[str]:
    """Return the stored studies that an argument names: by name, by their file or by their task."""
    known, named = store.studies(), [study]
    if study.endswith(".toml"):
        named = [str(read_table(Path(study)).get("name", ""))]
    elif is_reference(study):
        task = short_reference(study)
        named = [name for name, table in store.tables().items() if table["task"]["name"] == task]
    if found := [name for name in named if name in known]:
        return found
    told = hint(study, known, "stored study")
    raise StudyNotFoundError(f"no study {study!r} in {store.url}{told}")


def _reasons(store: Store, name: str) -> list[dict[str, Any]]:
    """Return why trials diverged, failed or were pruned, the most frequent reason first."""
    counts: Counter[tuple[str, str]] = Counter()
    for key, reason, count in store.reasons(name):
        counts[key.name, normalise_reason(reason)] += count
    return [
        {"study": study, "reason": reason, "count": count}
        for (study, reason), count in counts.most_common()
    ]


def _table(rows: list[dict[str, Any]]) -> list[str]:
    # The database counts both as one.
    ended = "pruned, diverged" if any(row["prunes"] for row in rows) else "diverged"
    header = ("study", "finished", ended, *_COUNTS, "best")
    cells = [_cells(row) for row in rows]
    widths = [max(map(len, column)) for column in zip(header, *cells, strict=True)]
    lines = [
        "  ".join(
            cell.rjust(width) if column else cell.ljust(width)
            for column, (cell, width) in enumerate(zip(line, widths, strict=True))
        )
        for line in (header, *cells)
    ]
    # A narrow terminal would break the lines of a table.
    if len(lines[0]) > shutil.get_terminal_size((_ANY_WIDTH, 0)).columns:
        return [_describe_row(header, line) for line in cells]
    return lines


def _cells(row: dict[str, Any]) -> tuple[str, ...]:
    search = row["stage"] == "search"
    name = StudyKey(row["study"], row["optimizer"], Stage(row["stage"])).name
    finished = row["complete"] + row["diverged"] + row["failed"]
    target = row["target"] if search else finished + row["to_come"]
    counts = [row[key] for key in ("diverged", *_COUNTS)]
    # The best of runs from other starts and seeds is luck, not a result.
    best = _show(row["best"]) if search else ""
    return (name, f"{finished}/{target}", *map(str, counts), best)


def _describe_row(header: tuple[str, ...], cells: tuple[str, ...]) -> str:
    name, finished, *counts, best = cells
    told = [f"{count} {what}" for what, count in zip(header[2:-1], counts, strict=True)]
    parts = [finished, *(text for text in told if not text.startswith("0 "))]
    return f"{name}: {', '.join(parts)}{f', best {best}' if best else ''}"


def _row(progress: Any, to_come: int, prunes: bool) -> dict[str, Any]:
    return {
        "study": progress.key.study,
        "optimizer": progress.key.optimizer,
        "stage": progress.key.stage.value,
        "complete": progress.complete,
        "diverged": progress.pruned,
        "prunes": prunes,
        "failed": progress.failed,
        "lost": progress.lost,
        "promoted": progress.promoted,
        "running": progress.running,
        "waiting": progress.waiting,
        "best": progress.best,
        "target": progress.target,
        "to_come": to_come,
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
    return f"worker {worker['worker']}{device}: {first}{others}, heartbeat {format_time(age)} ago"


def _name(trial: HeldTrial) -> str:
    return f"{trial.key.name} #{trial.number}"


def _show(value: Any) -> str:
    if value is None:
        return "–"
    return f"{value:.4g}" if isinstance(value, float) else str(value)
