"""The progress of a study in a notebook."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from ecd_tune.cli.display import RateEstimator
from ecd_tune.launch import WorkerView
from ecd_tune.records import Stage
from ecd_tune.spec import StudySpec
from ecd_tune.store import Progress

__all__ = ["NotebookBar"]


class NotebookBar:
    """One bar over all trials of a study, followed by the best value of each optimizer.

    A widget where ipywidgets is installed, and a line of text elsewhere.

    Args:
        spec: The study.
    """

    def __init__(self, spec: StudySpec) -> None:
        from tqdm.auto import tqdm

        self._spec = spec = spec.by_search()
        self._rate = RateEstimator(spec)
        self._bar: Any = tqdm(total=self._rate.total, desc=spec.name, unit="trial")

    def __enter__(self) -> NotebookBar:
        return self

    def __exit__(self, *error: object) -> None:
        self._bar.close()

    def update(self, progress: Sequence[Progress], workers: Sequence[WorkerView]) -> None:
        """Show the newest state.

        Args:
            progress: One entry per study key.
            workers: Not shown: a notebook works by itself.
        """
        self._rate.update(progress)
        best = {
            p.key.optimizer: f"{p.best:.4g}"
            for p in progress
            if p.key.stage is Stage.SEARCH
            and p.key.optimizer in self._spec.optimizers
            and p.best is not None
        }
        self._bar.set_postfix(best, refresh=False)
        self._bar.n, self._bar.total = self._rate.done, self._rate.total
        self._bar.refresh()
