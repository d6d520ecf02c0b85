"""One network on one image data set: its steps, evaluation, and statistics."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache

import torch
from torch import Tensor, nn
from torch.nn.functional import cross_entropy

from ecd_tune.tasks._device import to_device
from ecd_tune.tasks._groups import group_parameters
from ecd_tune.tasks.base import Split, part_of
from ecd_tune.tasks.functional import Batch, FunctionalProblem, Measured
from ecd_tune.tasks.images._parts import ImageSplit, Pending
from ecd_tune.tasks.seeds import derive_seed, stream

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
        device: Device of the network, for example ``"cpu"``.
    """

    batch_size: int
    augment: bool
    mean: tuple[float, float, float]
    std: tuple[float, float, float]
    device: str


class ImageProblem(FunctionalProblem):
    """A classifier with its own weights, order of the data and augmentation.

    Args:
        network: The network, with its initial values.
        parts: The data by split; a split that is missing cannot be evaluated.
        recipe: How pixels reach the network.
        seed: Decides order and augmentation.
    """

    metric: str | None = "accuracy"

    def __init__(
        self, network: nn.Module, parts: Mapping[Split, ImageSplit], recipe: Recipe, seed: int
    ) -> None:
        self._parts, self._recipe, self._train = parts, recipe, parts["train"]
        steps = -(-len(self._train.labels) // recipe.batch_size)
        super().__init__(network.to(recipe.device), seed, steps)
        self.groups = group_parameters(self.parameters)
        self._mean, self._std = (
            torch.tensor(values, device=recipe.device).view(3, 1, 1)
            for values in (recipe.mean, recipe.std)
        )
        self._epoch = lru_cache(maxsize=2)(self._draw_epoch)
        self._ahead: dict[int, Pending] = {}

    def batch(self, step: int) -> Batch:
        """Return images ``[B, 3, H, W]``, normalised, and classes ``[B]`` of a step."""
        pixels = self._pixels(step)
        return self._prepare(pixels), self._labels(self._train, self._rows(step))

    def stack_batches(self, problems: Sequence[FunctionalProblem], steps: Sequence[int]) -> Batch:
        """Return the images of steps of several problems, ``[P, B, 3, H, W]``, and classes."""
        own = list(zip(problems, steps, strict=True))
        rows = [p._rows(step) for p, step in own if isinstance(p, ImageProblem)]
        keys = [p._augmentation(step) for p, step in own if isinstance(p, ImageProblem)]
        together = torch.cat(rows)
        drawn = [key.expand(len(rows[0])) for key in keys if key is not None]
        pixels = self._train.begin(together, torch.cat(drawn) if drawn else None)()
        images, classes = self._prepare(pixels), self._labels(self._train, together)
        count = len(rows)
        return images.view(count, -1, *images.shape[1:]), classes.view(count, -1)

    def loss(self, network: nn.Module, *batch: Tensor) -> Tensor:
        """Return the cross-entropy."""
        x, y = batch
        return cross_entropy(network(x), y)

    def evaluation_batches(self, split: Split) -> Iterator[tuple[Batch, int]]:
        """Iterate over a split; its images are not augmented.

        Yields:
            Images and classes of a batch, and their number.

        Raises:
            TaskError: The test split, in a problem built for the search.
        """
        part = part_of("images", self._parts, split)
        waiting: list[tuple[Tensor, Pending]] = []
        rows = torch.arange(len(part.labels), device=part.device)
        batches = iter(torch.split(rows, _EVALUATION_BATCH))
        while True:
            while len(waiting) <= part.ahead and (own := next(batches, None)) is not None:
                waiting.append((own, part.begin(own, None)))
            if not waiting:
                return
            own, pixels = waiting.pop(0)
            yield (self._prepare(pixels()), self._labels(part, own)), len(own)

    def measure(self, network: nn.Module, *batch: Tensor) -> tuple[Tensor, ...]:
        """Return how many images are right, and the sum of the cross-entropy."""
        x, y = batch
        logits = network(x)
        hits = (logits.argmax(1) == y).sum()
        return hits, cross_entropy(logits, y, reduction="sum").double()

    def summarise(self, split: Split, measured: Measured) -> Mapping[str, float]:
        """Return ``accuracy`` (in [0, 1]) and ``loss`` (mean cross-entropy)."""
        count = len(self._parts[split].labels)
        hits, losses = (torch.stack([own[n] for own, _ in measured]).sum() for n in (0, 1))
        return {"accuracy": int(hits) / count, "loss": float(losses) / count}

    def examples(self, step: int) -> int:
        """Return the number of images in a step."""
        return len(self._rows(step))

    def _prepare(self, pixels: Tensor) -> Tensor:
        # uint8 to the device, four times less than floats would be.
        x = to_device(pixels, self._mean.device).permute(0, 3, 1, 2).float()
        return x.div_(255).sub_(self._mean).div_(self._std).contiguous()

    def _labels(self, part: ImageSplit, rows: Tensor) -> Tensor:
        return to_device(part.labels[rows], self._mean.device)

    def _pixels(self, step: int) -> Tensor:
        window = range(step, step + 1 + self._train.ahead)
        self._ahead = {at: batch for at, batch in self._ahead.items() if at in window}
        for at in window:
            if at not in self._ahead:
                self._ahead[at] = self._train.begin(self._rows(at), self._augmentation(at))
        return self._ahead.pop(step)()

    def _rows(self, step: int) -> Tensor:
        epoch, batch = divmod(step, self.steps_per_epoch)
        return self._epoch(epoch)[0][batch]

    def _augmentation(self, step: int) -> Tensor | None:
        key = self._epoch(step // self.steps_per_epoch)[1]
        return key if self._recipe.augment else None

    def _draw_epoch(self, epoch: int) -> tuple[tuple[Tensor, ...], Tensor]:
        """Return the batches of an epoch, and what augments its images is drawn from."""
        # Depends only on (seed, epoch), so that any step can be requested at any time.
        place = self._train.device
        order = torch.randperm(len(self._train.labels), generator=stream(self.seed, "order", epoch))
        key = torch.tensor(derive_seed(self.seed, "augment", epoch))
        return torch.split(order.to(place), self._recipe.batch_size), key.to(place)
