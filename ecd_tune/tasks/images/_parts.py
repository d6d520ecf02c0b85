"""A part of the data as a problem sees it: labels, and batches of pixels by row."""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol

import torch
from torch import Tensor

from ecd_tune.tasks.images._cache import Decoded
from ecd_tune.tasks.images._split import RowNumbers

__all__ = ["CachedPart", "ImageSplit", "Pending", "crop_and_flip"]

Pending = Callable[[], Tensor]
"""A batch on its way; calling it waits for the pixels: uint8, ``[B, H, W, 3]``."""


class ImageSplit(Protocol):
    """Images of one split.

    Attributes:
        labels: Classes, int64, ``[N]``.
        ahead: How many batches beyond the present one should be on their way.
    """

    labels: Tensor
    ahead: int

    def begin(self, rows: Tensor, generator: torch.Generator | None) -> Pending:
        """Start on a batch.

        Args:
            rows: Rows of this part, int64, ``[B]``.
            generator: Augments from it, and draws all its numbers at once; None: as in a test.

        Returns:
            The batch on its way.
        """
        ...


class CachedPart:
    """Rows of decoded images; augmented by a random crop and a flip.

    Args:
        source: The decoded images.
        rows: Which of them belong to the part.
        padding: Black pixels on each side before the random crop; the paper has 4.
    """

    ahead = 0

    def __init__(self, source: Decoded, rows: RowNumbers, padding: int = 4) -> None:
        self._images, self._rows, self._padding = source.images, rows, padding
        self.labels = torch.from_numpy(source.labels[rows])

    def begin(self, rows: Tensor, generator: torch.Generator | None) -> Pending:
        """Start on a batch; reading mapped pixels is so quick that it happens on demand."""

        def finish() -> Tensor:
            pixels = torch.from_numpy(self._images[self._rows[rows.numpy()]])
            return pixels if generator is None else crop_and_flip(pixels, self._padding, generator)

        return finish


def crop_and_flip(pixels: Tensor, padding: int, generator: torch.Generator) -> Tensor:
    """Pad with black, crop at random to the size before, and mirror half of the images.

    Args:
        pixels: uint8, ``[B, H, W, 3]``.
        padding: Pixels on each side; offsets are uniform on 0 … 2 padding.
        generator: Draws the offsets of rows, those of columns, and the flips, in this order.

    Returns:
        New pixels of the same shape.
    """
    batch, height, width, _ = pixels.shape
    top, left = torch.randint(2 * padding + 1, (2, batch), generator=generator)
    mirrored = torch.rand(batch, generator=generator) < 0.5
    columns = torch.arange(width).expand(batch, -1)
    columns = torch.where(mirrored[:, None], columns.flip(1), columns) + left[:, None]
    rows = torch.arange(height) + top[:, None]
    padded = torch.nn.functional.pad(pixels, (0, 0, padding, padding, padding, padding))
    return padded[torch.arange(batch)[:, None, None], rows[:, :, None], columns[:, None, :]]
