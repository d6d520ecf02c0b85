"""Notice when trials fail one after the other for the same reason."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from ecd_tune.analysis import normalise_reason
from ecd_tune.errors import RepeatedFailureError
from ecd_tune.records import Cause, Outcome

__all__ = ["FailureStreak"]

# A loss that is not finite belongs to the hyperparameters, and is what a search is there to find.
_COUNTED = (Cause.EXCEPTION, Cause.OUT_OF_MEMORY)


_AT_START = 3
"""So many alike end a worker where no trial of that search has ended otherwise yet."""


class FailureStreak:
    """Counts the latest trials of one optimizer that failed alike.

    Args:
        limit: So many in a row are no property of the trials.
    """

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._reason: str | None = None
        self._count = 0

    def add(self, outcomes: Sequence[Outcome], ended_well: Callable[[], bool]) -> None:
        """Take the next outcomes.

        Args:
            outcomes: In the order in which they ran.
            ended_well: Says whether any trial of this search has a value; asked after a failure.

        Raises:
            RepeatedFailureError: The limit is reached, or three where nothing has a value.
        """
        for outcome in outcomes:
            reason = _kind(outcome)
            self._count = self._count + 1 if reason is not None and reason == self._reason else 1
            self._reason = reason
            if reason is None or self._count < min(_AT_START, self._limit):
                continue
            if self._count >= self._limit or not ended_well():
                first = "" if self._count >= self._limit else ", and none has a value yet"
                raise RepeatedFailureError(
                    f"{self._count} trials in a row failed alike{first}, the last one with: "
                    f"{outcome.reason}. This worker stops; what it held is stored or queued again. "
                    "Fix the cause, put failed trials back with `ecd-tune retry STUDY --failed`, "
                    "and start it again; where it is no fault, raise [retries] "
                    f"stop_worker_after (now {self._limit}) in the study file"
                )


def _kind(outcome: Outcome) -> str | None:
    # Addresses, counts and sizes differ from trial to trial; what is left is the kind of failure.
    return normalise_reason(outcome.reason) if outcome.cause in _COUNTED else None
