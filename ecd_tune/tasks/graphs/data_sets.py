"""The graphs' files, and where they come from; imports no torch."""

from __future__ import annotations

from ecd_tune.tasks.data import Layout
from ecd_tune.tasks.data_sets import DataSet, Download

__all__ = ["GRAPH_DATA"]

_SNAP = "http://snap.stanford.edu/ogb/data/nodeproppred"
_UNCLEAR = "licence of the data not confirmed: local experiments only, never redistribute"


def _ogb(name: str, tables: tuple[str, ...], split: str, archive: str, licence: str) -> DataSet:
    folder = f"graphs/{name}"
    files = [f"{folder}/raw/{table}.csv.gz" for table in tables]
    files += [f"{folder}/split/{split}/{part}.csv.gz" for part in ("train", "valid", "test")]
    return DataSet(
        name.replace("_", "-"),
        (name,),
        (Layout("ogb", tuple(files), "https://ogb.stanford.edu"),),
        licence,
        # Its authors publish no checksum.
        Download(f"{_SNAP}/{archive}.zip", f"{folder}.zip", unpack=folder),
    )


def _by_hand(name: str, tasks: tuple[str, ...], files: tuple[str, ...], source: str) -> DataSet:
    paths = tuple(f"graphs/{file}" for file in files)
    return DataSet(name, tasks, (Layout("files", paths, source),), _UNCLEAR)


def _planetoid(name: str) -> DataSet:
    folder = "graphs/planetoid"
    parts = ("x", "tx", "allx", "y", "ty", "ally", "graph", "test.index")
    raw = tuple(f"{folder}/ind.{name}.{part}" for part in parts)
    source = "data/ of the GitHub repository kimiyoung/planetoid"
    return DataSet(
        name,
        (name,),
        (
            Layout("pickles", raw, source),
            Layout("arrays", (f"{folder}/{name}.npz",), "the raw files as plain arrays"),
        ),
        _UNCLEAR,
    )


def _musae(task: str, folder: str) -> DataSet:
    files = tuple(f"{folder}/{file}" for file in ("edges.csv", "features.json", "target.csv"))
    source = "input/ of the GitHub repository benedekrozemberczki/MUSAE, renamed"
    return _by_hand(task, (task,), files, source)


GRAPH_DATA: dict[str, DataSet] = {
    data_set.name: data_set
    for data_set in (
        _ogb("ogbn_arxiv", ("edge", "node-feat", "node-label"), "time", "arxiv", "ODC-BY"),
        _ogb("ogbn_proteins", ("edge", "edge-feat", "node-label"), "species", "proteins", "CC0"),
        _planetoid("cora"),
        _planetoid("citeseer"),
        _musae("facebook", "musae_facebook"),
        _musae("twitch", "twitch_de"),
        _by_hand(
            "blogcatalog",
            ("blogcatalog",),
            ("blogcatalog/blogcatalog.mat",),
            "example_graphs/ of the GitHub repository phanein/deepwalk",
        ),
    )
}
"""The data sets of the graph tasks by name."""
