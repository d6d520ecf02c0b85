"""Pillow, and the one sentence for machines without it."""

from __future__ import annotations

import io
from typing import Any

import numpy as np
import numpy.typing as npt

from ecd_tune.errors import TaskError

__all__ = ["Pixels", "decode", "open_rgb"]

Pixels = npt.NDArray[np.uint8]


def open_rgb(data: bytes) -> Any:
    """Open an image and convert it to RGB: some of ImageNet's are grey, some CMYK.

    Args:
        data: The file.

    Returns:
        A Pillow image.

    Raises:
        TaskError: Pillow is not installed, or this is no image.
    """
    try:
        from PIL import Image, UnidentifiedImageError
    except ImportError as error:
        raise TaskError(
            "Pillow is needed to read JPEG images: pip install 'ecd_tune[images]'"
        ) from error
    try:
        return Image.open(io.BytesIO(data)).convert("RGB")
    except (UnidentifiedImageError, OSError) as error:
        raise TaskError(f"an image of {len(data)} bytes cannot be read: {error}") from error


def decode(data: bytes, size: int) -> Pixels:
    """Decode an image to ``[size, size, 3]``.

    Args:
        data: The file.
        size: Side; another one is resized to it (Pillow's bilinear filter).

    Returns:
        Pixels, uint8.
    """
    image = open_rgb(data)
    if image.size != (size, size):
        image = image.resize((size, size), resample=2)  # bilinear
    return np.asarray(image)
