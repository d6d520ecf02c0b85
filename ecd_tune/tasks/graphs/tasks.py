"""Make the graph tasks from a study file's options."""

from __future__ import annotations

from collections.abc import Callable
from functools import lru_cache, partial
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from ecd_tune.errors import TaskError
from ecd_tune.records import Scalar
from ecd_tune.tasks.base import Split
from ecd_tune.tasks.data import data_root
from ecd_tune.tasks.definitions import check_options
from ecd_tune.tasks.graphs.definitions import GRAPH_DEFS
from ecd_tune.tasks.graphs.graph import Graph, split_labelled
from ecd_tune.tasks.graphs.networks import read_blogcatalog, read_facebook, read_twitch
from ecd_tune.tasks.graphs.ogb import read_arxiv, read_proteins
from ecd_tune.tasks.graphs.planetoid import read_planetoid
from ecd_tune.tasks.graphs.problem import GraphTask, NodePart
from ecd_tune.tasks.graphs.sage import SparseMatrix, average_neighbours

__all__ = [
    "load_graph",
    "make_blogcatalog",
    "make_citeseer",
    "make_cora",
    "make_facebook",
    "make_ogbn_arxiv",
    "make_ogbn_proteins",
    "make_twitch",
]

_READERS: dict[str, Callable[[], Graph]] = {
    "ogbn_arxiv": read_arxiv,
    "ogbn_proteins": read_proteins,
    "cora": partial(read_planetoid, "cora"),
    "citeseer": partial(read_planetoid, "citeseer"),
    "facebook": read_facebook,
    "twitch": read_twitch,
    "blogcatalog": read_blogcatalog,
}
_SPLITS: tuple[Split, ...] = ("train", "val", "test")


def load_graph(name: str) -> Graph:
    """Read a graph from the data root; the last two are kept in memory.

    Args:
        name: Registry name of the task.

    Returns:
        The graph.
    """
    return _load(name, data_root())[0]


@lru_cache(maxsize=2)
def _load(name: str, root: Path | None) -> tuple[Graph, SparseMatrix, Tensor | SparseMatrix]:
    # By root too: the reader looks it up itself, and tests change it.
    graph = _READERS[name]()
    return graph, average_neighbours(graph.adjacency), _prepare(graph.features)


def _prepare(features: Any) -> Tensor | SparseMatrix:
    return SparseMatrix(features) if hasattr(features, "indptr") else torch.from_numpy(features)


def _make(name: str, **options: Scalar) -> GraphTask:
    chosen = check_options(GRAPH_DEFS[name], options)
    dropout = float(chosen.get("dropout", 0.0))
    if dropout >= 1:
        raise TaskError(f"{name}: dropout = {dropout} must be below 1")
    graph, mean, features = _load(name, data_root())
    hidden = int(chosen["hidden"])
    return GraphTask(
        name=name,
        mean=mean,
        features=features,
        parts=_split(graph, chosen.get("split") == "random", int(chosen.get("split_seed", 0))),
        widths=(features.shape[1], hidden, hidden, graph.outputs),
        normalise="dropout" in chosen,
        dropout=dropout,
    )


def _split(graph: Graph, anew: bool, split_seed: int) -> dict[Split, NodePart]:
    shipped = None if anew else graph.parts
    rows = split_labelled(graph, split_seed) if shipped is None else shipped
    labels = torch.from_numpy(graph.labels)
    nodes = {name: torch.from_numpy(rows[name]) for name in _SPLITS}
    return {name: NodePart(chosen, labels[chosen]) for name, chosen in nodes.items()}


make_ogbn_arxiv = partial(_make, "ogbn_arxiv")
make_ogbn_proteins = partial(_make, "ogbn_proteins")
make_cora = partial(_make, "cora")
make_citeseer = partial(_make, "citeseer")
make_facebook = partial(_make, "facebook")
make_twitch = partial(_make, "twitch")
make_blogcatalog = partial(_make, "blogcatalog")
