"""``ecd-tune retry`` and ``invalidate``: what a person decides about finished trials."""

from __future__ import annotations

from typing import Annotated

import typer

from ecd_tune.cli.options import DEFAULT_STORAGE, Storage
from ecd_tune.errors import SpecError, StudyNotFoundError
from ecd_tune.records import Stage, StudyKey

__all__ = ["invalidate", "retry"]

_CONTINUE = "run the command or script of the study again to continue"


def retry(
    study: Annotated[
        str,
        typer.Argument(
            help="Name of a study in the database, or STUDY/OPTIMIZER, and /select or /confirm."
        ),
    ],
    storage: Storage = DEFAULT_STORAGE,
    failed: Annotated[
        bool, typer.Option("--failed", help="Those that ended without a value.")
    ] = False,
) -> None:
    """Put failed trials back into the queue, with the same hyperparameters and seeds.

    They do not count against the budget any more; run the study again to continue.
    """
    from ecd_tune.store import Store

    if not failed:
        raise SpecError("retry: say which trials; --failed takes those without a value")
    with Store.open(storage, create=False) as store:
        keys = [p.key for p in store.progress(study.partition("/")[0])]
        chosen = [key for key in keys if study in (key.study, key.name)]
        if not chosen:
            known = ", ".join(store.studies()) or "none"
            raise StudyNotFoundError(f"no study {study!r} in {store.url}; there are: {known}")
        queued = {key.name: store.retry(key) for key in chosen}
    for name, count in queued.items():
        if count:
            typer.echo(f"{name}: {count} trial{'s' * (count != 1)} queued again")
    if any(queued.values()):
        typer.echo(_CONTINUE)
    else:
        typer.echo(f"{study}: no trial has failed")


def invalidate(
    study: Annotated[
        str, typer.Argument(help="STUDY/OPTIMIZER, for a rerun with /select or /confirm after it.")
    ],
    trial: Annotated[int, typer.Argument(min=0, help="Number of the trial.")],
    reason: Annotated[str, typer.Option(help="Why its result is wrong; it stays.")],
    storage: Storage = DEFAULT_STORAGE,
) -> None:
    """Take the result of one trial out, with a reason that stays.

    A search makes another trial in its place, a selection or a confirmation repeats the run.
    """
    from ecd_tune.store import Store

    name, _, rest = study.partition("/")
    optimizer, _, stage = rest.partition("/")
    if not optimizer or stage not in ("", Stage.SELECT.value, Stage.CONFIRM.value):
        raise SpecError(
            f"{study!r}: name STUDY/OPTIMIZER, and for a rerun /select or /confirm after it"
        )
    key = StudyKey(name, optimizer, Stage(stage) if stage else Stage.SEARCH)
    with Store.open(storage, create=False) as store:
        store.invalidate(key, trial, reason)
    typer.echo(f"{key.name} #{trial}: does not count any more\n{_CONTINUE}")
