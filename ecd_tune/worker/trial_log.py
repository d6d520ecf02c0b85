"""One line in a worker's log for each trial: number, value, best so far, hyperparameters."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Collection, Mapping

from ecd_tune.records import Direction, Lease, Outcome, Params, Scalar, Stage, Status, StudyKey

__all__ = ["TrialLog"]

_log = logging.getLogger(__name__)
_REFRESH_SECONDS = 5.0


class TrialLog:
    """Logs each result as it is stored.

    Args:
        direction: Whether smaller or larger values are better.
        stored_best: Returns the best value of a search in the database, or None; called at most
            every five seconds, because other workers find better values too.
        searched: By optimizer, the hyperparameters that vary; the others are not logged.
    """

    def __init__(
        self,
        direction: Direction,
        stored_best: Callable[[StudyKey], float | None],
        searched: Mapping[str, Collection[str]],
    ) -> None:
        self._sign, self._stored_best, self._searched = direction.sign, stored_best, searched
        self._best: dict[StudyKey, float | None] = {}
        self._due: dict[StudyKey, float] = {}

    def add(self, lease: Lease, outcome: Outcome) -> None:
        """Log one trial.

        Args:
            lease: The trial.
            outcome: Its stored result.
        """
        if not _log.isEnabledFor(logging.INFO):
            return
        parts = [f"{lease.key.name} #{lease.number}: {_describe(outcome)}"]
        if lease.key.stage is Stage.SEARCH:
            best = self._update(lease.key, outcome)
            parts.append("no complete trial yet" if best is None else f"best so far {best:.6g}")
        else:
            parts.append(f"seed {lease.request.seed}")
        parts.append(_list(lease.request.params, self._searched[lease.key.optimizer]))
        _log.info("%s", "; ".join(parts))

    def _update(self, key: StudyKey, outcome: Outcome) -> float | None:
        found = [self._best.get(key), outcome.value if outcome.status is Status.COMPLETE else None]
        if time.monotonic() >= self._due.get(key, 0.0):
            found.append(self._stored_best(key))
            self._due[key] = time.monotonic() + _REFRESH_SECONDS
        values = [value for value in found if value is not None]
        self._best[key] = min(values, key=lambda value: self._sign * value) if values else None
        return self._best[key]


def _describe(outcome: Outcome) -> str:
    value = "no value" if outcome.value is None else f"{outcome.value:.6g}"
    if outcome.status is Status.COMPLETE:
        return value
    reason = f" ({outcome.reason})" if outcome.reason else ""
    return f"{value}, {outcome.cause}{reason}"


def _list(params: Params, names: Collection[str]) -> str:
    return ", ".join(f"{name} = {_show(params[name])}" for name in names if name in params)


def _show(value: Scalar) -> str:
    return f"{value:.6g}" if isinstance(value, float) else str(value)
