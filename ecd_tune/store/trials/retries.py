"""Why a trial has no value, and how often it is tried again for that reason."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from enum import StrEnum

from ecd_tune.records import Outcome, Status

__all__ = ["Cause", "History", "add_cause", "allows", "cause_of", "dump_counts", "load_counts"]

_OUT_OF_MEMORY = re.compile(r"out ?of ?memory|MemoryError|not enough memory|can't allocate", re.I)
_NON_FINITE = re.compile(r"\bnon-finite\b")


class Cause(StrEnum):
    """Why a trial has no value; the keys of ``[retries]`` in a study file."""

    LOST = "lost"
    """Its worker is gone, or did not renew the lease in time."""
    OUT_OF_MEMORY = "out_of_memory"
    NON_FINITE = "non_finite"
    EXCEPTION = "exception"


History = Mapping[str, int]
"""Cause to a number of attempts."""


def cause_of(outcome: Outcome) -> Cause | None:
    """Return why an outcome has no value.

    Args:
        outcome: Of one trial.

    Returns:
        None when it has one, or was pruned.
    """
    if outcome.status is not Status.FAILED:
        return None
    reason = outcome.reason or ""
    if _NON_FINITE.search(reason):
        return Cause.NON_FINITE
    return Cause.OUT_OF_MEMORY if _OUT_OF_MEMORY.search(reason) else Cause.EXCEPTION


def allows(retries: History, history: History, cause: Cause | None) -> bool:
    """Say whether a trial may be tried once more.

    Args:
        retries: Extra attempts that the study allows for each cause.
        history: How many attempts were tried again already, by cause.
        cause: Why this attempt has no value; None for one that was given back on purpose, which
            may be repeated for ever.
    """
    return cause is None or history.get(cause, 0) < retries.get(cause, 0)


def add_cause(history: History, cause: Cause | None) -> History:
    """Return the history of the next attempt."""
    return dict(history) if cause is None else {**history, cause: history.get(cause, 0) + 1}


def dump_counts(counts: History) -> str | None:
    """Return counts as stored; None for none."""
    return json.dumps({str(name): count for name, count in counts.items()}) if counts else None


def load_counts(text: str | None) -> dict[str, int]:
    """Read what :func:`dump_counts` wrote."""
    return dict(json.loads(text)) if text else {}
