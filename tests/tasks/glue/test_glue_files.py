"""GLUE from files: readers, splits and metrics."""

import json
import subprocess
import sys

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ecd_tune.errors import TaskError
from ecd_tune.registry import load_attribute
from ecd_tune.tasks.data import ROOT_VARIABLE, data_root
from ecd_tune.tasks.glue.definitions import GLUE_DEFS
from ecd_tune.tasks.glue.layouts import GLUE
from ecd_tune.tasks.glue.metrics import score
from ecd_tune.tasks.glue.splits import split_groups, split_official, strata_of, thin
from ecd_tune.tasks.glue.tables import GlueTable, read_official, read_single, read_table
from ecd_tune.tasks.glue.tasks import load_tables

ROOT = data_root()
needs_data = pytest.mark.skipif(
    ROOT is None or not (ROOT / "glue").is_dir(), reason=f"no glue/ under {ROOT_VARIABLE}"
)


# ------------------------------------------------------------------------- real files


@needs_data
@pytest.mark.parametrize(
    ("name", "train", "dev"),
    [
        ("glue_cola", [2528, 6023], [322, 721]),
        ("glue_sst2", [67349 - 37569, 37569], [872 - 444, 444]),
        ("glue_mrpc", [3668 - 2474, 2474], [408 - 279, 279]),
        ("glue_rte", [1249, 1241], [146, 131]),
    ],
)
def test_official_files_have_the_published_labels(name, train, dev):
    tables = read_official(GLUE[name], ROOT / "glue" / GLUE[name].title)
    assert [np.bincount(table.labels).tolist() for table in tables] == [train, dev]


@needs_data
@pytest.mark.parametrize(("name", "rows"), [("glue_stsb", (5749, 1500)), ("glue_wnli", (635, 71))])
def test_official_files_have_the_published_rows(name, rows):
    tables = read_official(GLUE[name], ROOT / "glue" / GLUE[name].title)
    assert tuple(map(len, tables)) == rows


@needs_data
@pytest.mark.parametrize(
    ("name", "counts"),
    [
        ("glue_qnli", [2702, 2761]),
        ("glue_qqp", [14749, 8747]),
        ("glue_mnli", [3479, 3123, 3213]),
    ],
)
def test_single_files_have_the_published_labels(name, counts):
    table = read_single(GLUE[name], ROOT / "glue" / GLUE[name].title)
    assert np.bincount(table.labels).tolist() == counts


@needs_data
def test_quotes_marks_and_blanks_are_text():
    mrpc = load_first("glue_mrpc")
    assert mrpc[0].startswith('Amrozi accused his brother , whom he called " the witness "')
    assert load_first("glue_sst2") == ("hide new secretions from the parental units ",)
    stsb = read_official(GLUE["glue_stsb"], ROOT / "glue" / "STS-B")[0]
    assert stsb.labels.min() == 0
    assert stsb.labels.max() == 5


def load_first(name):
    return read_official(GLUE[name], ROOT / "glue" / GLUE[name].title)[0].texts[0]


@needs_data
@pytest.mark.parametrize("name", ["glue_cola", "glue_stsb"])
def test_validation_is_a_stratified_tenth_of_the_training_rows(name):
    train, test = read_official(GLUE[name], ROOT / "glue" / GLUE[name].title)
    parts = load_tables(name, 3)
    assert len(parts["val"]) == round(0.1 * len(train))
    assert len(parts["train"]) + len(parts["val"]) == len(train)
    assert parts["test"].texts == test.texts
    whole = np.bincount(strata_of(train)) / len(train)
    edges = np.quantile(train.labels, (0.2, 0.4, 0.6, 0.8))
    val = (
        parts["val"].labels if name == "glue_cola" else np.searchsorted(edges, parts["val"].labels)
    )
    assert np.abs(np.bincount(val) / len(val) - whole).max() < 2 / len(val)


@needs_data
def test_no_question_is_in_two_parts():
    parts = load_tables("glue_qqp", 1)
    ids = {name: set(table.groups.ravel().tolist()) for name, table in parts.items()}
    for a, b in (("train", "val"), ("train", "test"), ("val", "test")):
        assert not ids[a] & ids[b]
    assert sum(map(len, parts.values())) == 23496
    for name in ("val", "test"):
        assert len(parts[name]) == pytest.approx(2350, rel=0.05)
        assert parts[name].labels.mean() == pytest.approx(8747 / 23496, abs=0.05)


@needs_data
@pytest.mark.parametrize("name", ["glue_qnli", "glue_mnli"])
def test_single_files_are_split_80_10_10(name):
    parts = load_tables(name)
    total = sum(map(len, parts.values()))
    assert len(parts["val"]) == len(parts["test"]) == round(total / 10)
    shares = [np.bincount(table.labels) / len(table) for table in parts.values()]
    assert np.ptp(shares, axis=0).max() < 0.005


# ------------------------------------------------------------------------ small files


@pytest.fixture
def root(tmp_path, monkeypatch):
    monkeypatch.setenv(ROOT_VARIABLE, str(tmp_path))
    return tmp_path


def write(path, *rows, mark=""):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(mark + "".join("\t".join(row) + "\n" for row in rows), encoding="utf-8")


@pytest.mark.parametrize("name", GLUE_DEFS)
def test_missing_files_are_an_error_that_names_them(name, root):
    title = GLUE[name].title
    with pytest.raises(TaskError, match=rf"{name}.*{root}.*glue/{title}/train\.tsv, glue/{title}"):
        load_attribute(GLUE_DEFS[name].factory)(model="tiny")


def test_mnli_has_two_dev_files(root):
    head = ("index", "sentence1", "sentence2", "label1", "gold_label")
    folder = root / "glue" / "MNLI"
    for name, count in {"train": 20, "dev_matched": 2, "dev_mismatched": 3}.items():
        rows = [(str(i), f"{name} a", "b", "x", "neutral") for i in range(count)]
        write(folder / f"{name}.tsv", head, *rows)
    test = load_tables("glue_mnli")["test"]
    assert test.sources.tolist() == [0, 0, 1, 1, 1]
    assert test.texts[2] == ("dev_mismatched a", "b")
    assert test.labels.tolist() == [1] * 5
    (folder / "dev_mismatched.tsv").unlink()
    assert load_tables("glue_mnli")["test"].sources.tolist() == [0, 0]


def test_official_files_go_before_the_single_one(root):
    folder = root / "glue" / "QQP"
    write(folder / "subset_from_train.tsv", *[("1", "2", "3", "old", "?", "0")] * 5)
    assert load_tables("glue_qqp")["train"].texts[0] == ("old", "?")
    head = ("id", "qid1", "qid2", "question1", "question2", "is_duplicate")
    for name in ("train", "dev"):
        write(folder / f"{name}.tsv", head, *[("1", "2", "3", "new", "?", "1")] * 5)
    assert load_tables("glue_qqp")["train"].texts[0] == ("new", "?")


def test_incomplete_rows_are_skipped(tmp_path):
    head = ("id", "qid1", "qid2", "question1", "question2", "is_duplicate")
    row = ("1", "2", "3", 'say "NA', "NA", "1")
    write(tmp_path / "t.tsv", head, row, row[:4], row)
    task = GLUE["glue_qqp"]
    table = read_table(task, tmp_path / "t.tsv", (*task.sentences, task.label))
    assert table.texts == (('say "NA', "NA"),) * 2


def test_a_byte_order_mark_is_no_text(tmp_path):
    write(tmp_path / "t.tsv", ("Quality", "#1 String"), ("1", "a"), mark="\ufeff")
    assert len(read_table(GLUE["glue_mrpc"], tmp_path / "t.tsv", ("#1 String", "Quality"))) == 1


def test_missing_columns_and_strange_labels_are_named(tmp_path):
    write(tmp_path / "t.tsv", ("sentence", "label"), ("a", "7"))
    with pytest.raises(TaskError, match=r"no column words; known: sentence, label"):
        read_table(GLUE["glue_sst2"], tmp_path / "t.tsv", ("words", "label"))
    with pytest.raises(TaskError, match="label '7'; SST-2 has"):
        read_table(GLUE["glue_sst2"], tmp_path / "t.tsv", ("sentence", "label"))


def test_json_keeps_text_as_it_is(tmp_path):
    line = {"premise": "2020-01-01", "hypothesis": "1.50", "label": "neutral"}
    (tmp_path / "t.jsonl").write_text(json.dumps(line) + "\n")
    task = GLUE["glue_mnli"]
    table = read_table(task, tmp_path / "t.jsonl", task.single_names)
    assert table.texts == (("2020-01-01", "1.50"),)


# ------------------------------------------------------------------ splits and metrics


def table_of(labels):
    texts = tuple((str(i),) for i in range(len(labels)))
    return GlueTable(texts, np.asarray(labels), np.zeros(len(labels), dtype=np.int64))


def test_validation_is_10_000_rows_at_most():
    labels = np.arange(123_456) % 3
    parts = split_official(table_of(labels), table_of(labels[:5]), 0)
    assert len(parts["val"]) == 10_000


@given(st.lists(st.tuples(st.integers(0, 60), st.integers(0, 60)), min_size=1, max_size=80))
def test_groups_are_not_split(pairs):
    groups = np.array(pairs)
    parts = split_groups(groups, 0)
    assert sorted(np.concatenate(list(parts.values())).tolist()) == list(range(len(pairs)))
    ids = [set(groups[rows].ravel().tolist()) for rows in parts.values()]
    assert sum(map(len, ids)) == len(set.union(*ids))
    assert len(parts["val"]) <= 0.1 * len(pairs)
    assert len(parts["test"]) <= 0.2 * len(pairs)


def test_large_group_is_in_the_training_split():
    # 60 rows hang together, 40 stand alone.
    groups = np.array(
        [(i, i + 1) for i in range(60)] + [(1000 + 2 * i, 1001 + 2 * i) for i in range(40)]
    )
    for seed in range(5):
        parts = split_groups(groups, seed)
        assert set(range(60)) <= set(parts["train"].tolist())
        assert len(parts["val"]) == len(parts["test"]) == 10


@pytest.mark.parametrize(("subset", "rows"), [(1.0, 50), (0.5, 25), (7, 7), (99, 50), (1e-6, 1)])
def test_subset_is_a_share_or_a_number(subset, rows):
    assert len(thin(table_of(np.arange(50) % 2), subset, 0)) == rows


def test_subset_keeps_the_classes():
    kept = thin(table_of(np.arange(100) % 4), 0.2, 1)
    assert np.bincount(kept.labels).tolist() == [5] * 4


# By hand: 3 true positives, 1 false positive, 1 false negative, 2 true negatives.
TRUTH = np.array([1, 1, 1, 0, 1, 0, 0])
GUESS = np.array([1, 1, 1, 1, 0, 0, 0])


@pytest.mark.parametrize(
    ("metric", "value"), [("accuracy", 5 / 7), ("f1", 6 / 8), ("matthews", (3 * 2 - 1 * 1) / 12)]
)
def test_metrics_of_classes(metric, value):
    assert score(metric, TRUTH, np.eye(2)[GUESS]) == pytest.approx(value)


def test_spearman_counts_ranks():
    outputs = np.array([[0.1], [5.0], [2.0], [3.0]])
    expected = 1 - 6 * (0 + 4 + 1 + 1) / (4 * 15)
    assert score("spearman", np.array([1.0, 2, 3, 4]), outputs) == pytest.approx(expected)


@pytest.mark.parametrize("metric", ["spearman", "matthews"])
def test_constant_outputs_have_correlation_0(metric):
    assert score(metric, TRUTH, np.full((7, 2), 0.5)) == 0


def test_f1_without_a_positive_guess_is_0():
    assert score("f1", TRUTH, np.eye(2)[np.zeros(7, dtype=int)]) == 0


@pytest.mark.parametrize("metric", ["spearman", "matthews", "f1", "accuracy"])
def test_outputs_that_are_not_finite_have_no_score(metric):
    assert np.isnan(score(metric, TRUTH, np.full((7, 2), np.nan)))


def test_definitions_import_nothing_heavy():
    heavy = ("torch", "transformers", "tokenizers", "pandas", "scipy", "sklearn")
    code = (
        f"import sys, ecd_tune.tasks.definitions; sys.exit(bool(set({heavy}) & set(sys.modules)))"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
