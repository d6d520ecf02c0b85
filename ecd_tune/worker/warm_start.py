"""First trials of a search: the best trials of another study, then the fixed ones of the study."""

from __future__ import annotations

import logging
from collections.abc import Iterator

from ecd_tune.analysis import best_trials, same_params
from ecd_tune.errors import StudyNotFoundError, hint
from ecd_tune.records import Stage, TrialRecord
from ecd_tune.spec import StudySpec, point_problems, without_number
from ecd_tune.store import QueueItem, Store

__all__ = ["first_items"]

_log = logging.getLogger(__name__)


def first_items(store: Store, spec: StudySpec, optimizer: str) -> list[QueueItem]:
    """List the trials that one search begins with.

    Args:
        store: Holds the other study, where the study names one.
        spec: The study.
        optimizer: Key of the search.

    Returns:
        One item per trial, with the seeds of the first trials; at most the search's number of
        trials.

    Raises:
        StudyNotFoundError: The other study is not there.
    """
    own = spec.optimizers[optimizer]
    found = [
        # By rank: two workers that see the other study continue queue no trial twice.
        (f"first:from:{rank}", f"{record.key.name} #{record.number}", record.params)
        for rank, record in enumerate(_best_elsewhere(store, spec, optimizer))
    ]
    given = [params for _, _, params in found]
    found += [
        (f"first:{trial.label}", trial.label, trial.params)
        for trial in own.first
        if not any(same_params(trial.params, params) for params in given)
    ]
    return [
        QueueItem(
            label=label,
            params=params,
            seed=spec.search_seed(number, optimizer),
            source=source,
            space=own.space,
        )
        for number, (label, source, params) in enumerate(found[: spec.trials(optimizer)])
    ]


def _best_elsewhere(store: Store, spec: StudySpec, optimizer: str) -> list[TrialRecord]:
    name = spec.search.from_study
    if name is None:
        return []
    there = store.progress(name)
    if not there:
        raise StudyNotFoundError(
            f"[search] from_study = {name!r}: is not in this storage"
            f"{hint(name, store.studies(), 'stored study')}"
        )
    searches = [
        progress
        for progress in there
        if progress.key.stage is Stage.SEARCH
        and without_number(progress.key.optimizer) == without_number(optimizer)
    ]
    records = [r for p in searches for r in store.trials(p.key, curves=False)]
    usable = list(_usable(spec, optimizer, records))
    most = spec.search.from_best
    best = best_trials(usable, most, searches[0].direction) if searches else []
    if not best:
        _log.warning("study %s has no trial that %s can start with", name, optimizer)
    return best


def _usable(spec: StudySpec, optimizer: str, records: list[TrialRecord]) -> Iterator[TrialRecord]:
    for record in records:
        problems = point_problems(spec.optimizers[optimizer], record.params)
        if problems:
            _log.info("%s #%d is skipped: %s", record.key.name, record.number, problems[0])
        else:
            yield record
