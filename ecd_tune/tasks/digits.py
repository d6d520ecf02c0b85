"""Real handwritten digits: small enough for any machine, with a split for every choice.

1797 images of 8x8 pixels, as scikit-learn ships them. They are split once, by ``split_seed`` and
stratified by class, into 60 % for training, 20 % for selection (epoch and hyperparameters) and 20 %
that only a confirmation run uses.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from itertools import pairwise

import numpy as np
import torch
from sklearn.datasets import load_digits
from sklearn.model_selection import train_test_split
from torch import Tensor
from torch.nn.functional import cross_entropy, linear

from ecd_tune.records import Scalar, Stage
from ecd_tune.tasks._groups import group_parameters
from ecd_tune.tasks.base import Split, part_of
from ecd_tune.tasks.definitions import TASK_DEFS, check_options
from ecd_tune.tasks.digits_stack import StackedDigits
from ecd_tune.tasks.seeds import stream

__all__ = ["DigitsProblem", "DigitsTask", "DigitsPart", "make", "split_digits"]

_PIXEL_MAX = 16.0
_CLASSES = 10
_PIXELS = 64


@dataclass(frozen=True)
class DigitsPart:
    """One part of the data.

    Attributes:
        x: Pixels in [0, 1], shape ``[N, 64]``, float32.
        y: Classes 0 … 9, shape ``[N]``, int64.
    """

    x: Tensor
    y: Tensor


@lru_cache(maxsize=8)
def split_digits(split_seed: int) -> Mapping[Split, DigitsPart]:
    """Split the data 60/20/20, stratified by class.

    Args:
        split_seed: Decides the split; the same seed always gives the same.

    Returns:
        ``train``, ``val`` and ``test``.
    """
    data = load_digits()
    x, y = (data.data / _PIXEL_MAX).astype(np.float32), data.target
    index = np.arange(len(y))
    train, rest = train_test_split(index, test_size=0.4, stratify=y, random_state=split_seed)
    val, test = train_test_split(rest, test_size=0.5, stratify=y[rest], random_state=split_seed)
    parts: dict[Split, np.ndarray] = {"train": train, "val": val, "test": test}
    return {
        name: DigitsPart(torch.from_numpy(x[rows]), torch.from_numpy(y[rows]).long())
        for name, rows in parts.items()
    }


class DigitsProblem:
    """A classifier with its own initial weights and order of the data.

    Args:
        parts: The data by split; a split that is missing cannot be evaluated.
        widths: Layer widths from input to output, for example ``(64, 32, 10)``.
        batch_size: Examples in one step; the last step of an epoch takes what is left.
        seed: Decides initial weights and order.

    Attributes:
        parts: As given.
        batch_size: As given.
    """

    metric: str | None = "accuracy"

    def __init__(
        self, parts: Mapping[Split, DigitsPart], widths: tuple[int, ...], batch_size: int, seed: int
    ) -> None:
        self.parts, self.batch_size, self._seed = parts, batch_size, seed
        self.steps_per_epoch = -(-len(parts["train"].y) // batch_size)
        self.parameters = _initial_parameters(widths, stream(seed, "init"))
        self.groups = group_parameters(self.parameters)
        self._batches: tuple[int, list[Tensor]] = (-1, [])

    def closure(self, step: int) -> Tensor:
        """Compute the cross-entropy of one batch and its gradient."""
        rows = self._rows(step)
        train = self.parts["train"]
        for parameter in self.parameters:
            parameter.grad = None
        with torch.enable_grad():
            loss = cross_entropy(self._logits(train.x[rows]), train.y[rows])
            loss.backward()  # type: ignore[no-untyped-call]
        return loss.detach()

    @torch.no_grad()
    def evaluate(self, split: Split) -> Mapping[str, float]:
        """Return ``accuracy`` (in [0, 1]) and ``loss`` (mean cross-entropy) on one split.

        Raises:
            TaskError: The test split, in a problem built for the search.
        """
        part = part_of("digits", self.parts, split)
        logits = self._logits(part.x)
        hits = (logits.argmax(1) == part.y).double().mean()
        return {"accuracy": float(hits), "loss": float(cross_entropy(logits, part.y))}

    def examples(self, step: int) -> int:
        """Return the number of images in a step."""
        begin = step % self.steps_per_epoch * self.batch_size
        return min(self.batch_size, len(self.parts["train"].y) - begin)

    def _logits(self, x: Tensor) -> Tensor:
        for layer in range(0, len(self.parameters), 2):
            x = linear(x if layer == 0 else x.relu(), *self.parameters[layer : layer + 2])
        return x

    def order(self, epoch: int) -> Tensor:
        """Return the order in which an epoch takes the training images.

        Depends only on (seed, epoch), so that any step can be requested at any time.

        Args:
            epoch: Number of the epoch, from 0.

        Returns:
            Row numbers, int64.
        """
        generator = stream(self._seed, "order", epoch)
        return torch.randperm(len(self.parts["train"].y), generator=generator)

    def _rows(self, step: int) -> Tensor:
        epoch, batch = divmod(step, self.steps_per_epoch)
        if self._batches[0] != epoch:
            self._batches = (epoch, list(torch.split(self.order(epoch), self.batch_size)))
        return self._batches[1][batch]


@dataclass(frozen=True)
class DigitsTask:
    """The data and the shape of the classifier.

    Attributes:
        parts: The data by split.
        widths: Layer widths from input to output.
        batch_size: Examples in one step.
    """

    parts: Mapping[Split, DigitsPart]
    widths: tuple[int, ...]
    batch_size: int

    def build(self, seed: int, stage: Stage) -> DigitsProblem:
        """Build a classifier; it holds the test split only in the confirmation."""
        parts = dict(self.parts)
        if stage is not Stage.CONFIRM:
            del parts["test"]
        return DigitsProblem(parts, self.widths, self.batch_size, seed)

    def why_not_stacked(self) -> str | None:
        """Return None: they always can."""
        return None

    def stack(self, problems: Sequence[DigitsProblem]) -> StackedDigits:
        """Let classifiers compute together."""
        return StackedDigits(problems)


def make(**options: Scalar) -> DigitsTask:
    """Make the digits task.

    Args:
        **options: As declared for ``digits`` in :mod:`ecd_tune.tasks.definitions`.

    Returns:
        The task.
    """
    chosen = check_options(TASK_DEFS["digits"], options)
    hidden = (int(chosen["hidden"]),) if chosen["model"] == "mlp" else ()
    return DigitsTask(
        split_digits(int(chosen["split_seed"])),
        (_PIXELS, *hidden, _CLASSES),
        int(chosen["batch_size"]),
    )


def _initial_parameters(widths: tuple[int, ...], generator: torch.Generator) -> list[Tensor]:
    # U(±1/√fan_in), what torch.nn.Linear does, but from our own generator.
    parameters = []
    for fan_in, fan_out in pairwise(widths):
        bound = fan_in**-0.5
        for shape in ((fan_out, fan_in), (fan_out,)):
            values = torch.empty(shape).uniform_(-bound, bound, generator=generator)
            parameters.append(values.requires_grad_(True))
    return parameters
