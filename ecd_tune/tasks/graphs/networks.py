"""The substitutes that are social networks: Facebook pages, Twitch DE, BlogCatalog.

Facebook and Twitch come as CSV and JSON, BlogCatalog as a MATLAB file. None ships a split.
"""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy import io, sparse
from scipy.sparse.linalg import eigsh

from ecd_tune.errors import TaskError
from ecd_tune.tasks.data import Layout, find_layout
from ecd_tune.tasks.graphs.graph import Graph, Sparse, connect, mark

__all__ = ["PAGE_TYPES", "locate", "read_blogcatalog", "read_facebook", "read_twitch"]

PAGE_TYPES = ("government", "company", "politician", "tvshow")
"""Classes of the Facebook pages, 0 … 3."""

_MUSAE = "input/ of the GitHub repository benedekrozemberczki/MUSAE, renamed"


def read_facebook() -> Graph:
    """Read the Facebook pages; their 179 edges from a page to itself are left out.

    Returns:
        The graph, labelled by the type of page.

    Raises:
        TaskError: A type of page is none of :data:`PAGE_TYPES`.
    """
    folder = _find_musae("facebook", "musae_facebook")
    target = pd.read_csv(folder / "target.csv", encoding="utf-8").sort_values("id")
    labels = pd.Categorical(target["page_type"], categories=list(PAGE_TYPES)).codes.astype(np.int64)
    if (labels < 0).any():
        raise TaskError(f"facebook: {folder / 'target.csv'} has a page_type not in {PAGE_TYPES}")
    edges = pd.read_csv(folder / "edges.csv").to_numpy()
    return Graph(connect(edges, len(labels), loops=False), _read_features(folder), labels)


def read_twitch() -> Graph:
    """Read Twitch DE; a node's number is its ``new_id``, not its row.

    Returns:
        The graph with the labels ``mature`` and ``partner``.
    """
    folder = _find_musae("twitch", "twitch_de")
    target = pd.read_csv(folder / "target.csv").sort_values("new_id")
    labels = target[["mature", "partner"]].to_numpy().astype(np.float32)
    edges = pd.read_csv(folder / "edges.csv").to_numpy()
    return Graph(connect(edges, len(labels), loops=False), _read_features(folder), labels)


def read_blogcatalog() -> Graph:
    """Read BlogCatalog; it has no features, so those of :func:`locate` are used.

    Returns:
        The graph with its 39 labels.
    """
    name = "graphs/blogcatalog/blogcatalog.mat"
    source = "example_graphs/ of the GitHub repository phanein/deepwalk"
    _, root = find_layout("blogcatalog", (Layout("mat", (name,), source),))
    content = io.loadmat(root / name)
    adjacency = sparse.csr_array(content["network"]).astype(np.float32)
    adjacency.data[:] = 1
    return Graph(adjacency, locate(adjacency), content["group"].toarray().astype(np.float32))


def locate(adjacency: Sparse, count: int = 64) -> NDArray[np.float32]:
    """Describe each node by its position in the graph.

    Learned vectors would be the other way; with them the same network memorises its training
    nodes and stays near chance on the others.

    Args:
        adjacency: Shape ``[N, N]``, symmetric.
        count: Number of eigenvectors, below N.

    Returns:
        Shape ``[N, count + 1]``: the leading eigenvectors of the adjacency matrix divided by
        the roots of both degrees, each of mean square 1 and with its largest entry positive,
        and log(1 + degree).
    """
    degrees = np.diff(adjacency.indptr).astype(np.float64)
    scale = sparse.diags_array(1 / np.sqrt(np.maximum(degrees, 1)))
    start = np.random.default_rng(0).standard_normal(len(degrees))
    _, vectors = eigsh(scale @ adjacency.astype(np.float64) @ scale, count, which="LA", v0=start)
    peaks = vectors[np.abs(vectors).argmax(0), np.arange(count)]
    scaled = vectors * np.sign(peaks) * np.sqrt(len(degrees))
    return np.column_stack([scaled, np.log1p(degrees)]).astype(np.float32)


def _find_musae(task: str, folder: str) -> Path:
    names = ("edges.csv", "features.json", "target.csv")
    files = tuple(f"graphs/{folder}/{name}" for name in names)
    _, root = find_layout(task, (Layout("musae", files, _MUSAE),))
    return root / "graphs" / folder


def _read_features(folder: Path) -> Sparse:
    with (folder / "features.json").open(encoding="utf-8") as file:
        listed: dict[str, list[int]] = json.load(file)
    return mark([listed[str(node)] for node in range(len(listed))])
