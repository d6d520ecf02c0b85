"""How often a trial without a value is tried again, by its cause."""

from __future__ import annotations

import json
from collections.abc import Mapping

from ecd_tune.records import Cause

__all__ = ["History", "add_cause", "allows", "count_promotions", "dump_counts", "load_counts"]

History = Mapping[str, int]
"""Entry of ``[retries]``, or ``promoted``, to a number of attempts."""

_ENTRIES: Mapping[Cause, str] = {
    Cause.NON_FINITE: "non_finite",
    Cause.OUT_OF_MEMORY: "out_of_memory",
    Cause.TIMEOUT: "timeout",
    Cause.EXCEPTION: "exception",
    Cause.LOST: "lost",
    Cause.KILLED: "lost",
    Cause.PROMOTED: "promoted",
}
"""Cause to the entry of ``[retries]`` that allows another attempt; none allows a promotion."""


def allows(retries: History, history: History, cause: Cause) -> bool:
    """Say whether a trial may be tried once more.

    Args:
        retries: Extra attempts that the study allows, by entry of ``[retries]``.
        history: How many attempts were tried again already, likewise.
        cause: Why this attempt has no value; a released attempt may be repeated without limit, one
            with a value is not repeated.
    """
    entry = _ENTRIES.get(cause, "")
    return cause is Cause.RELEASED or history.get(entry, 0) < retries.get(entry, 0)


def add_cause(history: History, cause: Cause) -> History:
    """Return the history of the next attempt."""
    entry = _ENTRIES.get(cause)
    return dict(history) if entry is None else {**history, entry: history.get(entry, 0) + 1}


def count_promotions(history: History) -> int:
    """Return how often successive halving has promoted a trial's hyperparameters."""
    return history.get(_ENTRIES[Cause.PROMOTED], 0)


def dump_counts(counts: History) -> str | None:
    """Return counts as stored; None for none."""
    return json.dumps({str(name): count for name, count in counts.items()}) if counts else None


def load_counts(text: str | None) -> dict[str, int]:
    """Read what :func:`dump_counts` wrote."""
    return dict(json.loads(text)) if text else {}
