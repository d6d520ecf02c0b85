"""A graph as its files give it, in NumPy and SciPy."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray
from scipy import sparse

from ecd_tune.errors import TaskError
from ecd_tune.tasks._strata import RowNumbers, split_rows

__all__ = ["Graph", "Sparse", "connect", "mark", "rarest_label", "split_labelled"]

Sparse: TypeAlias = Any
"""A ``scipy.sparse.csr_array`` of float32; its stubs have no useful type for it."""


@dataclass(frozen=True, eq=False)
class Graph:
    """Nodes, edges and labels.

    Attributes:
        adjacency: Undirected and unweighted, shape ``[N, N]``, entries 1, CSR.
        features: Shape ``[N, F]``, float32, an array or CSR.
        labels: Class of each node, shape ``[N]``, int64, -1 where unknown; or float32 0/1, shape
            ``[N, L]``, with L independent labels.
        parts: The split that the data set ships, or None.
    """

    adjacency: Sparse
    features: Any
    labels: NDArray[Any]
    parts: Mapping[str, RowNumbers] | None = None

    @property
    def outputs(self) -> int:
        """Outputs that a network needs: classes or labels."""
        return int(self.labels.max()) + 1 if self.labels.ndim == 1 else self.labels.shape[1]


def connect(edges: NDArray[Any], nodes: int, *, loops: bool = True) -> Sparse:
    """Make the undirected adjacency matrix of a list of edges.

    Args:
        edges: Pairs of nodes, shape ``[E, 2]``; directions and repetitions do not matter.
        nodes: Number of nodes.
        loops: Keep edges from a node to itself.

    Returns:
        Symmetric CSR matrix of ones, float32.

    Raises:
        TaskError: An edge ends at no node.
    """
    if len(edges) and (edges.min() < 0 or edges.max() >= nodes):
        raise TaskError(
            f"edges name nodes {edges.min()} to {edges.max()}, but there are only nodes 0 to "
            f"{nodes - 1}; edges and labels belong to different data sets"
        )
    if not loops:
        edges = edges[edges[:, 0] != edges[:, 1]]
    rows, columns = np.concatenate([edges, edges[:, ::-1]]).T.astype(np.int32)
    ones = np.ones(len(rows), dtype=np.float32)
    matrix = sparse.coo_array((ones, (rows, columns)), shape=(nodes, nodes)).tocsr()
    matrix.sum_duplicates()
    matrix.data[:] = 1
    return matrix


def mark(lists: list[list[int]]) -> Sparse:
    """Make binary features of lists of indices; an index listed twice counts once.

    Args:
        lists: For each node the features that it has.

    Returns:
        CSR matrix of ones, shape ``[N, 1 + largest index]``, float32.
    """
    sets = [sorted(set(indices)) for indices in lists]
    starts = np.cumsum([0, *map(len, sets)])
    columns = np.array([index for row in sets for index in row], dtype=np.int32)
    shape = (len(sets), int(columns.max()) + 1)
    return sparse.csr_array((np.ones(len(columns), np.float32), columns, starts), shape=shape)


def rarest_label(labels: NDArray[Any]) -> NDArray[np.int64]:
    """Return for each node the rarest label that it has, as its stratum.

    Nodes of a label with eight positives are then spread over the parts, too.

    Args:
        labels: 0/1, shape ``[N, L]``.

    Returns:
        Rank of the label from rarest to most frequent, shape ``[N]``; L where there is none.
    """
    order = np.argsort(labels.sum(0), kind="stable")
    ranked = labels[:, order] > 0
    rank: NDArray[np.int64] = np.where(ranked.any(1), ranked.argmax(1), labels.shape[1])
    return rank


def split_labelled(graph: Graph, split_seed: int) -> Mapping[str, RowNumbers]:
    """Split the labelled nodes 60/20/20, stratified.

    Args:
        graph: The graph.
        split_seed: Seed of the split.

    Returns:
        ``train``, ``val`` and ``test``.
    """
    multi = graph.labels.ndim == 2
    strata = rarest_label(graph.labels) if multi else graph.labels
    known = np.arange(len(strata)) if multi else np.flatnonzero(strata >= 0)
    return {name: known[rows] for name, rows in split_rows(strata[known], split_seed).items()}
