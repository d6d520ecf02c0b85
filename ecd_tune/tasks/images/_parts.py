"""A part of the data as a problem sees it: labels, and batches of pixels by row."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Protocol

import torch
from torch import Tensor

from ecd_tune.tasks._device import CPU, has_room_for
from ecd_tune.tasks.counter import uniform
from ecd_tune.tasks.images._cache import Decoded
from ecd_tune.tasks.images._split import RowNumbers

__all__ = ["CachedPart", "ImageSplit", "Pending", "crop_and_flip"]

Pending = Callable[[], Tensor]
"""A batch on its way; calling it waits for the pixels: uint8, ``[B, H, W, 3]``."""


class ImageSplit(Protocol):
    """Images of one split.

    Attributes:
        labels: Classes, int64, ``[N]``, on ``device``.
        ahead: How many batches beyond the present one should be on their way.
        device: Where rows are given, and pixels and labels are available.
    """

    labels: Tensor
    ahead: int
    device: torch.device

    def begin(self, rows: Tensor, key: Tensor | None) -> Pending:
        """Start on a batch.

        Args:
            rows: Rows of this part, int64, ``[B]``.
            key: Augmentation is drawn from it and the row, see
                :func:`~ecd_tune.tasks.counter.uniform`; None: as in a test.

        Returns:
            The batch on its way.
        """
        ...


class CachedPart:
    """Rows of decoded images; augmented by a random crop and a flip.

    Args:
        source: The decoded images.
        rows: Which of them belong to the part.
        device: Device of the network; the images are stored there too if they fit.
        padding: Black pixels on each side before the random crop; the paper has 4.
    """

    ahead = 0

    def __init__(
        self, source: Decoded, rows: RowNumbers, device: torch.device = CPU, padding: int = 4
    ) -> None:
        self._images, self._rows, self._padding = source.images, rows, padding
        size = len(rows) * math.prod(source.images.shape[1:])
        self._resident = has_room_for(size, device)
        self.device = device if self._resident else CPU
        self.labels = torch.from_numpy(source.labels[rows]).to(self.device)
        self._there: Tensor | None = None

    def begin(self, rows: Tensor, key: Tensor | None) -> Pending:
        """Start on a batch; it is so quick that it happens on demand."""

        def finish() -> Tensor:
            pixels = self._take(rows)
            return pixels if key is None else crop_and_flip(pixels, self._padding, key, rows)

        return finish

    def _take(self, rows: Tensor) -> Tensor:
        if not self._resident:
            return torch.from_numpy(self._images[self._rows[rows.numpy()]])
        if self._there is None:
            self._there = torch.from_numpy(self._images[self._rows]).to(self.device)
        return self._there[rows]


def crop_and_flip(pixels: Tensor, padding: int, key: Tensor, rows: Tensor) -> Tensor:
    """Pad with black, crop at random to the size before, and mirror half of the images.

    Args:
        pixels: uint8, ``[B, H, W, 3]``.
        padding: Pixels on each side; offsets are uniform on 0 … 2 padding.
        key: Row, column and mirroring of an image are drawn from it and its row.
        rows: ``[B]``.

    Returns:
        New pixels of the same shape.
    """
    batch, height, width, _ = pixels.shape
    draws = uniform(key, rows, 3)
    top, left = (draws[:, :2] * (2 * padding + 1)).long().unbind(1)
    on = pixels.device
    columns = torch.arange(width, device=on).expand(batch, -1)
    columns = torch.where(draws[:, 2:] < 0.5, columns.flip(1), columns) + left[:, None]
    lines = torch.arange(height, device=on) + top[:, None]
    padded = torch.nn.functional.pad(pixels, (0, 0, padding, padding, padding, padding))
    each = torch.arange(batch, device=on)[:, None, None]
    return padded[each, lines[:, :, None], columns[:, None, :]]
