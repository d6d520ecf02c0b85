"""Which trials are queued: those that a search begins with, and the confirmation runs."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Sequence

from ecd_tune.analysis import best_trial
from ecd_tune.records import Params, TrialRecord
from ecd_tune.spec import StudySpec
from ecd_tune.store import QueueItem

__all__ = ["all_confirmed", "confirmation_items", "first_items"]


def first_items(spec: StudySpec, optimizer: str) -> list[QueueItem]:
    """List the trials that the search of one optimizer begins with.

    Args:
        spec: The study.
        optimizer: Key of the optimizer.

    Returns:
        One item a trial, with the seeds of the first trials; not more than the search has trials.
    """
    own = spec.optimizers[optimizer]
    return [
        QueueItem(
            label=f"first:{trial.label}",
            params=trial.params,
            seed=spec.search_seed(number),
            source=trial.label,
            space=own.space,
        )
        for number, trial in enumerate(own.first[: spec.trials(optimizer)])
    ]


def confirmation_items(
    spec: StudySpec, optimizer: str, search: Sequence[TrialRecord]
) -> list[QueueItem]:
    """List the confirmation runs of one optimizer whose search is complete.

    The best hyperparameters that the search found, and the references where the study asks for
    them, run under the same seeds. A run's label holds a digest of its hyperparameters: when a
    longer search finds better ones, their runs are new, and the old ones stay as history.

    Args:
        spec: The study.
        optimizer: Key of the optimizer.
        search: All its search trials.

    Returns:
        One item a run: first all runs of the best, then those of each reference.
    """
    candidates = list(_candidates(spec, optimizer, search))
    return [
        QueueItem(
            label=_label(source, params, spec.confirm_seed(run)),
            params=params,
            seed=spec.confirm_seed(run),
            source=source,
        )
        for source, params in candidates
        for run in range(spec.confirmation.runs)
    ]


def all_confirmed(
    spec: StudySpec,
    optimizer: str,
    search: Sequence[TrialRecord],
    confirmed: Sequence[TrialRecord],
) -> bool:
    """Say whether every confirmation run of one optimizer has ended.

    Args:
        spec: The study.
        optimizer: Key of the optimizer.
        search: All its search trials.
        confirmed: All its confirmation runs.
    """
    ended = {_label(run.source, run.params, run.seed) for run in confirmed if run.counts}
    return {item.label for item in confirmation_items(spec, optimizer, search)} <= ended


def _label(source: str, params: Params, seed: int | None) -> str:
    return f"{source}:{_digest(params)}:{seed}"


def _candidates(
    spec: StudySpec, optimizer: str, search: Sequence[TrialRecord]
) -> Iterator[tuple[str, Params]]:
    best = best_trial(search, spec.task_def.direction)
    if best is not None:
        yield "best", best.params
    if spec.confirmation.references:
        for reference in spec.optimizers[optimizer].references:
            yield reference.label, reference.params


def _digest(params: Params) -> str:
    text = json.dumps(dict(params), sort_keys=True)
    return hashlib.sha256(text.encode()).hexdigest()[:16]
