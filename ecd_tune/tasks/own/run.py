"""The argument of a user task, with which it describes a model or trains one in a loop."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, NoReturn, Protocol, TypeVar

import torch
from torch import Tensor, nn

from ecd_tune.errors import TaskError
from ecd_tune.tasks.own.data import ExampleSplit, Reading, make_part
from ecd_tune.tasks.own.digest import digest_examples
from ecd_tune.tasks.seeds import derive_seed

__all__ = ["Description", "Driver", "KeepsLoop", "Run"]

_T = TypeVar("_T")
_SEED_BITS = 31


class KeepsLoop(BaseException):
    """A task that should only be described has started its own loop.

    No Exception, so that no handler in a user's function takes it for a fault.
    """


class Driver(Protocol):
    """Implementation behind the loop of a task; :mod:`ecd_tune.objective.loops.loop` has it."""

    def keep(self, thing: Any) -> None:
        """Save and restore something."""

    def optimizer(self, parameters: Iterable[Any]) -> torch.optim.Optimizer:
        """Make the trial's optimizer."""
        ...

    def epochs(self) -> Iterator[int]:
        """Iterate over the remaining epochs."""
        ...

    def report(self, value: Any, loss: Any) -> None:
        """Record the metric of the epoch."""

    def test(self, function: Callable[[], Any]) -> None:
        """Evaluate the best epoch's weights on the test split, in a confirmation."""


@dataclass(frozen=True)
class Description:
    """A task of the first form; a pure function of its seed.

    Attributes:
        model: The module with its initial values, on its device.
        parts: Examples by split; the test split in a confirmation only.
        batch_size: Examples in one step.
        loss: ``loss(model, *batch)`` to the mean loss of the batch, 0-d.
        score: ``score(model, *batch)`` to the metric of each example ``[B]``, or its mean; None
            where the metric is the loss.
        metric: Name of the metric.
    """

    model: nn.Module
    parts: Mapping[str, ExampleSplit]
    batch_size: int
    loss: Callable[..., Tensor]
    score: Callable[..., Any] | None
    metric: str


class Run:
    """One run of a task.

    The first form describes the model: :meth:`model`, :meth:`data`, :meth:`loss`, :meth:`score`.
    The second keeps its own loop: :meth:`keep`, :meth:`optimizer`, :meth:`epochs`, :meth:`seed_of`,
    :meth:`report`, :meth:`test`.

    Before the function is called, and at the start of each step or epoch, the global generators
    of torch, numpy and Python are seeded from the seed of the run.

    Args:
        seed: Seed of all random numbers.
        device: Device for the model.
        metric: Name of the task's metric.
        tests: Whether the test split is available: in a confirmation.
        driver: Runs the task's own loop; None for a described model.

    Attributes:
        seed: The seed.
        device: The device, for ``.to(run.device)`` in the second form.
    """

    def __init__(
        self, seed: int, device: torch.device, metric: str, tests: bool, driver: Driver | None
    ) -> None:
        self.seed, self.device = seed, device
        self._metric, self._tests, self._driver = metric, tests, driver
        self._model: nn.Module | None = None
        self._data: tuple[Mapping[str, Any], Reading] | None = None
        self._loss: Callable[..., Tensor] | None = None
        self._score: Callable[..., Any] | None = None

    # The first form.

    def model(self, model: nn.Module) -> nn.Module:
        """Set the module to train.

        Args:
            model: Its parameters that require a gradient are trained; its buffers are saved and
                restored with them.

        Returns:
            The model, on the run's device.

        Raises:
            TaskError: It is not a module, or no parameter requires a gradient.
        """
        self._check_form("model")
        if not isinstance(model, nn.Module):
            raise TaskError(f"run.model: needs a torch.nn.Module; got {type(model).__name__}")
        if not any(parameter.requires_grad for parameter in model.parameters()):
            raise TaskError("run.model: no parameter of the model requires a gradient")
        self._model = model.to(self.device)
        return self._model

    def data(
        self,
        train: Any,
        val: Any,
        test: Any = None,
        *,
        batch_size: int,
        workers: int = 0,
        collate: Callable[[list[Any]], Any] | None = None,
    ) -> None:
        """Set the training data and the validation and test data.

        Each split is ``(x, y)`` of tensors or arrays (or any number of them), a ``TensorDataset``,
        or another torch data set with a length.

        Args:
            train: Shuffled in each epoch.
            val: Chooses epochs and hyperparameters.
            test: Looked at once in each confirmation run, after all choices.
            batch_size: Examples in one step; the last step of an epoch takes what is left.
            workers: Processes that read a data set.
            collate: Makes a batch of a list of examples, as of torch's DataLoader.

        Raises:
            TaskError: The batch size is not a whole number of at least 1.
        """
        self._check_form("data")
        if not isinstance(batch_size, int) or isinstance(batch_size, bool) or batch_size < 1:
            raise TaskError(f"run.data: batch_size = {batch_size!r}: must be a whole number, >= 1")
        reading = Reading(batch_size, workers, collate, self.device)
        self._data = {"train": train, "val": val, "test": test}, reading

    def loss(self, function: Callable[..., Tensor]) -> None:
        """Set the loss to minimize.

        Args:
            function: ``function(model, *batch)`` to the mean loss of the batch, a 0-d tensor.

        Raises:
            TaskError: It cannot be called.
        """
        self._check_form("loss")
        self._loss = _callable("loss", function)

    def score(self, function: Callable[..., Any]) -> None:
        """Set the metric of a trial; without it the metric must be ``"loss"``.

        Args:
            function: ``function(model, *batch)`` to one number for each example ``[B]``, or to
                their mean. The value of a split is the mean over its examples.

        Raises:
            TaskError: It cannot be called.
        """
        self._check_form("score")
        self._score = _callable("score", function)

    def data_digest(self) -> str:
        """Return the digest of what the task gave to learn from and to choose by."""
        splits = self._data[0] if self._data else {}
        return digest_examples({name: splits[name] for name in splits if name != "test"})

    def describe(self) -> Description:
        """Return the description of the first form.

        Returns:
            The description.

        Raises:
            TaskError: Something is missing.
        """
        given = {"model": self._model, "data": self._data, "loss": self._loss}
        missing = [f"run.{name}(…)" for name, value in given.items() if value is None]
        if missing and len(missing) == len(given):
            raise TaskError(
                "the task made no calls on run; call run.model, run.data, run.loss and "
                "run.score, or use your own loop with run.keep, run.optimizer, run.epochs and "
                "run.report"
            )
        if self._score is None and self._metric != "loss":
            missing.append(f'run.score(…), which returns {self._metric!r} (or use metric="loss")')
        if missing or self._model is None or self._data is None or self._loss is None:
            raise TaskError(f"the task does not call {', '.join(missing)}")
        splits, reading = self._data
        wanted = [name for name in splits if name != "test" or self._tests]
        for name in wanted:
            if splits[name] is None:
                hint = "; required for a confirmation, not with confirm=0" * (name == "test")
                raise TaskError(f"run.data({name}=None): is missing{hint}")
        return Description(
            self._model,
            {name: make_part(name, splits[name], reading) for name in wanted},
            reading.batch_size,
            self._loss,
            self._score,
            self._metric,
        )

    # The second form.

    def keep(self, thing: _T) -> _T:
        """Save and restore an object with the run: a model, a scheduler, an average.

        Args:
            thing: Has ``state_dict`` and ``load_state_dict``; a module is moved to the device.

        Returns:
            The same object.

        Raises:
            TaskError: It has no ``state_dict``.
        """
        driver = self._drive("keep")
        if not (hasattr(thing, "state_dict") and hasattr(thing, "load_state_dict")):
            raise TaskError(
                f"run.keep: {type(thing).__name__} has no state_dict and load_state_dict"
            )
        if isinstance(thing, nn.Module):
            thing.to(self.device)
        driver.keep(thing)
        return thing

    def optimizer(self, parameters: Iterable[Any]) -> torch.optim.Optimizer:
        """Create the optimizer of this trial.

        Args:
            parameters: Tensors to train, such as ``model.parameters()``.

        Returns:
            A torch optimizer; call ``step(loss=loss)`` after ``backward()``, for every optimizer.
            ``step(closure)``, and ``add_loss(loss)`` before ``step()``, work too. One that
            averages the weights needs ``eval()`` before an evaluation and ``train()`` before
            training; for all others these do nothing.
        """
        return self._drive("optimizer").optimizer(parameters)

    def epochs(self) -> Iterator[int]:
        """Iterate over the epochs; a resumed run continues with the next one.

        Random numbers from the global generators depend on the seed and the epoch.

        Yields:
            Numbers of epochs, from 1.
        """
        yield from self._drive("epochs").epochs()

    def seed_of(self, epoch: int) -> int:
        """Return a seed for one epoch, for the order of the data.

        Args:
            epoch: Number of the epoch.

        Returns:
            A whole number below 2**31, which every generator accepts.
        """
        return derive_seed(self.seed, "epoch of one's own", epoch) >> (63 - _SEED_BITS)

    def report(self, value: Any, *, loss: Any = None) -> None:
        """Report the metric on the validation data, once at the end of each epoch.

        The run is saved, pruned or stopped here if necessary.

        Args:
            value: The metric, a number.
            loss: The validation loss, which breaks ties of the metric.
        """
        self._drive("report").report(value, loss)

    def test(self, function: Callable[[], Any]) -> None:
        """Evaluate the best epoch's state on the test data, in confirmation runs only.

        Args:
            function: Returns the metric on the test data; called once, with all that is kept as
                it was at the end of the best epoch.

        Raises:
            TaskError: It cannot be called.
        """
        self._drive("test").test(_callable("test", function))

    def _drive(self, name: str) -> Driver:
        if any(part is not None for part in (self._model, self._data, self._loss)):
            self._mixed(name)
        if self._driver is None:
            raise KeepsLoop
        return self._driver

    def _check_form(self, name: str) -> None:
        if self._driver is not None:
            self._mixed(name)

    def _mixed(self, name: str) -> NoReturn:
        raise TaskError(
            f"run.{name}: a task either describes a model (run.model, run.data, run.loss, "
            "run.score) or has its own loop (run.keep, run.optimizer, run.epochs, run.report)"
        )


def _callable(name: str, function: Any) -> Any:
    if not callable(function):
        raise TaskError(f"run.{name}: needs a function; got {type(function).__name__}")
    return function
