"""``ecd-tune verify``: run one stored trial again and compare."""

from __future__ import annotations

import dataclasses
import json
import math
from typing import TYPE_CHECKING, Annotated, Any

import typer

from ecd_tune.cli.options import (
    DEFAULT_STORAGE,
    AsJson,
    Called,
    Smoke,
    Storage,
    StudyName,
    resolve_study,
)
from ecd_tune.errors import SpecError, StoreError, hint
from ecd_tune.records import Cause, Stage
from ecd_tune.spec import StudySpec

if TYPE_CHECKING:
    from ecd_tune.analysis.same_run import Comparison
    from ecd_tune.objective import Objective
    from ecd_tune.records import Origin, TrialRecord
    from ecd_tune.store import Store

__all__ = ["verify"]

_DIFFERENT = 1
_SHOWN = 20


def verify(
    study: StudyName,
    trial: Annotated[int, typer.Argument(min=0, metavar="TRIAL", help="Number of the trial.")],
    storage: Storage = DEFAULT_STORAGE,
    optimizer: Annotated[
        str | None,
        typer.Option(
            "--optimizer",
            "--optimizers",
            metavar="A",
            help="Optimizer of the trial. [default: the study's only one]",
            show_default=False,
        ),
    ] = None,
    confirm: Annotated[
        bool,
        typer.Option("--confirm", help="Verify a confirmation run."),
    ] = False,
    rtol: Annotated[
        float,
        typer.Option(min=0.0, help="Largest relative difference that counts as equal."),
    ] = 1e-5,
    smoke: Smoke = False,
    name: Called = None,
    as_json: AsJson = False,
) -> None:
    """Run one stored trial again, with its hyperparameters and seed, and compare every number.

    The command first compares the data and the code with those of the stored trial.
    With the same versions and the same kind of machine, a run repeats exactly, or up to
    rounding if it was trained together with others. The database is not changed. Exit status
    1: a number differs by more than `--rtol`, or the trial ended otherwise.
    """
    from ecd_tune.analysis.same_run import compare_origins
    from ecd_tune.store import Store

    spec = resolve_study(study, smoke=smoke, storage=storage, called=name)
    spec = spec.with_overrides(optimizers=(_choose(spec, optimizer),))
    key = spec.key(next(iter(spec.optimizers)), Stage.CONFIRM if confirm else Stage.SEARCH)
    with Store.open(storage, create=False) as store:
        store.check(spec)
        found = {record.number: record for record in store.trials(key)}
        record = found.get(trial)
        if record is None:
            raise StoreError(
                f"{key.name} #{trial}: this trial does not exist; there are {len(found)}"
            )
        if not record.counts or record.cause is None:
            reason = f" ({record.reason})" if record.reason else ""
            raise StoreError(f"{key.name} #{trial}: has no result to compare with{reason}")
        objective = _prepare(spec, record)
        origin = objective.origin(key.data_stage)
        if not as_json:
            typer.echo("\n".join(compare_origins(record.origin, origin)))
        comparison = _run_again(objective, record)
        if as_json:
            typer.echo(json.dumps(_plain(record, origin, comparison, rtol), indent=2))
            raise typer.Exit(0 if comparison.is_same(rtol) else _DIFFERENT)
        typer.echo(f"{key.name} #{trial}, seed {record.seed}: {_say(comparison, rtol)}")
        for difference in comparison.differences[:_SHOWN]:
            typer.echo(
                f"  {difference.name}: stored {difference.stored!r}, again {difference.again!r}"
            )
        if len(comparison.differences) > _SHOWN:
            typer.echo(f"  and {len(comparison.differences) - _SHOWN} more")
        _say_versions(store, record)
    if not comparison.is_same(rtol):
        raise typer.Exit(_DIFFERENT)


def _choose(spec: StudySpec, optimizer: str | None) -> str:
    if optimizer is None and len(spec.optimizers) == 1:
        return next(iter(spec.optimizers))
    if optimizer is None:
        known = ", ".join(spec.optimizers)
        raise SpecError(
            f"choose the optimizer of the trial with --optimizer: {spec.name!r} has {known}"
        )
    if optimizer not in spec.optimizers:
        known = hint(optimizer, spec.optimizers)
        raise SpecError(f"--optimizer: study {spec.name!r} has no {optimizer!r}{known}")
    return optimizer


def _prepare(spec: StudySpec, record: TrialRecord) -> Objective:
    import torch

    from ecd_tune.objective import Objective

    torch.set_num_threads(1)
    objective = Objective(spec, record.key.optimizer)
    objective.prepare(record.key.stage)
    return objective


def _run_again(objective: Objective, record: TrialRecord) -> Comparison:
    from ecd_tune.analysis.same_run import compare_runs
    from ecd_tune.objective.training.speed import SPEED_METRICS
    from ecd_tune.records import RunRequest

    assert record.seed is not None  # every trial of ours has one
    # A pruned trial is run to the same epoch.
    until = record.curve.steps[-1] if record.pruned else None
    request = RunRequest(record.params, record.seed, record.key.stage, until)
    (outcome,) = objective.evaluate([request])
    return compare_runs(record, outcome, SPEED_METRICS)


def _plain(
    record: TrialRecord, origin: Origin, comparison: Comparison, rtol: float
) -> dict[str, Any]:
    return {
        "origin": {
            "stored": record.origin and dataclasses.asdict(record.origin),
            "again": dataclasses.asdict(origin),
        },
        "study": record.key.name,
        "trial": record.number,
        "seed": record.seed,
        "numbers": comparison.numbers,
        "ended": {"stored": comparison.ended, "again": comparison.ended_again},
        "same": comparison.is_same(rtol),
        "rtol": rtol,
        "differences": [dataclasses.asdict(entry) for entry in comparison.differences],
    }


def _say(comparison: Comparison, rtol: float) -> str:
    if comparison.ended != comparison.ended_again:
        end = f"ended then: {comparison.ended}, now: {comparison.ended_again}; "
    else:
        end = (
            "" if comparison.ended is Cause.COMPLETE else f"ended both times: {comparison.ended}; "
        )
    numbers, different = comparison.numbers, len(comparison.differences)
    if not different:
        return end + (f"all {numbers} numbers are identical" if numbers else "it has no numbers")
    largest = comparison.largest
    if not math.isfinite(largest):
        return f"{end}{different} of {numbers} numbers differ; some are missing or not finite"
    kind = "within" if largest <= rtol else "beyond"
    return (
        f"{end}{different} of {numbers} numbers differ, by up to {largest:.2g} relatively, "
        f"{kind} --rtol {rtol:g}"
    )


def _say_versions(store: Store, record: TrialRecord) -> None:
    from ecd_tune.store import Worker

    here = Worker.current()
    for worker in store.workers():
        if worker.name == record.worker:
            typer.echo(f"  then: {_describe(worker.versions)} on {worker.device}")
    typer.echo(f"  now:  {_describe(here.versions)} on {here.device}")


def _describe(versions: object) -> str:
    assert isinstance(versions, dict)
    return ", ".join(f"{name} {version}" for name, version in versions.items())
