"""Results of each search of an optimizer. Loads neither scipy nor pandas nor torch."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING

from ecd_tune.analysis.chosen import ChosenTrial, choose_trial
from ecd_tune.analysis.select import Confirmed, confirmed_runs, tie_break
from ecd_tune.records import Params, Stage, StudyKey, TrialRecord, Trials
from ecd_tune.spec import StudySpec

if TYPE_CHECKING:
    from ecd_tune.report.model.rows import ResultRow

__all__ = ["best_search", "chosen_trials", "collect_runs", "pool_searches", "runs_by_search"]


def chosen_trials(spec: StudySpec, trials: Trials, optimizer: str) -> dict[str, ChosenTrial]:
    """Choose the best trial of each search of an optimizer.

    Args:
        spec: The study.
        trials: Records by study key.
        optimizer: Key of the optimizer.

    Returns:
        Key of the search to its trial; a search without a complete trial is left out.
    """
    top, runs, direction = spec.selection.top, spec.selection.runs, spec.task_def.direction
    found = {
        key: choose_trial(
            trials.get(spec.key(key), ()),
            trials.get(spec.key(key, Stage.SELECT), ()),
            top,
            runs,
            direction,
        )
        for key in spec.searches(optimizer)
    }
    return {key: chosen for key, chosen in found.items() if chosen is not None}


def best_search(spec: StudySpec, chosen: Mapping[str, ChosenTrial]) -> str | None:
    """Return the key of the search with the best trial, by the same order as within a search.

    Args:
        spec: The study.
        chosen: Key of the search to its trial.
    """

    def rank(key: str) -> tuple[float, float]:
        found = chosen[key]
        value = found.record.value if found.selected is None else found.selected
        assert value is not None  # the chosen trial is complete
        return spec.task_def.direction.sign * value, tie_break(found.record)

    return min(chosen, key=rank, default=None)


def collect_runs(
    spec: StudySpec,
    trials: Trials,
    source: str,
    params: Mapping[str, Params | None],
    metric: str,
) -> Confirmed:
    """Collect the confirmation runs of all searches of an optimizer.

    Args:
        spec: The study.
        trials: Records by study key.
        source: ``"best"`` or a reference's label.
        params: Key of each search to the hyperparameters that count.
        metric: As for :func:`~ecd_tune.analysis.confirmed_runs`.

    Returns:
        The runs, those of the first search first.
    """
    direction = spec.task_def.direction
    found = [
        confirmed_runs(
            trials.get(spec.key(key, Stage.CONFIRM), ()), source, given, metric, direction
        )
        for key, given in params.items()
    ]
    return Confirmed(
        runs=tuple(run for part in found for run in part.runs),
        outdated=sum(part.outdated for part in found),
        diverged=sum(part.diverged for part in found),
        failed=sum(part.failed for part in found),
    )


def runs_by_search(row: ResultRow) -> dict[str, dict[int, float]]:
    """Return the confirmed runs of a row: key of the search to seed and value.

    Args:
        row: The row.
    """
    found: dict[str, dict[int, float]] = {}
    for run in row.confirmed.runs:
        if run.seed is not None:
            found.setdefault(run.record.key.optimizer, {})[run.seed] = run.value
    return found


def pool_searches(spec: StudySpec, trials: Trials) -> Trials:
    """Combine the trials of all searches of an optimizer.

    Args:
        spec: The study.
        trials: Records by study key.

    Returns:
        Records by the keys of the first searches, for sections about an optimizer as a whole.
    """
    if spec.search.repeats == 1:
        return trials
    return dict(_pooled(spec, trials))


def _pooled(spec: StudySpec, trials: Trials) -> Iterator[tuple[StudyKey, Sequence[TrialRecord]]]:
    for optimizer in spec.optimizers:
        for stage in Stage:
            keys = [spec.key(key, stage) for key in spec.searches(optimizer)]
            yield keys[0], [record for key in keys for record in trials.get(key, ())]
