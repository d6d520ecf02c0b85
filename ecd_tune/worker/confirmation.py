"""Which trials are queued: those that a search begins with, and what runs again after it."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Sequence

from ecd_tune.analysis import choose_trial, rank_trials
from ecd_tune.records import Params, TrialRecord
from ecd_tune.spec import StudySpec
from ecd_tune.store import QueueItem

__all__ = ["confirmation_items", "first_items", "selection_items"]


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
            seed=spec.search_seed(number, optimizer),
            source=trial.label,
            space=own.space,
        )
        for number, trial in enumerate(own.first[: spec.trials(optimizer)])
    ]


def selection_items(
    spec: StudySpec, optimizer: str, search: Sequence[TrialRecord]
) -> list[QueueItem]:
    """List the runs that decide which of a complete search's best trials is chosen.

    Args:
        spec: The study.
        optimizer: Key of the search.
        search: All its trials.

    Returns:
        One item a run, all under the same seeds, labelled as those of a confirmation; none where
        there is nothing to choose from.
    """
    best = rank_trials(search, spec.task_def.direction)[: spec.selection.top]
    if len(best) < 2:
        return []
    seeds = [spec.select_seed(run, optimizer) for run in range(spec.selection.runs)]
    return [
        QueueItem(
            label=f"select:{_digest(trial.params)}:{seed}",
            params=trial.params,
            seed=seed,
            source=f"trial {trial.number}",
        )
        for trial in best
        for seed in seeds
    ]


def confirmation_items(
    spec: StudySpec,
    optimizer: str,
    search: Sequence[TrialRecord],
    selection: Sequence[TrialRecord] = (),
) -> list[QueueItem]:
    """List the confirmation runs of one optimizer whose search is complete.

    The best hyperparameters that the search found, and the references where the study asks for
    them, run under the same seeds. A run's label holds a digest of its hyperparameters: when a
    longer search finds better ones, their runs are new, and the old ones stay as history.

    Args:
        spec: The study.
        optimizer: Key of the search.
        search: All its trials.
        selection: The runs of its selection.

    Returns:
        One item a run: first all runs of the best, then those of each reference.
    """
    candidates = list(_candidates(spec, optimizer, search, selection))
    return [
        QueueItem(
            label=f"{source}:{_digest(params)}:{seed}",
            params=params,
            seed=seed,
            source=source,
        )
        for source, params in candidates
        for seed in (spec.confirm_seed(run, optimizer) for run in range(spec.confirmation.runs))
    ]


def _candidates(
    spec: StudySpec,
    optimizer: str,
    search: Sequence[TrialRecord],
    selection: Sequence[TrialRecord],
) -> Iterator[tuple[str, Params]]:
    top, runs = spec.selection.top, spec.selection.runs
    best = choose_trial(search, selection, top, runs, spec.task_def.direction)
    if best is not None:
        yield "best", best.record.params
    if spec.confirmation.references:
        for reference in spec.optimizers[optimizer].references:
            yield reference.label, reference.params


def _digest(params: Params) -> str:
    text = json.dumps(dict(params), sort_keys=True)
    return hashlib.sha256(text.encode()).hexdigest()[:16]
