"""The graphs' files, and where they come from; imports no torch."""

from __future__ import annotations

from ecd_tune.tasks.data import Layout
from ecd_tune.tasks.data_sets import DataSet, Download

__all__ = ["GRAPH_DATA"]

_SNAP = "http://snap.stanford.edu/ogb/data/nodeproppred"
_UNCLEAR = "licence of the data not confirmed: local experiments only, never redistribute"

_PLANETOID = (
    "https://raw.githubusercontent.com/kimiyoung/planetoid/"
    "af6abf468a772cc055bec88c52e4d6f51b7c37e3/data"
)
# SHA-256 of x, tx, allx, y, ty, ally, graph and test.index at that commit.
_DIGESTS = {
    "cora": """
        23cfa55d91c6f624233f5eb7b6e3f141f1bd2b2ae39608a63cf5d084bb27baab
        b9afbaa4a400df991f6f02ef677e1e44da55ffc04801fd02f9e673987829226a
        9419ba2f26f5c35243db64aba110e0f35a04851609e0dc5433450676ca6b8543
        94465c14eb53e04ca262198dcbb2521ee8af60fb3f3d546cd6ca24a511b0e7d1
        41f5ac76596a1699cc33f53084a2419e92961c42bb75f36fc38e616d348532ad
        2b998f5cc7fedc86e7f97ca2498f47a1ffc1462c29e2d578b23bf3f62b6e7d71
        58f13302f39dde8852dad6fe6d15b89b077b6d7f837626bce671ef80344b383d
        297ce89af2b51a6a194181c7dbe1796c6a1cf9cd9349a88383b1b1e227867875
    """,
    "citeseer": """
        d20de19150741e555de0ed037195630fc194114ebc7fd72ced62810148aa22f6
        539a8906a2da97628d212f2fdd668c109a8b3f0d36574b59e5d3fd5b5303da21
        2ac30345d95c9ec933a817ee0bdd6a5f077f8c184a20e696910192d534414668
        8ba87e515d8e3ee3cf52f6d2c5b86aa73f11ecad825a808455209ec26cd54924
        55e5bd1ba1e733a04598753ad1a8d57957f4b8f89e74519f41f4f4938767e4ce
        f704b2d986dde6c2669934de1f3ae5696a6cf9455c0f6b2646a2d135ea0a1c95
        d79a4ef9d3e7169aee8946145f6b7306e35bc79bffad26346cfb94e10e9912a7
        2af990671580b6b2df5d158d1038f8292e30c9cd821b5453f399659b25b723d4
    """,
}


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
        (Download(f"{_SNAP}/{archive}.zip", f"{folder}.zip", unpack=folder),),
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
        tuple(
            Download(f"{_PLANETOID}/ind.{name}.{part}", file, f"sha256:{digest}")
            for part, file, digest in zip(parts, raw, _DIGESTS[name].split(), strict=True)
        ),
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
