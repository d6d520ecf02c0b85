"""The progress of a study, as far as a worker needs it to find work."""

from __future__ import annotations

import time

from ecd_tune.records import Stage, StudyKey
from ecd_tune.spec import StudySpec
from ecd_tune.store import Progress, Store
from ecd_tune.worker.confirmation import all_rerun

__all__ = ["RemainingWork", "study_complete"]

_ORDER_SECONDS = 1.0


class RemainingWork:
    """Queries the store for the remaining work.

    Args:
        store: The shared store.
        spec: The study.

    Attributes:
        keys: Of all searches and stages.
    """

    def __init__(self, store: Store, spec: StudySpec) -> None:
        self._store, self._spec = store, spec
        self.keys = [spec.key(key, stage) for key in spec.optimizers for stage in spec.stages]
        self._searched: set[str] = set()
        self._order = list(spec.optimizers)
        self._order_due = time.monotonic()

    def progress(self, stage: Stage) -> dict[str, Progress]:
        """Return the counts of one stage, by optimizer."""
        wanted: dict[StudyKey, str] = {self._spec.key(k, stage): k for k in self._spec.optimizers}
        return {
            wanted[progress.key]: progress
            for progress in self._store.progress(self._spec.name)
            if progress.key in wanted
        }

    def best(self, key: StudyKey) -> float | None:
        """Return the best value that the store has of one study, or None."""
        return self.progress(key.stage)[key.optimizer].best

    def sorted_by_need(self) -> list[str]:
        """Return the optimizers, the one with the fewest running trials first.

        A hint only, which can be a second old; with one worker the order of the file.
        """
        if len(self._order) > 1 and time.monotonic() >= self._order_due:
            running = dict.fromkeys(self._spec.optimizers, 0)
            for progress in self._store.progress(self._spec.name):
                if progress.key.optimizer in running:
                    running[progress.key.optimizer] += progress.running
            self._order = sorted(self._spec.optimizers, key=lambda optimizer: running[optimizer])
            self._order_due = time.monotonic() + _ORDER_SECONDS
        return self._order

    def known_searched(self, optimizer: str) -> bool:
        """Return whether an optimizer's search was found complete before, without asking again."""
        return optimizer in self._searched

    def searched(self, optimizer: str) -> bool:
        """Return whether an optimizer's search is complete."""
        if optimizer not in self._searched:
            finished = self.progress(Stage.SEARCH)[optimizer].finished
            if finished >= self._spec.trials(optimizer):
                self._searched.add(optimizer)
        return optimizer in self._searched

    def ended(self, optimizer: str, stage: Stage) -> bool:
        """Return whether all that is queued of a stage after the search has ended."""
        progress = self.progress(stage)[optimizer]
        return progress.running == 0 and progress.waiting == 0

    def complete(self) -> bool:
        """Return whether nothing is queued, running or left to draw."""
        searches = all(self.searched(key) for key in self._spec.optimizers)
        reruns = [p for stage in self._spec.stages[1:] for p in self.progress(stage).values()]
        return searches and all(p.running == 0 and p.waiting == 0 for p in reruns)


def study_complete(store: Store, spec: StudySpec) -> bool:
    """Return whether a study is complete, including runs that are not queued yet.

    Args:
        store: The shared store.
        spec: The study.

    Raises:
        StudyNotFoundError: It, or a stage of it, is not stored there.
        FingerprintMismatchError: It was created from a different study file.
    """
    spec = spec.by_search()
    store.check(spec)
    return RemainingWork(store, spec).complete() and all(
        all_rerun(
            spec,
            key,
            {stage: store.trials(spec.key(key, stage), curves=False) for stage in spec.stages},
        )
        for key in spec.optimizers
    )
