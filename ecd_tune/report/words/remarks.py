"""What the runs of a search say of themselves: how many were hot, slow or on a plateau."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

from ecd_tune.records import StudyKey, TrialRecord
from ecd_tune.report.model.best import BestHyperparameters
from ecd_tune.report.words.numbers import format_number
from ecd_tune.spec import StudySpec

__all__ = ["compose_remarks"]

_MANY = 0.25
"""Share of the trials from which on they are told: in a wide space some always fail."""


def compose_remarks(
    spec: StudySpec,
    trials: Mapping[StudyKey, Sequence[TrialRecord]],
    best: Sequence[BestHyperparameters],
) -> tuple[str, ...]:
    """Say per optimizer what went wrong with a quarter of its trials or more, or with the best.

    Args:
        spec: The study.
        trials: Records by study key.
        best: Best trial of each optimizer that has one.

    Returns:
        Sentences; none for optimizers that say nothing of their runs, and where nothing is wrong.
    """
    numbers = {entry.optimizer: entry.trial for entry in best}
    found: list[str] = []
    for key, optimizer in spec.optimizers.items():
        told = [r for r in trials.get(spec.key(key), ()) if not r.lost and "hot" in r.metrics]
        title = optimizer.title or optimizer.definition.title
        energy = "s" in optimizer.definition.hyperparameters
        found += (f"{title}: {text}" for text in _many(told, energy))
        chosen = (r for r in told if r.number == numbers.get(key))
        found += (f"{title}: {text}" for r in chosen for text in _chosen(r.metrics))
    return tuple(found)


def _many(told: Sequence[TrialRecord], energy: bool) -> Iterator[str]:
    above = "V above 𝓔" if energy else "the loss above its start"
    words = {
        "hot": f"hot ({above} in more than half of the steps, the loss above its start at the "
        "end, or steps too long for a loss that stays level); search a smaller lr",
        "slow": "too slow to bring the loss down (lr too small, or eta too large for it); search a "
        "larger lr",
        "plateau": "on a plateau (the loss stays D/(η_eff − 1) above its floor, D = floor − F0); "
        "search a larger eta or F0",
    }
    for name, text in words.items():
        count = sum(record.metrics.get(name, 0) > 0 for record in told)
        if count and count >= _MANY * len(told):
            were = "was" if count == 1 else "were"
            yield f"{count} of {len(told)} trials {were} {text}."


def _chosen(metrics: Mapping[str, float]) -> Iterator[str]:
    if metrics.get("hot"):
        yield "the best trial was hot itself, so that a smaller lr may do better."
    if metrics.get("slow"):
        yield "the best trial was too slow itself, so that a larger lr may do better."
    if metrics.get("plateau"):
        gap, floor = (format_number(metrics.get(f"plateau_{k}"), 2) for k in ("gap", "floor"))
        yield (
            f"the best trial's loss stopped up to D/(η_eff − 1) = {gap} above its floor "
            f"(at least {floor}); a larger eta or F0 may do better."
        )
