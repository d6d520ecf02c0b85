"""Judge means of several epochs' weights beside the weights of single epochs."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Protocol

from ecd_tune.errors import NonFiniteLossError
from ecd_tune.objective.judging import Judge
from ecd_tune.objective.means import Mean, Weights
from ecd_tune.objective.shelf import Shelf
from ecd_tune.objective.snapshots import Watch
from ecd_tune.spec import Averaging

__all__ = ["Averager", "Choice", "PostHoc", "Swa"]


@dataclass(frozen=True)
class Choice:
    """The mean that the judged split prefers.

    Attributes:
        judged: Its numbers there.
        first: First epoch in it.
        last: Last epoch in it.
        weights: Mean and its statistics; None where nothing is left to be judged with them.
    """

    judged: Mapping[str, float]
    first: int
    last: int
    weights: Weights | None = None


class Averager(Protocol):
    """Follows a run, and has a choice at its end.

    Attributes:
        choice: The best mean so far, or None.
    """

    choice: Choice | None

    def end_epoch(self, epoch: int, judged: bool) -> None:
        """Take the weights of an epoch.

        Args:
            epoch: Its number, from 1.
            judged: Whether the single network was judged after it.
        """

    def finish(self, watch: Watch, step: int, state: Any) -> None:
        """Choose, after the last epoch.

        Args:
            watch: Looks up between two candidates.
            step: Number of the step that would come next.
            state: Returns the state to save.
        """

    def close(self) -> None:
        """Remove what was kept outside of memory: the run has its outcome."""

    def state_dict(self) -> dict[str, Any]:
        """Return all that the choice depends on."""

    def load_state_dict(self, state: dict[str, Any], epochs: int) -> None:
        """Go on.

        Args:
            state: What :meth:`state_dict` returned.
            epochs: Epochs that were done by then.
        """


class _Choosing:
    """Judges means, one after the other, and remembers the best."""

    def __init__(self, judge: Judge, settings: Averaging) -> None:
        self._judge, self._renew = judge, settings.statistics != "average"
        self.choice: Choice | None = None

    def _try(self, mean: Weights, first: int, last: int) -> None:
        problem = self._judge.problem
        single = Weights.of(problem)
        try:
            mean.put(problem)
            if self._renew:
                self._judge.renew()
            judged = self._judge.judge(f"of the mean of epochs {first} to {last}")
            if self._judge.better(judged, self.choice.judged if self.choice else None):
                tested = self._judge.split == "test"
                kept = None if tested else Weights.of(problem)
                self.choice = Choice(judged, first, last, kept)
        except NonFiniteLossError:
            pass  # not a mean to choose; the run itself is sound
        finally:
            single.put(problem)

    def _choice_state(self) -> dict[str, Any] | None:
        choice = self.choice
        if choice is None:
            return None
        return {"judged": dict(choice.judged), "first": choice.first, "last": choice.last}

    def _take_choice(self, held: dict[str, Any] | None) -> None:
        self.choice = None
        if held is not None:
            judged = {str(name): float(value) for name, value in held["judged"].items()}
            self.choice = Choice(judged, int(held["first"]), int(held["last"]))


class Swa(_Choosing):
    """Running means from given epochs on.

    Where the test split drives the choices, as in the paper, each judged epoch's mean is a
    candidate; else those of the last epoch alone, so that only the start is chosen.

    Args:
        judge: Judges them.
        settings: Starts and statistics.
        epochs: Length of the run.
    """

    def __init__(self, judge: Judge, settings: Averaging, epochs: int) -> None:
        super().__init__(judge, settings)
        self._epochs = epochs
        self._means = {start: Mean() for start in settings.starts(epochs)}

    def end_epoch(self, epoch: int, judged: bool) -> None:
        """Add the epoch to the means that have begun."""
        begun = {start: mean for start, mean in self._means.items() if start <= epoch}
        if not begun:
            return
        weights = Weights.of(self._judge.problem)
        for start, mean in begun.items():
            present = mean.include(weights)
            if judged and self._judge.split == "test":
                self._try(present, start, epoch)

    def finish(self, watch: Watch, step: int, state: Any) -> None:
        """Choose the start, where the means of single epochs were not judged."""
        if self._judge.split == "test":
            return
        for start, mean in self._means.items():
            watch.check(step, state)
            if mean.weights is not None:
                self._try(mean.weights, start, self._epochs)

    def close(self) -> None:
        """Do nothing: all is in memory."""

    def state_dict(self) -> dict[str, Any]:
        """Return means and choice."""
        means = {start: mean.to_dict() for start, mean in self._means.items()}
        return {"means": means, "choice": self._choice_state()}

    def load_state_dict(self, state: dict[str, Any], epochs: int) -> None:
        """Go on.

        Raises:
            ValueError: The means are not those that there should be.
        """
        problem = self._judge.problem
        means = {int(s): Mean.from_dict(held, problem) for s, held in state["means"].items()}
        counts = {start: mean.count for start, mean in means.items()}
        if counts != {start: max(0, epochs - start + 1) for start in self._means}:
            raise ValueError(f"means of {counts} epochs, after {epochs} epochs")
        self._means = means
        self._take_choice(state["choice"] if self._judge.split == "test" else None)


class PostHoc(_Choosing):
    """Means of the last k epochs, with every k, in one pass backwards over saved weights.

    Args:
        judge: Judges them.
        settings: First epoch and statistics.
        epochs: Length of the run.
        shelf: Where the weights of the epochs lie meanwhile.
    """

    def __init__(self, judge: Judge, settings: Averaging, epochs: int, shelf: Shelf) -> None:
        super().__init__(judge, settings)
        self._starts, self._shelf = settings.starts(epochs), shelf

    def end_epoch(self, epoch: int, judged: bool) -> None:
        """Keep the weights of an epoch that may take part."""
        if epoch >= self._starts[0]:
            self._shelf.keep(epoch, Weights.of(self._judge.problem))

    def finish(self, watch: Watch, step: int, state: Any) -> None:
        """Average backwards from the last epoch, and judge each mean."""
        mean, last = Mean(), self._starts[-1]
        self.choice = None
        for start in reversed(self._starts):
            watch.check(step, state)
            present = mean.include(self._shelf.take(start, self._judge.problem))
            self._try(present, start, last)

    def close(self) -> None:
        """Remove the weights."""
        self._shelf.clear()

    def state_dict(self) -> dict[str, Any]:
        """Return nothing but a mark: the weights lie beside the checkpoint."""
        return {"kept": list(self._starts)}

    def load_state_dict(self, state: dict[str, Any], epochs: int) -> None:
        """Look whether the weights are there.

        Raises:
            ValueError: They are not, or are those of other epochs.
        """
        if list(state["kept"]) != list(self._starts):
            raise ValueError(f"weights of epochs {state['kept']} are kept")
        self._shelf.check(start for start in self._starts if start <= epochs)
