"""A digest of the data of a user task.

For a tensor or array it covers type, shape and values; for a large one the values of evenly spaced
examples. For a data set it covers its class, its length, and the tensors, arrays, numbers and data
sets among its attributes, as in torchvision's data sets and ``Subset``. No example is read, because
that can draw random numbers or open files. Strings are ignored: paths differ between machines.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import Dataset

from ecd_tune.tasks.data_digest import DIGITS

__all__ = ["digest_examples"]

_MOST_BYTES = 1 << 25
"""Limit for one tensor, so that a trial does not wait for a digest."""
_DEPTH = 4


def digest_examples(splits: Mapping[str, Any]) -> str:
    """Return the digest of the splits of a data set.

    Args:
        splits: Data of the task by name of the split.

    Returns:
        Hexadecimal digits.
    """
    digest = hashlib.sha256()
    for name, data in splits.items():
        digest.update(f"\n{name}".encode())
        for part in _parts(data, _DEPTH):
            digest.update(part)
    return digest.hexdigest()[:DIGITS]


def _parts(value: Any, depth: int) -> Iterator[bytes]:
    if isinstance(value, Tensor):
        yield from _tensor(value.detach())
    elif isinstance(value, np.ndarray) and value.dtype.kind in "biufc":
        yield from _tensor(torch.from_numpy(np.ascontiguousarray(value)))
    elif isinstance(value, (bool, int, float)):
        yield f" {value!r}".encode()
    elif depth and isinstance(value, (list, tuple)):
        yield f" {type(value).__name__} of {len(value)}".encode()
        for one in value:
            yield from _parts(one, depth - 1)
    elif depth and isinstance(value, Mapping):
        for key, one in value.items():
            yield f" {key}:".encode()
            yield from _parts(one, depth - 1)
    elif depth and isinstance(value, Dataset):
        length = len(value) if hasattr(value, "__len__") else "unknown"
        yield f" {type(value).__qualname__} of {length}".encode()
        yield from _parts(vars(value), depth - 1)


def _tensor(tensor: Tensor) -> Iterator[bytes]:
    yield f" {tensor.dtype}{tuple(tensor.shape)}".encode()
    if tensor.layout is not torch.strided or tensor.is_meta or tensor.is_quantized:
        return  # its memory is not a plain array
    if tensor.dim() and tensor.numel():
        stride = -(-tensor.numel() * tensor.element_size() // _MOST_BYTES)
        chosen = tensor[::stride].cpu().contiguous()
        yield chosen.view(torch.uint8).numpy().tobytes()
    elif tensor.numel():
        yield repr(tensor.item()).encode()
