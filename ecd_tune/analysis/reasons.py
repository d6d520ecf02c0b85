"""Group trials that diverged or failed by their reason."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass

from ecd_tune.records import Stage, TrialRecord, TrialState

__all__ = ["ReasonGroup", "group_reasons", "normalise_reason"]

_NUMBER = re.compile(r"0x[0-9a-fA-F]+|(?<![\w.])[-+]?\d+(?:\.\d+)?(?:[eE][-+]?\d+)?(?![\w])")
_PLACE = re.compile(r" \([^()]+, line \d+: .*\)$")
"""Where an exception comes from; the same for all trials that it ends."""
_UNKNOWN = "no reason stored"


@dataclass(frozen=True)
class ReasonGroup:
    """Trials that ended badly for one reason.

    Attributes:
        optimizer: Key of the optimizer.
        stage: Search or confirmation.
        kind: ``"diverged"``, or how it failed: its cause, ``"failed"`` where none is stored.
        reason: The reason with its numbers replaced.
        count: How many trials.
        example: Number of the first of them.
    """

    optimizer: str
    stage: Stage
    kind: str
    reason: str
    count: int
    example: int


def normalise_reason(reason: str | None) -> str:
    """Replace what differs from trial to trial.

    Args:
        reason: Text such as ``"loss is nan at iteration 137"``; the first line counts.

    Returns:
        The text with every free-standing number and address replaced by ``N``. A number inside a
        word, as in ``float32``, stays, and so does the line of code at the end.
    """
    lines = (reason or "").strip().splitlines()
    if not lines:
        return _UNKNOWN
    line = lines[0].strip()
    place = _PLACE.search(line)
    end = place.start() if place else len(line)
    return _NUMBER.sub("N", line[:end]) + line[end:]


def group_reasons(records: Iterable[TrialRecord]) -> tuple[ReasonGroup, ...]:
    """Group the trials that diverged or failed.

    Args:
        records: Trials of any optimizers and stages; interrupted attempts are left out, and so
            are pruned ones, which did not end badly.

    Returns:
        Groups by optimizer (in the order met) and stage, the largest first.
    """
    numbers: dict[tuple[str, Stage, str, str], list[int]] = {}
    for record in records:
        bad = record.state in (TrialState.PRUNED, TrialState.FAIL)
        if record.lost or record.pruned or not bad:
            continue
        kind = "diverged" if record.state is TrialState.PRUNED else (record.cause or "failed")
        group = (record.key.optimizer, record.key.stage, kind, normalise_reason(record.reason))
        numbers.setdefault(group, []).append(record.number)
    order = list(dict.fromkeys(group[:2] for group in numbers))
    groups = [ReasonGroup(*group, len(n), min(n)) for group, n in numbers.items()]
    return tuple(sorted(groups, key=lambda g: (order.index((g.optimizer, g.stage)), -g.count)))
