"""Diagnoses of the runs of a search: how many were hot, slow or on a plateau."""

from __future__ import annotations

import math
import statistics
from collections.abc import Iterator, Mapping, Sequence

from ecd_tune.records import Direction, TrialRecord, Trials, TrialState
from ecd_tune.report.model.best import BestHyperparameters
from ecd_tune.report.model.rows import ResultRow
from ecd_tune.report.words.numbers import format_number
from ecd_tune.spec import StudySpec, number_of

__all__ = ["compose_remarks"]

_MANY = 0.25
"""Smallest share of the trials that is reported: in a wide space some always fail."""
_WAY = 0.1
"""Part of the improvement from the start to the best value that counts as trained."""


def compose_remarks(
    spec: StudySpec,
    trials: Trials,
    best: Sequence[BestHyperparameters],
    results: Sequence[ResultRow],
) -> tuple[str, ...]:
    """Report per optimizer the failures of a quarter of its trials or more, or of the best.

    Args:
        spec: The study.
        trials: Records by study key.
        best: Best trial of each optimizer that has one.
        results: Confirmed runs of all rows.

    Returns:
        Sentences; none where nothing is wrong.
    """
    bests = {entry.optimizer: entry for entry in best}
    direction = spec.task_def.direction
    goal = min((direction.sign * entry.value for entry in best), default=None)
    found: list[str] = []
    for key, optimizer in spec.optimizers.items():
        search = [r for r in trials.get(spec.key(key), ()) if r.counts]
        told = [r for r in search if "hot" in r.metrics]
        confirmed = next(row for row in results if row.optimizer == key).confirmed
        entry = bests.get(key)
        chosen = [
            r
            for r in told
            if entry and (number_of(r.key.optimizer), r.number) == (entry.search, entry.trial)
        ]
        energy = "s" in optimizer.definition.hyperparameters
        title = optimizer.title or optimizer.definition.title
        sentences = (
            *(_trained(search, direction, goal) if goal is not None else ()),
            *_many(told, energy),
            *(text for r in chosen for text in _chosen(r.metrics, energy)),
            *_confirmed([run.record for run in confirmed.runs], energy),
            *(_edges(entry) if entry else ()),
        )
        found += (f"{title}: {text}" for text in sentences)
    return tuple(found)


def _trained(search: Sequence[TrialRecord], direction: Direction, goal: float) -> Iterator[str]:
    starts = [r.curve.values[0] for r in search if r.curve.steps[:1] == (0,)]
    if not starts:
        return
    # One start for all: failed trials have no start.
    start = direction.sign * statistics.median(starts)
    bound = start + _WAY * (goal - start)
    ended = [r.value for r in search if r.state is TrialState.COMPLETE or r.pruned]
    count = sum(v is not None and direction.sign * v <= bound for v in ended)
    if goal < start and len(search) - count >= _MANY * len(search):
        yield (
            f"{count} of {len(search)} trials trained at all; the others diverged, failed or "
            "improved by less than a tenth of the difference between the start and the best value "
            "of the study."
        )


def _many(told: Sequence[TrialRecord], energy: bool) -> Iterator[str]:
    above = "V above 𝓔" if energy else "the loss above its start"
    words = {
        "hot": f"hot ({above} in more than half of the steps, a final loss above the start, or "
        "steps too long for a loss that no longer decreases); search a smaller lr",
        "slow": "too slow to leave the start (lr too small, or eta too large for it); search a "
        "larger lr",
        "plateau": "on a plateau (the loss stays D/(η_eff − 1) above its floor, D = floor − F0); "
        "search a larger eta or F0",
    }
    for name, text in words.items():
        count = sum(record.metrics.get(name, 0) > 0 for record in told)
        if count and count >= _MANY * len(told):
            were = "was" if count == 1 else "were"
            yield f"{count} of {len(told)} trials {were} {text}."


def _chosen(metrics: Mapping[str, float], energy: bool) -> Iterator[str]:
    if metrics.get("hot"):
        share = _share_hot([metrics], energy)
        yield f"the best trial was hot{share}; a smaller lr may be better."
    if metrics.get("slow"):
        small = metrics.get("path_needed", 0) > metrics.get("path", math.inf)
        way = ": its steps were too small to leave the start" if small else ""
        yield f"the best trial was too slow{way}; a larger lr may be better."
    if metrics.get("plateau"):
        gap, floor = (format_number(metrics.get(f"plateau_{k}"), 2) for k in ("gap", "floor"))
        yield (
            f"the best trial's loss stopped up to D/(η_eff − 1) = {gap} above its floor "
            f"(at least {floor}); a larger eta or F0 may be better."
        )


def _share_hot(runs: Sequence[Mapping[str, float]], energy: bool) -> str:
    shares = [metrics["share_hot"] for metrics in runs if "share_hot" in metrics]
    if not shares:
        return ""
    above = "V above 𝓔" if energy else "the loss above its start"
    median = "a median of " if len(shares) > 1 else ""
    return f" ({above} in {median}{100 * statistics.median(shares):.0f} % of the steps)"


def _confirmed(runs: Sequence[TrialRecord], energy: bool) -> Iterator[str]:
    hot = [r.metrics for r in runs if r.metrics.get("hot")]
    if hot:
        were = "was" if len(hot) == 1 else "were"
        yield f"{len(hot)} of {len(runs)} confirmed runs {were} hot{_share_hot(hot, energy)}."


def _edges(entry: BestHyperparameters) -> Iterator[str]:
    for param in entry.lines:
        if param.edge:
            value = format_number(float(param.value), 3)
            yield (
                f"the best {param.name}, {value}, is at the {param.edge} edge of the searched "
                f"range, {param.allowed}; a wider range may be better, unless it is a limit of the "
                "hyperparameter."
            )
