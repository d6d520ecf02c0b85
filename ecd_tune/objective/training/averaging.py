"""Evaluate means of several epochs' weights in addition to single epochs."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Protocol

from ecd_tune.errors import NonFiniteLossError
from ecd_tune.objective.checkpoints.snapshots import CheckpointTimer
from ecd_tune.objective.training.epoch_store import EpochStore
from ecd_tune.objective.training.evaluator import Evaluator
from ecd_tune.objective.training.means import Mean, Weights
from ecd_tune.objective.training.metric_history import MetricHistory
from ecd_tune.records import Curve
from ecd_tune.spec import Averaging

__all__ = ["Averager", "ChosenMean", "PostHoc", "Swa"]


@dataclass(frozen=True)
class ChosenMean:
    """The mean that is best on the evaluation split.

    Attributes:
        metrics: Its metrics there.
        first: First epoch in it.
        last: Last epoch in it.
        weights: Mean and its statistics; None if they are not needed for another evaluation.
    """

    metrics: Mapping[str, float]
    first: int
    last: int
    weights: Weights | None = None


class Averager(Protocol):
    """Follows a run, and selects a mean at its end.

    Attributes:
        choice: The best mean so far, or None.
    """

    choice: ChosenMean | None

    @property
    def curve(self) -> Curve:
        """The metric of the selected mean during training; empty if it was not evaluated then."""

    def end_epoch(self, epoch: int) -> None:
        """Add the weights of an epoch.

        Args:
            epoch: Its number, from 1.
        """

    def finish(self, timer: CheckpointTimer, step: int, state: Any) -> None:
        """Choose, after the last epoch.

        Args:
            timer: Looks up between two candidates.
            step: Number of the step that would come next.
            state: Returns the state to save.
        """

    def close(self) -> None:
        """Remove temporary files: the run has its outcome."""

    def state_dict(self) -> dict[str, Any]:
        """Return all that the choice depends on."""

    def load_state_dict(self, state: dict[str, Any], epochs: int) -> None:
        """Continue.

        Args:
            state: Returned by :meth:`state_dict`.
            epochs: Epochs that were done by then.
        """


class _Choosing:
    """Evaluates means, one after the other, and remembers the best."""

    def __init__(self, evaluator: Evaluator, settings: Averaging) -> None:
        self._evaluator, self._renew = evaluator, settings.statistics != "average"
        self.choice: ChosenMean | None = None

    def _try(self, mean: Weights, first: int, last: int, *, choose: bool = True) -> float | None:
        """Evaluate a mean, perhaps select it, and restore the weights; None if it has no value."""
        problem = self._evaluator.problem
        single = Weights.of(problem)
        try:
            mean.put(problem)
            if self._renew:
                self._evaluator.renew()
            metrics = self._evaluator.evaluate(
                f"of the weights averaged over epochs {first} to {last}"
            )
            if choose and self._evaluator.better(
                metrics, self.choice.metrics if self.choice else None
            ):
                tested = self._evaluator.split == "test"
                kept = None if tested else Weights.of(problem)
                self.choice = ChosenMean(metrics, first, last, kept)
            return metrics[self._evaluator.metric]
        except NonFiniteLossError:
            return None  # not a mean to choose; the run itself is sound
        finally:
            single.put(problem)

    def _choice_state(self) -> dict[str, Any] | None:
        choice = self.choice
        if choice is None:
            return None
        return {"judged": dict(choice.metrics), "first": choice.first, "last": choice.last}

    def _take_choice(self, held: dict[str, Any] | None) -> None:
        self.choice = None
        if held is not None:
            metrics = {str(name): float(value) for name, value in held["judged"].items()}
            self.choice = ChosenMean(metrics, int(held["first"]), int(held["last"]))


class Swa(_Choosing):
    """Running means from given epochs on.

    If the test split selects, as in the paper, each evaluated mean is a candidate; otherwise only
    those of the last epoch, so that only the start is selected.

    Args:
        evaluator: Evaluates them.
        settings: Starts and statistics.
        epochs: Length of the run.
        every: Epochs between two evaluations before the last epoch; None for no such.
    """

    def __init__(
        self, evaluator: Evaluator, settings: Averaging, epochs: int, every: int | None = None
    ) -> None:
        super().__init__(evaluator, settings)
        self._epochs, self._every, self._tested = epochs, every, evaluator.split == "test"
        self._means = {start: Mean() for start in settings.starts(epochs)}
        self._history = MetricHistory()

    @property
    def curve(self) -> Curve:
        """The metric of the selected mean by its last epoch, if evaluated during training."""
        if self._every is None or self.choice is None:
            return Curve()
        return self._history.curves()[str(self.choice.first)]

    def end_epoch(self, epoch: int) -> None:
        """Add the epoch to the means that have begun."""
        begun = {start: mean for start, mean in self._means.items() if start <= epoch}
        if not begun:
            return
        weights = Weights.of(self._evaluator.problem)
        for start, mean in begun.items():
            present = mean.include(weights)
            if self._is_due(epoch):
                self._evaluate_mean(present, start, epoch, choose=self._tested)

    def _evaluate_mean(self, mean: Weights, first: int, last: int, *, choose: bool) -> None:
        value = self._try(mean, first, last, choose=choose)
        if value is not None:
            self._history.add(last, {str(first): value})

    def _is_due(self, epoch: int) -> bool:
        if epoch == self._epochs:
            return self._tested  # the others' turn is in finish(), where they may be left
        return self._every is not None and epoch % self._every == 0

    def finish(self, timer: CheckpointTimer, step: int, state: Any) -> None:
        """Select the start, unless the means of earlier epochs are candidates."""
        if self._tested:
            return
        for start, mean in self._means.items():
            timer.check(step, state)
            if mean.weights is not None:
                self._evaluate_mean(mean.weights, start, self._epochs, choose=True)

    def close(self) -> None:
        """Do nothing: all is in memory."""

    def state_dict(self) -> dict[str, Any]:
        """Return means, curves and choice."""
        means = {start: mean.to_dict() for start, mean in self._means.items()}
        tracks = self._history.state_dict()
        return {"means": means, "tracks": tracks, "choice": self._choice_state()}

    def load_state_dict(self, state: dict[str, Any], epochs: int) -> None:
        """Continue.

        Raises:
            ValueError: The means are not those that there should be.
        """
        problem = self._evaluator.problem
        means = {int(s): Mean.from_dict(held, problem) for s, held in state["means"].items()}
        counts = {start: mean.count for start, mean in means.items()}
        if counts != {start: max(0, epochs - start + 1) for start in self._means}:
            raise ValueError(f"means of {counts} epochs, after {epochs} epochs")
        self._means = means
        self._history.load_state_dict(state["tracks"])
        self._take_choice(state["choice"] if self._tested else None)


class PostHoc(_Choosing):
    """Means of the last k epochs, with every k, in one pass backwards over saved weights.

    Args:
        evaluator: Evaluates them.
        settings: First epoch and statistics.
        epochs: Length of the run.
        store: Temporary storage of the weights of the epochs.
    """

    def __init__(
        self, evaluator: Evaluator, settings: Averaging, epochs: int, store: EpochStore
    ) -> None:
        super().__init__(evaluator, settings)
        self._starts, self._store = settings.starts(epochs), store

    @property
    def curve(self) -> Curve:
        """Empty: no mean is there before the last epoch."""
        return Curve()

    def end_epoch(self, epoch: int) -> None:
        """Store the weights of an epoch that may be averaged."""
        if epoch >= self._starts[0]:
            self._store.keep(epoch, Weights.of(self._evaluator.problem))

    def finish(self, timer: CheckpointTimer, step: int, state: Any) -> None:
        """Average backwards from the last epoch, and evaluate each mean."""
        mean, last = Mean(), self._starts[-1]
        self.choice = None
        for start in reversed(self._starts):
            timer.check(step, state)
            present = mean.include(self._store.take(start, self._evaluator.problem))
            self._try(present, start, last)

    def close(self) -> None:
        """Remove the weights."""
        self._store.clear()

    def state_dict(self) -> dict[str, Any]:
        """Return only the kept epochs: the weights are stored next to the checkpoint."""
        return {"kept": list(self._starts)}

    def load_state_dict(self, state: dict[str, Any], epochs: int) -> None:
        """Check whether the weights are there.

        Raises:
            ValueError: They are not, or are those of other epochs.
        """
        if list(state["kept"]) != list(self._starts):
            raise ValueError(f"weights of epochs {state['kept']} are kept")
        self._store.check(start for start in self._starts if start <= epochs)
