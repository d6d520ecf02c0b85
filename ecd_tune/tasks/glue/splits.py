"""Which rows train, validate and test.

With the official files a tenth of the training rows, at most 10,000, validates, and the dev
files are the test. A single file is split 80/10/10. Classes keep their shares, and so do the
fifths of a numeric label.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import sparse
from scipy.sparse.csgraph import connected_components

from ecd_tune.tasks._strata import RowNumbers, sample_rows
from ecd_tune.tasks.glue.tables import GlueTable

__all__ = ["split_groups", "split_official", "split_single", "strata_of", "thin"]

_SHARE, _MOST = 0.1, 10_000
_LARGE = 0.01


def split_official(train: GlueTable, test: GlueTable, split_seed: int) -> Mapping[str, GlueTable]:
    """Set a tenth of the training rows aside.

    Args:
        train: Official training rows.
        test: Official dev rows.
        split_seed: Decides which rows validate.

    Returns:
        ``train``, ``val`` and ``test``.
    """
    chosen = sample_rows(strata_of(train), min(_MOST, round(_SHARE * len(train))), split_seed)
    rest = np.setdiff1d(np.arange(len(train)), chosen)
    return {"train": train.take(rest), "val": train.take(chosen), "test": test}


def split_single(table: GlueTable, split_seed: int) -> Mapping[str, GlueTable]:
    """Split one file 80/10/10.

    Args:
        table: Its rows; with groups, no group is in two parts.
        split_seed: Seed of the split.

    Returns:
        ``train``, ``val`` and ``test``.
    """
    if table.groups is not None:
        parts = split_groups(table.groups, split_seed)
        return {name: table.take(rows) for name, rows in parts.items()}
    count, strata = round(_SHARE * len(table)), strata_of(table)
    held = sample_rows(strata, 2 * count, split_seed)
    test = held[sample_rows(strata[held], count, split_seed)]
    parts = {
        "train": np.setdiff1d(np.arange(len(table)), held),
        "val": np.setdiff1d(held, test),
        "test": test,
    }
    return {name: table.take(rows) for name, rows in parts.items()}


def split_groups(groups: NDArray[Any], split_seed: int) -> Mapping[str, RowNumbers]:
    """Split rows 80/10/10 so that no value of either group column is in two parts.

    Rows that share a value, directly or through others, stay together. Clusters of more than a
    hundredth of all rows train, so that the small parts are of the right size.

    Args:
        groups: Shape ``[N, 2]``; both columns contain values of one kind, such as question ids.
        split_seed: Seed of the split.

    Returns:
        ``train``, ``val`` and ``test``.
    """
    _, ids = np.unique(groups, return_inverse=True)
    a, b = ids.reshape(groups.shape).T
    links = sparse.coo_array((np.ones(len(a)), (a, b)), shape=(ids.max() + 1,) * 2)
    cluster = connected_components(links, directed=False)[1][a]
    sizes = np.bincount(cluster)
    small = np.flatnonzero((sizes > 0) & (sizes <= max(1, _LARGE * len(a))))
    order = np.random.default_rng(split_seed).permutation(small)
    filled = np.cumsum(sizes[order])
    part = np.full(len(sizes), "train", dtype=object)
    part[order[filled <= 2 * _SHARE * len(a)]] = "test"
    part[order[filled <= _SHARE * len(a)]] = "val"
    return {name: np.flatnonzero(part[cluster] == name) for name in ("train", "val", "test")}


def thin(table: GlueTable, subset: float, split_seed: int) -> GlueTable:
    """Keep some rows.

    Args:
        table: The rows.
        subset: A share up to 1, or a number of rows above 1.
        split_seed: Decides which.

    Returns:
        At least one row, at most all.
    """
    count = round(subset * len(table)) if subset <= 1 else int(subset)
    if count >= len(table):
        return table
    return table.take(sample_rows(strata_of(table), max(1, count), split_seed))


def strata_of(table: GlueTable) -> NDArray[np.int64]:
    """Return the class of each row, or which fifth its number is in, shape ``[N]``."""
    if table.labels.dtype == np.int64:
        return table.labels
    edges = np.quantile(table.labels, (0.2, 0.4, 0.6, 0.8))
    return np.searchsorted(edges, table.labels).astype(np.int64)
