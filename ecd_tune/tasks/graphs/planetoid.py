"""Cora and CiteSeer: from plain arrays where there are any, else from the raw pickles.

The raw files are pickles of Python 2. Unpickling may run any code, so they are read by an
unpickler that knows five harmless names and refuses every other one.
"""

from __future__ import annotations

import pickle
from collections import defaultdict
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
from scipy import sparse

from ecd_tune.errors import TaskError
from ecd_tune.tasks.data import Layout, find_layout
from ecd_tune.tasks.graphs.graph import Graph, connect

__all__ = ["read_arrays", "read_pickles", "read_planetoid", "unpickle"]

_RAW = ("x", "tx", "allx", "y", "ty", "ally", "graph", "test.index")
_VAL = 500


class _Csr:
    """Replaces ``scipy.sparse.csr.csr_matrix`` of the pickles: its attributes, no code."""

    data: Any
    indices: Any
    indptr: Any


class _Unpickler(pickle.Unpickler):
    # NumPy's own function for arrays has moved between versions; an array knows where it is.
    known: ClassVar[dict[tuple[str, str], Any]] = {
        ("numpy.core.multiarray", "_reconstruct"): np.empty(0).__reduce__()[0],
        ("numpy", "ndarray"): np.ndarray,
        ("numpy", "dtype"): np.dtype,
        ("scipy.sparse.csr", "csr_matrix"): _Csr,
        ("collections", "defaultdict"): defaultdict,
        ("__builtin__", "list"): list,
    }

    def find_class(self, module_name: str, global_name: str, /) -> Any:
        if (module_name, global_name) not in self.known:
            raise TaskError(
                f"a pickle asks for {module_name}.{global_name}, which no Planetoid file needs; it "
                "was not executed. Download the file again, or use the .npz form"
            )
        return self.known[module_name, global_name]


def unpickle(path: Path) -> Any:
    """Read one raw file without letting it run code.

    Args:
        path: The file.

    Returns:
        An array, a CSR matrix, or a dictionary of lists.

    Raises:
        TaskError: It names anything but arrays, CSR matrices, lists and dictionaries, or it is
            damaged.
        OSError: It cannot be read.
    """
    try:
        with path.open("rb") as file:
            loaded = _Unpickler(file, encoding="latin1").load()
            return _to_array(loaded) if isinstance(loaded, _Csr) else loaded
    except (TaskError, OSError):
        raise
    except Exception as error:  # a damaged pickle may raise anything
        raise TaskError(f"{path} cannot be read as a Planetoid file: {error}") from error


def _to_array(loaded: Any) -> Any:
    shape = vars(loaded).get("_shape") or vars(loaded)["shape"]
    return sparse.csr_array((loaded.data, loaded.indices, loaded.indptr), shape=shape)


def read_planetoid(name: str) -> Graph:
    """Read Cora or CiteSeer from the data root.

    Args:
        name: ``"cora"`` or ``"citeseer"``.

    Returns:
        The graph with its public split.
    """
    folder = "graphs/planetoid"
    layout, root = find_layout(
        name,
        (
            Layout("arrays", (f"{folder}/{name}.npz",), "the raw files as plain arrays"),
            Layout(
                "pickles",
                tuple(f"{folder}/ind.{name}.{part}" for part in _RAW),
                "data/ of the GitHub repository kimiyoung/planetoid",
            ),
        ),
    )
    path = root / folder
    return (
        read_arrays(path / f"{name}.npz") if layout.name == "arrays" else read_pickles(path, name)
    )


def read_arrays(path: Path) -> Graph:
    """Read the ``.npz`` form: CSR features, labels, edges and the public split.

    Returns:
        The graph.
    """
    with np.load(path, allow_pickle=False) as file:
        features = sparse.csr_array(
            (file["x_data"].astype(np.float32), file["x_indices"], file["x_indptr"]),
            shape=tuple(file["x_shape"]),
        )
        labels = file["y"].astype(np.int64)
        parts = {part: file[f"{part}_idx"].astype(np.int64) for part in ("train", "val", "test")}
        return Graph(
            connect(file["edge_index"].T, len(labels), loops=False), features, labels, parts
        )


def read_pickles(folder: Path, name: str) -> Graph:
    """Read the raw files, with the test nodes in their original order.

    Args:
        folder: Where they lie.
        name: ``"cora"`` or ``"citeseer"``. CiteSeer's test ids leave out 15 nodes, which have
            neither features nor a label.

    Returns:
        The graph.
    """
    raw = {part: unpickle(folder / f"ind.{name}.{part}") for part in _RAW[:-1]}
    test = np.loadtxt(folder / f"ind.{name}.test.index", dtype=np.int64)
    known, nodes = raw["allx"].shape[0], int(test.max()) + 1
    rows = np.concatenate([np.arange(known), test])
    stacked = sparse.vstack([raw["allx"], raw["tx"]]).tocoo()
    features = sparse.coo_array(
        (stacked.data.astype(np.float32), (rows[stacked.row], stacked.col)),
        shape=(nodes, stacked.shape[1]),
    ).tocsr()
    labels = np.full(nodes, -1, dtype=np.int64)
    labels[rows] = np.concatenate([raw["ally"], raw["ty"]]).argmax(1)
    edges = np.array([(a, b) for a, ends in raw["graph"].items() for b in ends])
    train = raw["x"].shape[0]
    parts = {
        "train": np.arange(train),
        "val": np.arange(train, train + _VAL),
        "test": np.sort(test),
    }
    return Graph(connect(edges, nodes, loops=False), features, labels, parts)
