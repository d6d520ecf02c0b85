"""One network on one image data set: its steps, how it is judged, and its statistics."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.functional import cross_entropy
from torch.optim.swa_utils import update_bn

from ecd_tune.errors import TaskError
from ecd_tune.tasks._device import to_device
from ecd_tune.tasks._groups import group_parameters
from ecd_tune.tasks.base import Split
from ecd_tune.tasks.images._parts import ImageSplit, Pending
from ecd_tune.tasks.seeds import stream

__all__ = ["ImageProblem", "Recipe"]

_EVALUATION_BATCH = 250


@dataclass(frozen=True)
class Recipe:
    """How pixels reach the network.

    Attributes:
        batch_size: Images in one step; the last step of an epoch takes what is left.
        augment: Whether training images are augmented.
        mean: Subtracted from each channel, of pixels in [0, 1].
        std: Then divided by.
        device: Where the network lies, for example ``"cpu"``.
    """

    batch_size: int
    augment: bool
    mean: tuple[float, float, float]
    std: tuple[float, float, float]
    device: str


class ImageProblem:
    """A classifier with its own weights, order of the data and augmentation.

    What a step sees follows from the seed and the number of the step alone.

    Args:
        network: The network, with its initial values.
        parts: The data by split; a split that is missing cannot be evaluated.
        recipe: How pixels reach the network.
        seed: Decides order and augmentation.

    Attributes:
        network: The network.
    """

    metric: str | None = "accuracy"

    def __init__(
        self, network: nn.Module, parts: Mapping[Split, ImageSplit], recipe: Recipe, seed: int
    ) -> None:
        self.network = network.to(recipe.device)
        self.parameters = list(network.parameters())
        self.groups = group_parameters(self.parameters)
        self._parts, self._recipe, self._seed = parts, recipe, seed
        self._train = parts["train"]
        self.steps_per_epoch = -(-len(self._train.labels) // recipe.batch_size)
        self._mean, self._std = (
            torch.tensor(values, device=recipe.device).view(3, 1, 1)
            for values in (recipe.mean, recipe.std)
        )
        self._order = lru_cache(maxsize=2)(self._shuffle)
        self._ahead: dict[int, Pending] = {}
        self._last: tuple[int, Tensor] | None = None

    def closure(self, step: int) -> Tensor:
        """Compute the cross-entropy of one batch and its gradient; moves running statistics."""
        self.network.train()
        for parameter in self.parameters:
            parameter.grad = None
        self._last = None  # one batch at a time lies on the device
        x, y = self._prepare(self._pixels(step)), self._train.labels[self._rows(step)]
        self._last = (step, x)
        with torch.enable_grad():
            loss = cross_entropy(self.network(x), to_device(y, x.device))
            loss.backward()  # type: ignore[no-untyped-call]
        return loss.detach()

    @torch.no_grad()
    def pass_forward(self, step: int) -> None:
        """Run the network on a step's batch once more; moves running statistics again."""
        self.network.train()
        last = self._last
        kept = last[1] if last is not None and last[0] == step else None
        self.network(self._prepare(self._pixels(step)) if kept is None else kept)

    @torch.no_grad()
    def evaluate(self, split: Split) -> Mapping[str, float]:
        """Return ``accuracy`` (in [0, 1]) and ``loss`` (mean cross-entropy) on one split.

        Images are not augmented, and normalisation uses the running statistics.

        Raises:
            TaskError: The test split, in a problem built for the search.
        """
        if split not in self._parts:
            raise TaskError(
                f"images: the {split} split is closed to a search run; build the problem with "
                "Stage.CONFIRM"
            )
        self.network.eval()
        part = self._parts[split]
        # On the device, so that no batch waits for the one before.
        hits = torch.zeros((), dtype=torch.int64, device=self._mean.device)
        loss = torch.zeros((), dtype=torch.float64, device=self._mean.device)
        for rows, pixels in self._evaluation_batches(part):
            logits = self.network(self._prepare(pixels()))
            y = to_device(part.labels[rows], logits.device)
            hits += (logits.argmax(1) == y).sum()
            loss += cross_entropy(logits, y, reduction="sum")
        count = len(part.labels)
        return {"accuracy": int(hits) / count, "loss": float(loss) / count}

    def examples(self, step: int) -> int:
        """Return the number of images in a step."""
        return len(self._rows(step))

    def renew_statistics(self) -> None:
        """Recompute the normalisations' running statistics for the present parameters.

        One pass over the training data, augmented as in training, every batch with the same
        weight (a cumulative average): what an averaged network needs before it is judged.
        """
        update_bn(self._statistics_batches(), self.network)

    def state_dict(self) -> dict[str, Any]:
        """Return the running statistics: all that steps change beside the parameters."""
        return {name: buffer.clone() for name, buffer in self.network.named_buffers()}

    @torch.no_grad()
    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Take the running statistics up again.

        Args:
            state: What :meth:`state_dict` returned.

        Raises:
            ValueError: They are those of another network.
        """
        own = dict(self.network.named_buffers())
        if {name: tuple(own[name].shape) for name in own} != {
            name: tuple(saved.shape) for name, saved in state.items()
        }:
            raise ValueError("the saved running statistics are those of another network")
        for name, buffer in own.items():
            buffer.copy_(state[name])

    def _prepare(self, pixels: Tensor) -> Tensor:
        # uint8 to the device, four times less than floats would be.
        x = to_device(pixels, self._mean.device).permute(0, 3, 1, 2).float()
        return x.div_(255).sub_(self._mean).div_(self._std).contiguous()

    def _pixels(self, step: int) -> Tensor:
        window = range(step, step + 1 + self._train.ahead)
        self._ahead = {at: batch for at, batch in self._ahead.items() if at in window}
        for at in window:
            if at not in self._ahead:
                self._ahead[at] = self._train.begin(self._rows(at), self._generator("augment", at))
        return self._ahead.pop(step)()

    def _generator(self, *purpose: str | int) -> torch.Generator | None:
        return stream(self._seed, *purpose) if self._recipe.augment else None

    def _rows(self, step: int) -> Tensor:
        epoch, batch = divmod(step, self.steps_per_epoch)
        return self._order(epoch)[batch]

    def _shuffle(self, epoch: int) -> tuple[Tensor, ...]:
        # From (seed, epoch) alone, so that any step can be asked for at any time.
        order = torch.randperm(
            len(self._train.labels), generator=stream(self._seed, "order", epoch)
        )
        return torch.split(order, self._recipe.batch_size)

    def _evaluation_batches(self, part: ImageSplit) -> Iterator[tuple[Tensor, Pending]]:
        batches = torch.split(torch.arange(len(part.labels)), _EVALUATION_BATCH)
        waiting: list[tuple[Tensor, Pending]] = []
        for rows in batches:
            waiting.append((rows, part.begin(rows, None)))
            if len(waiting) > part.ahead:
                yield waiting.pop(0)
        yield from waiting

    def _statistics_batches(self) -> Iterator[Tensor]:
        order = torch.randperm(
            len(self._train.labels), generator=stream(self._seed, "statistics", "order")
        )
        for number, rows in enumerate(torch.split(order, self._recipe.batch_size)):
            pixels = self._train.begin(rows, self._generator("statistics", number))
            yield self._prepare(pixels())
