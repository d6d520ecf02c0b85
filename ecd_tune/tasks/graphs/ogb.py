"""ogbn-arxiv and ogbn-proteins from the raw files, as the ``ogb`` package unpacks them.

``ogb`` itself is not needed. Files are comma-separated without a header, gzipped.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from ecd_tune.errors import TaskError
from ecd_tune.tasks._strata import RowNumbers
from ecd_tune.tasks.data import Layout, find_layout
from ecd_tune.tasks.graphs.graph import Graph, connect

__all__ = ["mean_edge_features", "read_arxiv", "read_proteins"]

_PARTS = {"train": "train", "val": "valid", "test": "test"}
_CHUNK = 1_000_000


def read_arxiv() -> Graph:
    """Read ogbn-arxiv; citations count in both directions.

    Returns:
        The graph with its split by time.

    Raises:
        TaskError: Features and labels are of different length.
    """
    folder = _find("ogbn_arxiv", ("edge", "node-feat", "node-label"), "time")
    labels = _read(folder / "raw" / "node-label.csv.gz", np.int64).ravel()
    features = _read(folder / "raw" / "node-feat.csv.gz", np.float32)
    if len(features) != len(labels):
        raise TaskError(f"ogbn_arxiv: {len(features)} nodes have features, {len(labels)} a label")
    edges = _read(folder / "raw" / "edge.csv.gz", np.int32)
    return Graph(connect(edges, len(labels)), features, labels, _read_parts(folder / "split/time"))


def read_proteins() -> Graph:
    """Read ogbn-proteins; a node's features are the mean over its edges.

    Returns:
        The graph with its 112 labels and its split by species.
    """
    folder = _find("ogbn_proteins", ("edge", "edge-feat", "node-label"), "species")
    labels = _read(folder / "raw" / "node-label.csv.gz", np.float32)
    edges = _read(folder / "raw" / "edge.csv.gz", np.int32)
    features = mean_edge_features(folder / "raw" / "edge-feat.csv.gz", edges, len(labels))
    parts = _read_parts(folder / "split/species")
    return Graph(connect(edges, len(labels)), features, labels, parts)


def mean_edge_features(path: Path, edges: NDArray[Any], nodes: int) -> NDArray[np.float32]:
    """Average the features of each node's edges, reading them piece by piece.

    Args:
        path: Features of the edges, one line each, in the order of ``edges``.
        edges: Each undirected edge once, shape ``[E, 2]``.
        nodes: Number of nodes.

    Returns:
        Shape ``[nodes, F]``; 0 for a node without edges.

    Raises:
        TaskError: There are more or fewer lines than edges.
    """
    done, sums = 0, np.zeros((nodes, 0))
    for chunk in pd.read_csv(path, header=None, dtype=np.float32, chunksize=_CHUNK):
        values = chunk.to_numpy(dtype=np.float64)
        if done == 0:
            sums = np.zeros((nodes, values.shape[1]))
        ends = edges[done : done + len(values)]
        done += len(values)
        if done > len(edges):
            break
        for column, weights in enumerate(values.T):
            for side in ends.T:
                sums[:, column] += np.bincount(side, weights, minlength=nodes)
    if done != len(edges):
        raise TaskError(
            f"ogbn_proteins: {path} does not have one line for each of {len(edges)} edges"
        )
    degrees = np.bincount(edges.ravel(), minlength=nodes)
    return (sums / np.maximum(degrees, 1)[:, None]).astype(np.float32)


def _find(name: str, tables: tuple[str, ...], split: str) -> Path:
    files = [f"graphs/{name}/raw/{table}.csv.gz" for table in tables]
    files += [f"graphs/{name}/split/{split}/{part}.csv.gz" for part in _PARTS.values()]
    source = f"files of the ogb package for {name.replace('_', '-', 1)}, moved into graphs/"
    _, root = find_layout(name, (Layout("ogb", tuple(files), source),))
    return root / "graphs" / name


def _read(path: Path, dtype: type) -> NDArray[Any]:
    # A copy: arrays of pandas are read-only, and torch requires writable ones.
    return pd.read_csv(path, header=None, dtype=dtype).to_numpy(copy=True)


def _read_parts(folder: Path) -> dict[str, RowNumbers]:
    return {
        part: np.sort(_read(folder / f"{file}.csv.gz", np.int64).ravel())
        for part, file in _PARTS.items()
    }
