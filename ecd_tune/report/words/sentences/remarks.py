"""Diagnoses of the runs of a search: how many were hot, slow or on a plateau."""

from __future__ import annotations

import math
import statistics
from collections.abc import Iterator, Mapping, Sequence
from typing import NamedTuple

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


class _Remark(NamedTuple):
    """A remark on one optimizer: ``title: lead verb text``.

    Attributes:
        title: The optimizer.
        text: The end of the sentence; optimizers with the same share a sentence.
        lead: How many trials or runs it is about, or empty.
        verb: ``"was"`` or ``"were"``, or empty.
    """

    title: str
    text: str
    lead: str = ""
    verb: str = ""


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
        Sentences, those on the best hyperparameters first, one for all optimizers with the same
        finding; none where nothing is wrong.
    """
    bests = {entry.optimizer: entry for entry in best}
    direction = spec.task_def.direction
    goal = min((direction.sign * entry.value for entry in best), default=None)
    chosen: list[_Remark] = []
    searched: list[_Remark] = []
    for key, optimizer in spec.optimizers.items():
        title = optimizer.title or optimizer.definition.title
        energy = "s" in optimizer.definition.hyperparameters
        search = [r for r in trials.get(spec.key(key), ()) if r.counts]
        told = [r for r in search if "hot" in r.metrics]
        confirmed = next(row for row in results if row.optimizer == key).confirmed
        if (entry := bests.get(key)) is not None:
            own = [
                r
                for r in told
                if (number_of(r.key.optimizer), r.number) == (entry.search, entry.trial)
            ]
            chosen += (_Remark(title, text) for r in own for text in _chosen(r.metrics, energy))
            chosen += _edges(title, entry)
        chosen += _confirmed(title, [run.record for run in confirmed.runs], energy)
        if goal is not None:
            searched += _trained(title, search, direction, goal)
        searched += _many(title, told, energy)
    return tuple(_merge([*chosen, *searched]))


def _merge(remarks: Sequence[_Remark]) -> Iterator[str]:
    by_text: dict[str, list[_Remark]] = {}
    for remark in remarks:
        by_text.setdefault(remark.text, []).append(remark)
    for text, (first, *others) in by_text.items():
        if not first.lead:
            yield f"{', '.join(one.title for one in (first, *others))}: {text}"
        elif not others:
            yield f"{first.title}: {' '.join(filter(None, (first.lead, first.verb, text)))}"
        else:
            each = ", ".join(f"{one.title} {one.lead}" for one in (first, *others))
            yield f"{each} {'were ' if first.verb else ''}{text}"


def _trained(
    title: str, search: Sequence[TrialRecord], direction: Direction, goal: float
) -> Iterator[_Remark]:
    starts = [r.curve.values[0] for r in search if r.curve.steps[:1] == (0,)]
    if not starts:
        return
    # One start for all: failed trials have no start.
    start = direction.sign * statistics.median(starts)
    bound = start + _WAY * (goal - start)
    ended = [r.value for r in search if r.state is TrialState.COMPLETE or r.pruned]
    count = sum(v is not None and direction.sign * v <= bound for v in ended)
    if goal < start and len(search) - count >= _MANY * len(search):
        yield _Remark(
            title,
            "trained at all; the others diverged, failed or improved by less than a tenth of the "
            "difference between the start and the best value of the study.",
            f"{count} of {len(search)} trials",
        )


def _many(title: str, told: Sequence[TrialRecord], energy: bool) -> Iterator[_Remark]:
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
            yield _Remark(title, f"{text}.", f"{count} of {len(told)} trials", _were(count))


def _were(count: int) -> str:
    return "was" if count == 1 else "were"


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


def _confirmed(title: str, runs: Sequence[TrialRecord], energy: bool) -> Iterator[_Remark]:
    hot = [r.metrics for r in runs if r.metrics.get("hot")]
    if hot:
        lead = f"{len(hot)} of {len(runs)} confirmed runs"
        yield _Remark(title, f"hot{_share_hot(hot, energy)}.", lead, _were(len(hot)))


def _edges(title: str, entry: BestHyperparameters) -> Iterator[_Remark]:
    at = [
        (param, f"{param.name}, {format_number(float(param.value), 3)}")
        for param in entry.lines
        if param.edge
    ]
    if len(at) == 1:
        ((param, value),) = at
        yield _Remark(
            title,
            f"the best {value}, is at the {param.edge} edge of the searched range, "
            f"{param.allowed}; a wider range may be better, unless it is a limit of the "
            "hyperparameter.",
        )
    elif at:
        values = "; ".join(f"{value} ({param.edge} edge of {param.allowed})" for param, value in at)
        yield _Remark(
            title,
            f"{len(at)} best values are at an edge of the searched range: {values}; wider ranges "
            "may be better, unless these are limits of the hyperparameters.",
        )
