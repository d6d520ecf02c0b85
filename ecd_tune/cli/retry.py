"""``ecd-tune retry`` and ``invalidate``: re-queue or invalidate finished trials."""

from __future__ import annotations

from typing import Annotated

import typer

from ecd_tune.cli.options import DEFAULT_STORAGE, Storage
from ecd_tune.errors import SpecError, StudyNotFoundError, hint
from ecd_tune.records import Stage, StudyKey

__all__ = ["invalidate", "retry"]

_CONTINUE = "run the command or script of the study again to continue"


def retry(
    study: Annotated[
        str,
        typer.Argument(
            metavar="STUDY",
            help="Name of a study in the database, or STUDY/OPTIMIZER, optionally with /select or "
            "/confirm.",
        ),
    ],
    storage: Storage = DEFAULT_STORAGE,
    failed: Annotated[
        bool, typer.Option("--failed", help="Trials that ended without a value.")
    ] = False,
) -> None:
    """Re-queue failed trials with the same hyperparameters and seeds.

    They no longer count against the budget; run the study again to continue.
    """
    from ecd_tune.store import Store

    if not failed:
        raise SpecError("retry: no trials given; --failed selects those without a value")
    with Store.open(storage, create=False) as store:
        keys = [p.key for p in store.progress(study.partition("/")[0])]
        chosen = [key for key in keys if study in (key.study, key.name)]
        if not chosen:
            known = [*store.studies(), *(key.name for key in keys)]
            told = hint(study, known, "stored study")
            raise StudyNotFoundError(f"no study {study!r} in {store.url}{told}")
        queued = {key.name: store.retry(key) for key in chosen}
    for name, count in queued.items():
        if count:
            typer.echo(f"{name}: {count} trial{'s' * (count != 1)} re-queued")
    if any(queued.values()):
        typer.echo(_CONTINUE)
    else:
        typer.echo(f"{study}: no failed trials")


def invalidate(
    study: Annotated[
        str,
        typer.Argument(
            metavar="STUDY/OPTIMIZER", help="With /select or /confirm for a run of that stage."
        ),
    ],
    trial: Annotated[int, typer.Argument(min=0, metavar="TRIAL", help="Number of the trial.")],
    reason: Annotated[str, typer.Option(help="Why the result is wrong; stored with the trial.")],
    storage: Storage = DEFAULT_STORAGE,
) -> None:
    """Remove the result of one trial and store the reason.

    A search makes another trial in its place, a selection or a confirmation repeats the run.
    """
    from ecd_tune.store import Store

    name, _, rest = study.partition("/")
    optimizer, _, stage = rest.partition("/")
    if not optimizer or stage not in ("", Stage.SELECT.value, Stage.CONFIRM.value):
        raise SpecError(
            f"{study!r}: expected STUDY/OPTIMIZER, with /select or /confirm for a run of that stage"
        )
    key = StudyKey(name, optimizer, Stage(stage) if stage else Stage.SEARCH)
    with Store.open(storage, create=False) as store:
        store.invalidate(key, trial, reason)
    typer.echo(f"{key.name} #{trial}: no longer counts\n{_CONTINUE}")
