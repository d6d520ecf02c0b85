"""Stratified choices of rows, exact in size and the same on every machine.

Rows are laid out stratum after stratum, at random within each, and then taken at even
distances. Each stratum is so represented within one row of its share, however small it is.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray

__all__ = ["RowNumbers", "split_rows", "order_by_stratum", "sample_rows"]

RowNumbers = NDArray[np.int64]
"""Numbers of rows, ascending."""

_PARTS = ("train", "val", "train", "test", "train")


def order_by_stratum(strata: NDArray[np.int64], seed: int) -> RowNumbers:
    """Order the rows by stratum, at random within each.

    Args:
        strata: Stratum of each row, shape ``[N]``.
        seed: Decides the order.

    Returns:
        A permutation of 0 … N-1.
    """
    draws = np.random.default_rng(seed).random(len(strata))
    return np.lexsort((draws, strata)).astype(np.int64)


def sample_rows(strata: NDArray[np.int64], count: int, seed: int) -> RowNumbers:
    """Choose ``count`` rows.

    Args:
        strata: Stratum of each row, shape ``[N]``.
        count: How many, 0 … N.
        seed: Decides which.

    Returns:
        The chosen rows.
    """
    places = ((2 * np.arange(count) + 1) * len(strata)) // max(2 * count, 1)
    return np.sort(order_by_stratum(strata, seed)[places])


def split_rows(strata: NDArray[np.int64], seed: int) -> Mapping[str, RowNumbers]:
    """Split all rows 60/20/20.

    Args:
        strata: Stratum of each row, shape ``[N]``.
        seed: Seed of the split.

    Returns:
        ``train``, ``val`` and ``test``.
    """
    order = order_by_stratum(strata, seed)
    names = np.resize(np.array(_PARTS), len(order))
    return {name: np.sort(order[names == name]) for name in ("train", "val", "test")}
