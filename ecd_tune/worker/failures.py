"""Detect repeated equal failures: consecutive ones of this worker, or the first ones of a study."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from ecd_tune.analysis import normalise_reason
from ecd_tune.errors import RepeatedFailureError
from ecd_tune.records import Cause, Outcome, TrialRecord, TrialState

__all__ = ["FailureStreak"]

# A loss that is not finite belongs to the hyperparameters, and is what a search is there to find.
_COUNTED = (Cause.EXCEPTION, Cause.OUT_OF_MEMORY, Cause.TIMEOUT)


_AT_START = 3
"""This many equal failures over all workers stop them if no trial has a value yet."""


class FailureStreak:
    """Counts the latest trials of one optimizer that failed in the same way.

    Args:
        limit: So many in a row are no property of the trials.
        study: Name of the study, for the message.
    """

    def __init__(self, limit: int, study: str = "STUDY") -> None:
        self._limit, self._study = limit, study
        self._reason: str | None = None
        self._count = 0
        self._ended_well = False

    def add(self, outcomes: Sequence[Outcome], stored: Callable[[], Sequence[TrialRecord]]) -> None:
        """Add the next outcomes.

        Args:
            outcomes: In the order in which they ran.
            stored: Returns the trials of all searches of this optimizer, from any worker; asked
                after a failure, as long as none of them has a value.

        Raises:
            RepeatedFailureError: The limit is reached, or three where nothing has a value.
        """
        for outcome in outcomes:
            reason = _kind(outcome)
            self._count = self._count + 1 if reason is not None and reason == self._reason else 1
            self._reason = reason
            if reason is None:
                continue
            if self._count >= self._limit:
                raise self._error(
                    f"{self._count} consecutive trials failed in the same way", outcome
                )
            alike = max(self._count, self._count_first(reason, stored))
            if not self._ended_well and alike >= _AT_START:
                raise self._error(
                    f"the first {alike} trials failed in the same way, over all workers, and none "
                    "has a value yet",
                    outcome,
                )

    def _count_first(self, reason: str, stored: Callable[[], Sequence[TrialRecord]]) -> int:
        """Count equal failures on all workers, as long as no trial ended otherwise."""
        if self._ended_well:
            return 0
        records = [record for record in stored() if record.counts]
        self._ended_well = any(record.state is not TrialState.FAIL for record in records)
        return sum(_kind(record) == reason for record in records)

    def _error(self, what: str, last: Outcome) -> RepeatedFailureError:
        return RepeatedFailureError(
            f"{what}, the last one with: {last.reason}. This worker stops; its trials are stored "
            "or re-queued. Fix the error, re-queue failed trials with `ecd-tune retry "
            f"{self._study} --failed` (and --storage, if yours is not the default), and run it "
            "again; if it is not an error, raise [retries] stop_worker_after (now "
            f"{self._limit}) in the study file"
        )


def _kind(ended: Outcome | TrialRecord) -> str | None:
    if ended.cause not in _COUNTED:
        return None
    if ended.cause is Cause.TIMEOUT:
        return str(ended.cause)  # where it was when its time was up is chance
    # Addresses, counts and sizes differ from trial to trial; what is left is the kind of failure.
    return normalise_reason(ended.reason)
