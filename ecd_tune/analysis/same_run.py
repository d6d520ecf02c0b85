"""Compare a run with its repetition, number by number."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from ecd_tune.records import Cause, Curve, Origin, Outcome, TrialRecord

__all__ = ["Comparison", "Difference", "compare_origins", "compare_runs"]


@dataclass(frozen=True)
class Difference:
    """One number that is not the same.

    Attributes:
        name: Of the number; of a curve with its step.
        stored: As stored; None where it is missing.
        again: The value of the repetition; None where it is missing.
    """

    name: str
    stored: float | None
    again: float | None

    @property
    def relative(self) -> float:
        """Distance over the larger magnitude; infinite if one is missing or not finite."""
        if self.stored is None or self.again is None:
            return math.inf
        distance = abs(self.stored - self.again)
        size = max(abs(self.stored), abs(self.again))
        return distance / size if math.isfinite(distance) else math.inf


@dataclass(frozen=True)
class Comparison:
    """A run and its repetition.

    Attributes:
        numbers: How many numbers were compared.
        differences: Those that are not equal to the last bit.
        ended: How the stored run ended.
        ended_again: How the repetition ended.
    """

    numbers: int
    differences: tuple[Difference, ...]
    ended: Cause
    ended_again: Cause

    def is_same(self, rtol: float) -> bool:
        """Say whether the run was repeated.

        Args:
            rtol: Largest relative difference that counts as equal.
        """
        return self.ended == self.ended_again and self.largest <= rtol

    @property
    def largest(self) -> float:
        """Largest relative difference; 0 if all are equal."""
        return max((difference.relative for difference in self.differences), default=0.0)


def compare_runs(record: TrialRecord, outcome: Outcome, ignored: tuple[str, ...]) -> Comparison:
    """Compare a stored trial with its repetition.

    Args:
        record: The trial, with its cause and curves; a thinned curve is compared at the steps it
            has.
        outcome: The repetition.
        ignored: Names of metrics that measure the machine and not the run.

    Returns:
        The comparison with its differences.
    """
    pairs = [pair for pair in _pairs(record, outcome, ignored) if pair[1:] != (None, None)]
    different = [
        Difference(name, stored, again) for name, stored, again in pairs if not _same(stored, again)
    ]
    assert record.cause is not None  # it has ended
    return Comparison(len(pairs), tuple(different), record.cause, outcome.cause)


def compare_origins(then: Origin | None, now: Origin) -> list[str]:
    """Compare the data and code of a trial with those of this process.

    Args:
        then: Origin of the trial; None if it is not recorded.
        now: Origin of this process.

    Returns:
        One line for the data and one for the code.
    """
    if then is None:
        return ["data and code: not recorded; the trial is older than this record"]
    return [f"data: {_compare_data(then, now)}", f"code: {_compare_code(then, now)}"]


def _compare_data(then: Origin, now: Origin) -> str:
    if not then.data and not now.data:
        return "no digest: the task reads no files, or has its own training loop"
    if then.data == now.data:
        return f"the same (digest {now.data})"
    return (
        f"DIFFERENT: the trial saw data of digest {then.data or 'unknown'}, here it is "
        f"{now.data or 'unknown'}; the numbers cannot be expected to agree"
    )


def _compare_code(then: Origin, now: Origin) -> str:
    found = [
        f"{what} {old or 'unknown'} then, {new or 'unknown'} now"
        for what, old, new in (
            ("ecd_tune", then.version, now.version),
            ("commit", then.commit, now.commit),
            ("source of the task's function", then.function, now.function),
        )
        if old != new
    ]
    if found:
        return f"DIFFERENT: {'; '.join(found)}"
    commit = f", commit {now.commit}" if now.commit else ""
    dirty = ", with changes that are not committed" if now.commit.endswith("-dirty") else ""
    return f"the same (ecd_tune {now.version}{commit}{dirty})"


def _pairs(
    record: TrialRecord, outcome: Outcome, ignored: tuple[str, ...]
) -> Iterator[tuple[str, float | None, float | None]]:
    yield "value", record.value, outcome.value
    for name in sorted({*record.metrics, *outcome.metrics} - set(ignored)):
        yield name, record.metrics.get(name), outcome.metrics.get(name)
    for name in sorted({*record.curves, *outcome.curves}):
        again = _points(outcome.curves.get(name, Curve()))
        for step, value in _points(record.curves.get(name, Curve())).items():
            yield f"{name} at step {step}", value, again.get(step)


def _points(curve: Curve) -> Mapping[int, float]:
    return dict(zip(curve.steps, curve.values, strict=True))


def _same(one: float | None, other: float | None) -> bool:
    if one is None or other is None:
        return one is other
    return one == other or (math.isnan(one) and math.isnan(other))
