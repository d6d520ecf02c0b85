"""Which runs are queued when a search is complete: those of its selection, and the confirmation."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Mapping, Sequence

from ecd_tune.analysis import best_trials, choose_trial
from ecd_tune.records import Params, Stage, TrialRecord
from ecd_tune.spec import StudySpec
from ecd_tune.store import QueueItem

__all__ = ["all_rerun", "confirmation_items", "selection_items"]


def selection_items(
    spec: StudySpec, optimizer: str, search: Sequence[TrialRecord]
) -> list[QueueItem]:
    """List the runs that decide which of a complete search's best trials is chosen.

    Args:
        spec: The study.
        optimizer: Key of the search.
        search: All its trials.

    Returns:
        One item per run, all with the same seeds, labelled as confirmation runs; empty if there is
        nothing to select from.
    """
    best = best_trials(search, spec.selection.top, spec.task_def.direction)
    if len(best) < 2:
        return []
    seeds = [spec.select_seed(run, optimizer) for run in range(spec.selection.runs)]
    return [
        QueueItem(
            label=_label("select", trial.params, seed),
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
    longer search finds better ones, their runs are new, and the old ones are kept as history.

    Args:
        spec: The study.
        optimizer: Key of the search.
        search: All its trials.
        selection: The runs of its selection.

    Returns:
        One item per run: first all runs of the best, then those of each reference.
    """
    candidates = list(_candidates(spec, optimizer, search, selection))
    return [
        QueueItem(
            label=_label(source, params, seed),
            params=params,
            seed=seed,
            source=source,
        )
        for source, params in candidates
        for seed in (spec.confirm_seed(run, optimizer) for run in range(spec.confirmation.runs))
    ]


def all_rerun(
    spec: StudySpec, optimizer: str, found: Mapping[Stage, Sequence[TrialRecord]]
) -> bool:
    """Return whether every run of the selection and the confirmation of a search has ended.

    Args:
        spec: The study, by search.
        optimizer: Key of the search.
        found: Its trials, of all stages of the study.
    """
    search, selection = found[Stage.SEARCH], found.get(Stage.SELECT, ())
    wanted = [item.label for item in confirmation_items(spec, optimizer, search, selection)]
    if Stage.SELECT in found:
        wanted += [item.label for item in selection_items(spec, optimizer, search)]
    ended = {_label("select", run.params, run.seed) for run in selection if run.counts}
    confirmed = found[Stage.CONFIRM]
    ended |= {_label(run.source, run.params, run.seed) for run in confirmed if run.counts}
    return ended.issuperset(wanted)


def _label(source: str, params: Params, seed: int | None) -> str:
    return f"{source}:{_digest(params)}:{seed}"


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
