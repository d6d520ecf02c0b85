"""Graphs from files: the real ones if present, and small ones of the same layout."""

import gzip
import json
import os
import pickle
from collections import defaultdict

import numpy as np
import pytest
from scipy import sparse

from ecd_tune.errors import TaskError
from ecd_tune.records import Stage
from ecd_tune.registry import load_attribute
from ecd_tune.tasks.data import ROOT_VARIABLE, data_root
from ecd_tune.tasks.graphs.definitions import GRAPH_DEFS
from ecd_tune.tasks.graphs.graph import connect, mark, rarest_label
from ecd_tune.tasks.graphs.networks import locate
from ecd_tune.tasks.graphs.ogb import mean_edge_features
from ecd_tune.tasks.graphs.planetoid import read_arrays, read_pickles, unpickle
from ecd_tune.tasks.graphs.tasks import load_graph

ROOT = data_root()
needs_data = pytest.mark.skipif(
    ROOT is None or not (ROOT / "graphs").is_dir(), reason=f"no graphs/ under {ROOT_VARIABLE}"
)


def write_table(path, rows):
    path.parent.mkdir(parents=True, exist_ok=True)
    with gzip.open(path, "wt") as file:
        file.writelines(",".join(map(str, row)) + "\n" for row in rows)


def write_parts(folder):
    for name, rows in {"train": [3, 0], "valid": [1], "test": [2]}.items():
        write_table(folder / f"{name}.csv.gz", [[row] for row in rows])


# ------------------------------------------------------------------------- real files


@needs_data
@pytest.mark.parametrize(
    ("name", "nodes", "edges", "features"),
    [
        ("cora", 2708, 5278, 1433),
        ("citeseer", 3327, 4552, 3703),
        ("facebook", 22470, 171002 - 179, 4714),
        ("twitch", 9498, 153138, 3170),
        # The longest to read; its labels are read in every test run.
        pytest.param("blogcatalog", 10312, 333983, 65, marks=pytest.mark.slow),
    ],
)
def test_sizes_are_the_published_ones(name, nodes, edges, features):
    graph = load_graph(name)
    assert graph.adjacency.shape == (nodes, nodes)
    assert graph.adjacency.nnz == 2 * edges
    assert (graph.adjacency != graph.adjacency.T).nnz == 0
    assert set(graph.adjacency.data.tolist()) == {1.0}
    assert graph.features.shape == (nodes, features)


@needs_data
@pytest.mark.parametrize(
    ("name", "counts"),
    [
        ("cora", [351, 217, 418, 818, 426, 298, 180]),
        ("citeseer", [249, 590, 668, 701, 596, 508]),
        ("facebook", [6880, 6495, 5768, 3327]),
    ],
)
def test_classes_are_the_published_ones(name, counts):
    labels = load_graph(name).labels
    assert np.bincount(labels[labels >= 0]).tolist() == counts
    assert (labels < 0).sum() == (15 if name == "citeseer" else 0)


@needs_data
def test_labels_are_the_published_ones():
    assert load_graph("twitch").labels.sum(0).tolist() == [5742, 597]
    group = load_graph("blogcatalog").labels
    assert group.shape[1] == 39
    assert group.sum() == 14476
    assert group.sum(0).min() == 8


@needs_data
@pytest.mark.parametrize(("name", "homophily"), [("cora", 0.81), ("citeseer", 0.74)])
def test_edges_join_the_nodes_that_are_labelled(name, homophily):
    graph = load_graph(name)
    a, b = graph.adjacency.tocoo().coords
    known = (graph.labels[a] >= 0) & (graph.labels[b] >= 0)
    assert (graph.labels[a] == graph.labels[b])[known].mean() == pytest.approx(homophily, abs=0.01)


@needs_data
def test_twitch_nodes_go_by_their_new_id():
    graph = load_graph("twitch")
    degrees, partner = np.diff(graph.adjacency.indptr), graph.labels[:, 1] > 0
    assert round(degrees[partner].mean()) == 183
    assert round(degrees[~partner].mean()) == 22


@needs_data
@pytest.mark.parametrize("name", ["cora", "citeseer"])
def test_raw_pickles_give_the_same_graph(name):
    folder = ROOT / "graphs" / "planetoid"
    raw, plain = read_pickles(folder, name), read_arrays(folder / f"{name}.npz")
    assert (raw.adjacency != plain.adjacency).nnz == 0
    assert (raw.features != plain.features).nnz == 0
    assert np.array_equal(raw.labels, plain.labels)
    for part in ("train", "val", "test"):
        assert np.array_equal(raw.parts[part], np.sort(plain.parts[part]))


@needs_data
@pytest.mark.slow
def test_rare_labels_are_in_every_part():
    task = load_attribute(GRAPH_DEFS["blogcatalog"].factory)()
    for part in task.parts.values():
        assert (part.labels.sum(0) > 0).all()


# ------------------------------------------------------------------------- small files


@pytest.fixture
def root(tmp_path, monkeypatch):
    monkeypatch.setenv(ROOT_VARIABLE, str(tmp_path))
    return tmp_path


@pytest.mark.parametrize("name", GRAPH_DEFS)
def test_missing_files_are_an_error_that_names_them(name, root):
    with pytest.raises(TaskError, match=rf"{name}.*{root}.*graphs/"):
        load_attribute(GRAPH_DEFS[name].factory)()


def test_arxiv_is_read_as_ogb_unpacks_it(root):
    folder = root / "graphs" / "ogbn_arxiv"
    # 0→1 and 1→0 are one edge; 3 has none.
    write_table(folder / "raw/edge.csv.gz", [[0, 1], [1, 0], [2, 0]])
    write_table(folder / "raw/node-feat.csv.gz", [[0.5, -1], [1, 2], [3, 4], [5, 6]])
    write_table(folder / "raw/node-label.csv.gz", [[2], [0], [1], [2]])
    write_parts(folder / "split/time")
    graph = load_graph("ogbn_arxiv")
    expected = [[0, 1, 1, 0], [1, 0, 0, 0], [1, 0, 0, 0], [0, 0, 0, 0]]
    assert graph.adjacency.toarray().tolist() == expected
    assert graph.features.tolist() == [[0.5, -1], [1, 2], [3, 4], [5, 6]]
    assert graph.labels.tolist() == [2, 0, 1, 2]
    assert {k: v.tolist() for k, v in graph.parts.items()} == {
        "train": [0, 3],
        "val": [1],
        "test": [2],
    }
    problem = load_attribute(GRAPH_DEFS["ogbn_arxiv"].factory)(hidden=4).build(0, Stage.SEARCH)
    assert problem.closure(0).isfinite()


def test_proteins_average_their_edges(root):
    folder = root / "graphs" / "ogbn_proteins"
    write_table(folder / "raw/edge.csv.gz", [[0, 1], [1, 2]])
    write_table(folder / "raw/edge-feat.csv.gz", [[1, 10], [3, 30]])
    write_table(folder / "raw/node-label.csv.gz", [[0, 1], [1, 1], [0, 1], [1, 0]])
    write_parts(folder / "split/species")
    graph = load_graph("ogbn_proteins")
    assert graph.features.tolist() == [[1, 10], [2, 20], [3, 30], [0, 0]]
    task = load_attribute(GRAPH_DEFS["ogbn_proteins"].factory)(hidden=4)
    problem = task.build(0, Stage.SEARCH)
    assert problem.metric == "roc_auc"
    assert problem.closure(0).isfinite()


@pytest.mark.parametrize("lines", [1, 3])
def test_edge_features_must_fit_the_edges(tmp_path, lines):
    path = tmp_path / "edge-feat.csv.gz"
    write_table(path, [[1, 2]] * lines)
    with pytest.raises(TaskError, match="2 edges"):
        mean_edge_features(path, np.array([[0, 1], [1, 2]]), 3)


def test_edge_features_are_read_piece_by_piece(tmp_path, monkeypatch):
    rng = np.random.default_rng(0)
    edges, values = rng.integers(0, 6, (11, 2)), rng.integers(0, 9, (11, 2))
    write_table(tmp_path / "f.csv.gz", values)
    whole = mean_edge_features(tmp_path / "f.csv.gz", edges, 6)
    monkeypatch.setattr("ecd_tune.tasks.graphs.ogb._CHUNK", 4)
    assert np.array_equal(mean_edge_features(tmp_path / "f.csv.gz", edges, 6), whole)


def test_arxiv_lengths_must_agree(root):
    folder = root / "graphs" / "ogbn_arxiv"
    write_table(folder / "raw/edge.csv.gz", [[0, 1]])
    write_table(folder / "raw/node-feat.csv.gz", [[1, 2]])
    write_table(folder / "raw/node-label.csv.gz", [[0], [1]])
    write_parts(folder / "split/time")
    with pytest.raises(TaskError, match="1 nodes have features, 2 a label"):
        load_graph("ogbn_arxiv")


def test_facebook_orders_by_id_and_drops_loops(root):
    folder = root / "graphs" / "musae_facebook"
    folder.mkdir(parents=True)
    (folder / "edges.csv").write_text("id_1,id_2\n0,1\n1,1\n")
    (folder / "features.json").write_text(json.dumps({"1": [0, 2], "0": [1, 1]}))
    (folder / "target.csv").write_text(
        'id,facebook_id,page_name,page_type\n1,7,"Tea, with, milk",company\n0,8,B,tvshow\n'
    )
    graph = load_graph("facebook")
    assert graph.labels.tolist() == [3, 1]
    assert graph.adjacency.toarray().tolist() == [[0, 1], [1, 0]]
    assert graph.features.toarray().tolist() == [[0, 1, 0], [1, 0, 1]]


# ----------------------------------------------------------------------------- pieces


def test_edges_beyond_the_nodes_are_refused():
    with pytest.raises(TaskError, match=r"0 to 3.*nodes 0 to 2"):
        connect(np.array([[0, 3]]), 3)


def test_an_index_listed_twice_counts_once():
    assert mark([[2, 0, 2], []]).toarray().tolist() == [[1, 0, 1], [0, 0, 0]]


def test_a_node_belongs_to_its_rarest_label():
    labels = np.array([[1, 1, 0], [1, 0, 0], [0, 0, 0], [1, 0, 1], [1, 0, 1]])
    assert rarest_label(labels).tolist() == [0, 2, 3, 1, 1]


def test_position_of_a_node_is_an_eigenvector():
    ring = connect(np.array([[i, (i + 1) % 12] for i in range(12)]), 12)
    found = locate(ring, 3).astype(float)
    assert np.allclose(np.abs(found[:, 2]), 1, atol=1e-5)  # eigenvalue 1: constant on a ring
    assert np.allclose(found[:, 3], np.log(3))
    operator = ring.toarray() / 2
    assert np.allclose(operator @ found[:, :2], np.cos(2 * np.pi / 12) * found[:, :2], atol=1e-5)


class Exploit:
    def __reduce__(self):
        return os.mkdir, (os.environ["EXPLOIT"],)


@pytest.mark.parametrize("hide", [lambda e: e, lambda e: [e], lambda e: {"graph": e}])
def test_malicious_pickle_is_refused(tmp_path, monkeypatch, hide):
    monkeypatch.setenv("EXPLOIT", str(tmp_path / "owned"))
    (tmp_path / "ind.cora.x").write_bytes(pickle.dumps(hide(Exploit()), protocol=2))
    with pytest.raises(TaskError, match=r"posix\.mkdir"):
        unpickle(tmp_path / "ind.cora.x")
    assert not (tmp_path / "owned").exists()


@pytest.mark.parametrize("path", [("builtins", "eval"), ("numpy", "load"), ("os", "system")])
def test_other_pickle_globals_are_refused(tmp_path, path):
    (tmp_path / "p").write_bytes(b"c" + "\n".join(path).encode() + b"\n.")
    with pytest.raises(TaskError, match=path[1]):
        unpickle(tmp_path / "p")


def test_a_damaged_pickle_is_named(tmp_path):
    (tmp_path / "p").write_bytes(pickle.dumps([1, 2], protocol=2)[:-2])
    with pytest.raises(TaskError, match="cannot be read"):
        unpickle(tmp_path / "p")


def test_harmless_pickles_are_read(tmp_path):
    kept = defaultdict(list, {0: [1, 2]})
    (tmp_path / "p").write_bytes(pickle.dumps(kept, protocol=2))
    assert unpickle(tmp_path / "p") == kept


def test_small_planetoid_files_restore_missing_nodes(tmp_path, monkeypatch):
    # Rows 0-501 train and validate; the test ids 503 and 505 leave 502 and 504 without a label.
    raw = {"graph": {0: [505], 505: [0]}}
    for name, count in {"x": 1, "allx": 502, "tx": 2}.items():
        raw[name] = sparse.csr_array(np.full((count, 3), 2.0))
        raw[name.replace("x", "y")] = np.eye(2)[np.arange(count) % 2]
    monkeypatch.setattr(
        "ecd_tune.tasks.graphs.planetoid.unpickle", lambda path: raw[path.suffix.lstrip(".")]
    )
    (tmp_path / "ind.toy.test.index").write_text("505\n503\n")
    graph = read_pickles(tmp_path, "toy")
    assert graph.labels[-4:].tolist() == [-1, 1, -1, 0]
    assert graph.parts["test"].tolist() == [503, 505]
    assert graph.features.sum(1)[-4:].tolist() == [0, 6, 0, 6]
    assert np.argwhere(graph.adjacency.toarray()).tolist() == [[0, 505], [505, 0]]
