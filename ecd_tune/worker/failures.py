"""Notice when trials fail one after the other for the same reason."""

from __future__ import annotations

from collections.abc import Sequence

from ecd_tune.analysis import normalise_reason
from ecd_tune.errors import RepeatedFailureError
from ecd_tune.records import Cause, Outcome

__all__ = ["FailureStreak"]

# A loss that is not finite belongs to the hyperparameters, and is what a search is there to find.
_COUNTED = (Cause.EXCEPTION, Cause.OUT_OF_MEMORY)


class FailureStreak:
    """Counts the latest trials that failed alike.

    Args:
        limit: So many in a row are no property of the trials.
    """

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._reason: str | None = None
        self._count = 0

    def add(self, outcomes: Sequence[Outcome]) -> None:
        """Take the next outcomes.

        Args:
            outcomes: In the order in which they ran.

        Raises:
            RepeatedFailureError: The limit is reached.
        """
        for outcome in outcomes:
            reason = _kind(outcome)
            self._count = self._count + 1 if reason is not None and reason == self._reason else 1
            self._reason = reason
            if reason is not None and self._count >= self._limit:
                raise RepeatedFailureError(
                    f"{self._count} trials in a row failed alike, the last one with: "
                    f"{outcome.reason}. This worker stops; what it held is stored or queued again. "
                    "Mend the cause and start it again, or raise [retries] stop_worker_after "
                    f"(now {self._limit}) in the study file"
                )


def _kind(outcome: Outcome) -> str | None:
    # Addresses, counts and sizes differ from trial to trial; what is left is the kind of failure.
    return normalise_reason(outcome.reason) if outcome.cause in _COUNTED else None
