"""``ecd-tune replay``: compare samplers or pruners on a finished study, or verify one trial."""

from __future__ import annotations

import json
import statistics
from typing import Annotated, Any

import typer

from ecd_tune.cli.options import (
    DEFAULT_STORAGE,
    AsJson,
    Called,
    Optimizers,
    Smoke,
    Storage,
    StudyName,
    parse_names,
    resolve_study,
)
from ecd_tune.cli.replayed_pruners import PRUNERS, compare_pruners, pruner_table
from ecd_tune.cli.verify import verify as verify_trial
from ecd_tune.errors import NoResultError
from ecd_tune.spec import SAMPLER_OPTIONS, SamplerSpec

__all__ = ["replay"]

_DRAWN = sorted(SAMPLER_OPTIONS.keys() - {"grid"})  # a grid draws nothing


def replay(
    study: StudyName,
    storage: Storage = DEFAULT_STORAGE,
    sampler: Annotated[
        str, typer.Option(metavar="A,B", help=f"Samplers: {', '.join(_DRAWN)}.")
    ] = "random,tpe",
    pruner: Annotated[
        str | None,
        typer.Option(
            metavar="A,B",
            help=f"Compare pruners instead of samplers: {', '.join(PRUNERS)}.",
            show_default=False,
        ),
    ] = None,
    verify: Annotated[
        int | None,
        typer.Option(
            metavar="TRIAL",
            min=0,
            help="Run this trial again and compare every number, as `ecd-tune verify` does.",
            show_default=False,
        ),
    ] = None,
    repeats: Annotated[int, typer.Option(min=1, help="Searches per sampler or pruner.")] = 100,
    optimizers: Optimizers = None,
    trials: Annotated[
        int | None,
        typer.Option(min=1, help="Trials per search. [default: as in the study]"),
    ] = None,
    epochs: Annotated[
        int | None,
        typer.Option(
            min=1,
            help="With --pruner: total epochs of a search, over all its trials. [default: half "
            "of the study's]",
            show_default=False,
        ),
    ] = None,
    workers: Annotated[int, typer.Option(min=1, help="Simulated workers.")] = 1,
    as_json: AsJson = False,
    smoke: Smoke = False,
    name: Called = None,
) -> None:
    """Compare samplers, or pruners, on a finished study, without running a trial.

    A random forest predicts the rank of a point from the stored trials: the share of them that are
    better, 0 for the best. Each sampler then searches that model. On a simulated clock, a trial
    takes as long as the nearest stored one. `agreement` is the rank correlation of the model
    with trials that it was not fitted to: below about 0.5 the comparison is unreliable. The sampler
    of the study has the options of its file, all others have their defaults.

    Pruners need no model: each search takes the stored trials in a random order, with their stored
    curves and times, until its epochs are used. With `+resume`, trials are paused and continue from
    their checkpoints. Other keys of `[pruning]` have their defaults.
    """
    if verify is not None:
        verify_trial(study, verify, storage, optimizers, smoke=smoke, name=name, as_json=as_json)
        return
    import optuna

    from ecd_tune.analysis.surrogate import fit_surrogate
    from ecd_tune.lab.replay import replay_search
    from ecd_tune.store import Store

    optuna.logging.set_verbosity(optuna.logging.WARNING)
    spec = resolve_study(study, optimizers=optimizers, smoke=smoke, storage=storage, called=name)
    names: tuple[Any, ...] = parse_names(sampler, _DRAWN, "sampler")
    own = spec.sampler
    samplers = {one: own if one == own.name else SamplerSpec(name=one) for one in names}
    found: list[dict[str, Any]] = []
    if pruner is not None:
        rows = compare_pruners(spec, storage, pruner, repeats, epochs, workers)
        typer.echo(json.dumps(rows, indent=2) if as_json else pruner_table(rows))
        return
    with Store.open(storage, create=False) as store:
        store.check(spec)
        records = {key: store.trials(spec.key(key), curves=False) for key in spec.optimizers}
    for key, trials_of_key in records.items():
        try:
            model = fit_surrogate(spec, key, trials_of_key)
        except NoResultError as error:
            if len(records) == 1:
                raise
            typer.echo(f"ecd-tune: skipped: {error}", err=True)
            continue
        budget = trials or spec.trials(key)
        for one in names:
            searches = [
                replay_search(spec, key, model, samplers[one], seed, budget, workers)
                for seed in range(repeats)
            ]
            ends = sorted(search.best[-1] for search in searches)
            found.append(
                {
                    "optimizer": key,
                    "sampler": one,
                    "median": statistics.median(ends),
                    "worst": ends[-1],
                    "halfway": statistics.median(s.best[(budget - 1) // 2] for s in searches),
                    "seconds": statistics.median(s.seconds[-1] for s in searches),
                    "agreement": model.agreement,
                    "trials": budget,
                    "repeats": repeats,
                    "workers": workers,
                }
            )
    if not found:
        raise NoResultError(f"study {spec.name!r}: no optimizer has enough trials")
    typer.echo(json.dumps(found, indent=2) if as_json else _table(found))


def _table(rows: list[dict[str, Any]]) -> str:
    head = "| optimizer | sampler | median | halfway | worst | simulated s | agreement |"
    lines = [head, "|---|---|---|---|---|---|---|"]
    lines += [
        f"| {row['optimizer']} | {row['sampler']} | {row['median']:.4f} | {row['halfway']:.4f} | "
        f"{row['worst']:.4f} | {row['seconds']:.1f} | {row['agreement']:.2f} |"
        for row in rows
    ]
    first = rows[0]
    return "\n".join(
        [
            f"share of the study's trials that are better than the best found, {first['repeats']} "
            f"searches of {first['trials']} trials, "
            f"{first['workers']} worker{'s' * (first['workers'] != 1)}",
            "",
            *lines,
        ]
    )
