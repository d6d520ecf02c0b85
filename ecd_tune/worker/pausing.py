"""Pause trials at the rungs of successive halving; the store promotes the best of them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from ecd_tune.errors import CheckpointError
from ecd_tune.records import Lease, Outcome, Rung, RunRequest, Stage, Status
from ecd_tune.spec import Rungs, StudySpec
from ecd_tune.worker.checkpoint_storage.base import Checkpoints

__all__ = ["TrialPauser"]


class TrialPauser:
    """Limits each run to its next rung, and keeps the checkpoints of paused trials.

    Args:
        spec: The study, search by search.
        checkpoints: Storage of checkpoints; None without checkpoints.

    Raises:
        CheckpointError: The study resumes trials, but has no storage for checkpoints.
    """

    def __init__(self, spec: StudySpec, checkpoints: Checkpoints | None) -> None:
        self._checkpoints, self._reduction = checkpoints, spec.pruning.reduction
        keys = spec.optimizers if spec.pruning.resume else ()
        self._rungs = {key: Rungs(spec, key) for key in keys}
        self._paused: list[Lease] = []
        if self._rungs and checkpoints is None:
            raise CheckpointError(
                f"study {spec.name!r}: [pruning] resume = true: trials continue from their "
                "checkpoints, but checkpoints are off; give --checkpoints a place that all workers "
                "can access"
            )

    def request(self, lease: Lease) -> RunRequest:
        """Return the request of a trial, limited to its next rung.

        Args:
            lease: The trial.
        """
        rung = self._rung(lease)
        if rung is None:
            return lease.request
        until = self._rungs[lease.key.optimizer].until(rung.bracket, rung.number)
        return replace(lease.request, until=until)

    def mark(
        self, leases: Sequence[Lease], outcomes: Sequence[Outcome]
    ) -> list[tuple[Lease, Outcome]]:
        """Add to each outcome the rung of its run.

        Args:
            leases: The trials.
            outcomes: Their outcomes.

        Returns:
            Pairs for the store.
        """
        pairs = zip(leases, outcomes, strict=True)
        return [(lease, replace(outcome, rung=self._rung(lease))) for lease, outcome in pairs]

    def discard(self, lease: Lease, outcome: Outcome) -> None:
        """Remove the checkpoint of a run whose result is stored, unless it may be continued.

        It may be where the run is paused, and where it was promoted and failed: its retry continues
        from there, whether automatic or at a user's request.

        Args:
            lease: The trial.
            outcome: The stored outcome.
        """
        paused = outcome.rung is not None and outcome.status is Status.PRUNED
        if paused or (lease.promotions and outcome.status is Status.FAILED):
            self._paused.append(lease)
        elif self._checkpoints is not None:
            self._checkpoints.discard(lease)

    def discard_paused(self) -> None:
        """Remove the checkpoints of runs that this worker paused, once the study is complete."""
        if self._checkpoints is not None:
            for lease in self._paused:
                self._checkpoints.discard(lease)

    def _rung(self, lease: Lease) -> Rung | None:
        rungs = self._rungs.get(lease.key.optimizer)
        if rungs is None or lease.key.stage is not Stage.SEARCH:
            return None
        bracket = rungs.bracket(lease.key, lease.request)
        if rungs.until(bracket, lease.promotions) is None:
            return None
        return Rung(bracket, lease.promotions, self._reduction)
