"""A digest of the data of a user task.

For a tensor or array it covers type, shape and values; for a large one the values of evenly spaced
examples. For a data set it covers its class, its length, and the tensors, arrays, numbers and data
sets among its attributes, as in torchvision's data sets and ``Subset``. No example is read, because
that can draw random numbers or open files. Strings are ignored: paths differ between machines.
"""

from __future__ import annotations

import hashlib
import logging
from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import Dataset

from ecd_tune.tasks.data_digest import DIGITS

__all__ = ["digest_examples"]

_log = logging.getLogger(__name__)
_MOST_BYTES = 1 << 25
"""Limit per part of a split, shared by the items of one list or data set: a trial must not wait."""
_MOST_ITEMS = 10_000
"""Limit for one list."""
_DEPTH = 4


def digest_examples(splits: Mapping[str, Any]) -> str:
    """Return the digest of the splits of a data set.

    Args:
        splits: Data of the task by name of the split.

    Returns:
        Hexadecimal digits; empty where the data cannot be read, which is logged.
    """
    digest = hashlib.sha256()
    for name, data in splits.items():
        digest.update(_text(f"\n{name}"))
        try:
            for part in _parts(data, _DEPTH, _MOST_BYTES):
                digest.update(part)
        except Exception as error:  # data of any class; the task trains on them all the same
            _log.warning("no digest of the data %r: %s: %s", name, type(error).__name__, error)
            return ""
    return digest.hexdigest()[:DIGITS]


def _parts(value: Any, depth: int, most: int) -> Iterator[bytes]:
    if isinstance(value, Tensor):
        yield from _tensor(value.detach(), most)
    elif isinstance(value, np.ndarray) and value.dtype.kind in "biufc":
        yield from _array(np.asarray(value), most)
    elif isinstance(value, (bool, int, float)):
        yield _text(f" {value!r}")
    elif depth and isinstance(value, (list, tuple)):
        yield _text(f" {type(value).__name__} of {len(value)}")
        chosen = value[:: 1 + len(value) // _MOST_ITEMS]
        for one in chosen:
            yield from _parts(one, depth - 1, max(1, most // len(chosen)))
    elif depth and isinstance(value, Mapping):
        for key, one in value.items():
            yield _text(f" {key}:")
            yield from _parts(one, depth - 1, max(1, most // len(value)))
    elif depth and isinstance(value, Dataset):
        yield _text(f" {type(value).__qualname__} of {_length(value)}")
        yield from _parts(vars(value), depth - 1, most)


def _length(data: Any) -> int | str:
    try:
        return len(data)
    except Exception:  # a stream; torch's own raise TypeError and AssertionError
        return "unknown"


def _tensor(tensor: Tensor, most: int) -> Iterator[bytes]:
    if tensor.is_nested:
        return  # has no shape
    yield _text(f" {tensor.dtype}{tuple(tensor.shape)}")
    if tensor.layout is not torch.strided or tensor.is_meta or tensor.is_quantized:
        return  # its memory is not a plain array
    if tensor.dim() and tensor.numel():
        chosen = _thin(tensor, most).resolve_conj().resolve_neg().cpu().contiguous()
        yield chosen.view(torch.uint8).numpy().tobytes()
    elif tensor.numel():
        yield _text(repr(tensor.item()))


def _array(array: Any, most: int) -> Iterator[bytes]:
    # As of the tensor with these values, also in a byte order or precision that torch has not.
    yield _text(f" torch.{array.dtype.name}{array.shape}")
    native = array.dtype.newbyteorder("=")
    if native.char in "gG":  # of which some bytes have no meaning
        native = np.dtype("f8" if native.char == "g" else "c16")
    if array.ndim and array.size:
        yield np.ascontiguousarray(_thin(array, most), native).tobytes()
    elif array.size:
        yield _text(repr(array.astype(native).item()))


def _thin(values: Any, most: int) -> Any:
    """Return evenly spaced examples, and where these are large, evenly spaced numbers of them."""
    chosen = values[:: -(-values.nbytes // most)]
    return chosen.reshape(-1)[:: -(-chosen.nbytes // most)]


def _text(text: str) -> bytes:
    return text.encode(errors="backslashreplace")
