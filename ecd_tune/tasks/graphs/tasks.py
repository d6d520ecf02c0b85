"""Make the graph tasks from a study file's options."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import lru_cache, partial
from pathlib import Path

import torch
from torch import Tensor

from ecd_tune.errors import TaskError
from ecd_tune.records import Scalar
from ecd_tune.tasks._device import choose_device
from ecd_tune.tasks._strata import RowNumbers
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
    return _load(name, data_root())


@lru_cache(maxsize=2)
def _load(name: str, root: Path | None) -> Graph:
    # By root too: the reader looks it up itself, and tests change it.
    return _READERS[name]()


@lru_cache(maxsize=2)
def _prepare(
    name: str, root: Path | None, device: torch.device
) -> tuple[SparseMatrix, Tensor | SparseMatrix]:
    graph = _load(name, root)
    mean, features = average_neighbours(graph.adjacency, device), graph.features
    if hasattr(features, "indptr"):
        return mean, SparseMatrix(features, device)
    return mean, torch.from_numpy(features).to(device)


def _make(name: str, **options: Scalar) -> GraphTask:
    chosen = check_options(GRAPH_DEFS[name], options)
    dropout = float(chosen.get("dropout", 0.0))
    if dropout >= 1:
        raise TaskError(f"{name}: dropout = {dropout} must be below 1")
    device, graph = choose_device(str(chosen["device"])), load_graph(name)
    mean, features = _prepare(name, data_root(), device)
    rows = _choose_rows(graph, chosen.get("split") == "random", int(chosen.get("split_seed", 0)))
    hidden = int(chosen["hidden"])
    return GraphTask(
        name=name,
        mean=mean,
        features=features,
        parts=_label(graph, rows, device),
        widths=(features.shape[1], hidden, hidden, graph.outputs),
        normalise="dropout" in chosen,
        dropout=dropout,
        device=device,
    )


def _choose_rows(graph: Graph, reshuffle: bool, split_seed: int) -> Mapping[str, RowNumbers]:
    if graph.parts is not None and not reshuffle:
        return graph.parts
    return split_labelled(graph, split_seed)


def _label(
    graph: Graph, rows: Mapping[str, RowNumbers], device: torch.device
) -> dict[Split, NodePart]:
    labels = torch.from_numpy(graph.labels)
    nodes = {name: torch.from_numpy(rows[name]) for name in _SPLITS}
    return {
        name: NodePart(chosen.to(device), labels[chosen].to(device))
        for name, chosen in nodes.items()
    }


make_ogbn_arxiv = partial(_make, "ogbn_arxiv")
make_ogbn_proteins = partial(_make, "ogbn_proteins")
make_cora = partial(_make, "cora")
make_citeseer = partial(_make, "citeseer")
make_facebook = partial(_make, "facebook")
make_twitch = partial(_make, "twitch")
make_blogcatalog = partial(_make, "blogcatalog")
