"""The BERT classifier: size, tokens, dropout, and available splits."""

import builtins
import dataclasses
import math
import types
from typing import ClassVar

import numpy as np
import pytest
import torch

from ecd_tune.errors import TaskError
from ecd_tune.records import Stage
from ecd_tune.registry import load_attribute
from ecd_tune.tasks.data import ROOT_VARIABLE, data_root
from ecd_tune.tasks.glue.bert import TinySize, build_classifier, load_tokenizer
from ecd_tune.tasks.glue.definitions import GLUE_DEFS
from ecd_tune.tasks.glue.problem import Classification, _batches
from ecd_tune.tasks.glue.tables import GlueTable
from ecd_tune.tasks.glue.tokens import Encoded, encode
from ecd_tune.tasks.seeds import noise_from, stream
from ecd_tune.testing.stacking import StackableTaskContract

transformers = pytest.importorskip("transformers", reason="needs the extra glue")
tokenizers = pytest.importorskip("tokenizers", reason="needs the extra glue")

ROOT = data_root()
needs_data = pytest.mark.skipif(
    ROOT is None or not (ROOT / "glue").is_dir() or not (ROOT / "text").is_dir(),
    reason=f"no glue/ and text/ under {ROOT_VARIABLE}",
)


def make(name, **options):
    return load_attribute(GLUE_DEFS[name].factory)(model="tiny", **options)


def toy(outputs=2, sources=(0, 0, 0, 0, 0, 0)):
    """A task of six rows that needs no files."""
    lengths = torch.tensor([3, 5, 4, 7, 3, 6])
    ids = torch.randint(5, 1000, (int(lengths.sum()),), generator=stream(0, "toy")).int()
    labels = torch.tensor([0.0, 5, 1, 2, 3, 4]) if outputs == 1 else torch.arange(6) % outputs
    starts = torch.cat([torch.tensor([0]), lengths.cumsum(0)])
    part = Encoded(ids, torch.zeros_like(ids).to(torch.int8), starts, labels, torch.tensor(sources))
    parts = {"train": part, "val": part, "test": part}
    metric = "spearman" if outputs == 1 else "accuracy"
    return Classification("toy", parts, "tiny", outputs, metric, 2)


@needs_data
class TestWnli(StackableTaskContract):
    definition = GLUE_DEFS["glue_wnli"]
    options: ClassVar = {"model": "tiny", "subset": 24, "max_length": 16, "width": 32}
    difference, tolerance = 1e-4, 2e-2
    padded = True


def test_published_training_rows_are_those_that_validate_too():
    task = toy()
    parts = {
        **task.parts,
        "val": dataclasses.replace(task.parts["val"], labels=torch.ones(6).long()),
    }
    task = dataclasses.replace(task, parts=parts)
    problem = task.build_published(3)
    train = problem._parts["train"]
    assert (len(train), set(problem._parts)) == (12, {"train", "test"})
    assert train.labels.tolist() == [0, 1, 0, 1, 0, 1, 1, 1, 1, 1, 1, 1]
    both = train.batch(torch.tensor([1, 7]), 7)[0]
    assert torch.equal(both[0], both[1])  # the toy's rows are the same in all parts
    thinned = dataclasses.replace(task, thinned=True).build_published(3)
    assert len(thinned._parts["train"]) == 6


def test_the_embeddings_are_those_of_words_and_not_of_positions():
    (table,) = toy().build(0, Stage.SEARCH).groups["embeddings"]
    assert table.shape == (30522, 128)


# ----------------------------------------------------------------------------- network


@pytest.mark.parametrize(
    ("outputs", "count"), [(2, 109_483_778), (3, 109_484_547), (1, 109_483_009)]
)
def test_parameter_counts_are_the_papers(outputs, count):
    with torch.device("meta"):
        config = transformers.BertConfig(num_labels=outputs)
        network = transformers.BertForSequenceClassification(config)
    assert sum(p.numel() for p in network.parameters()) == count


def test_a_folder_gives_its_weights_and_tokens(tmp_path):
    words = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", "a", "##b"]
    (tmp_path / "vocab.txt").write_text("\n".join(words))
    config = transformers.BertConfig(
        vocab_size=7, hidden_size=8, num_hidden_layers=1, num_attention_heads=1, intermediate_size=8
    )
    saved = transformers.BertModel(config)
    saved.save_pretrained(tmp_path)
    tokens = tokenizers.BertWordPieceTokenizer(str(tmp_path / "vocab.txt"))
    tokens.save(str(tmp_path / "tokenizer.json"))
    first, again, other = (build_classifier(str(tmp_path), 3, stream(s, "x")) for s in (0, 0, 1))
    for name, value in saved.state_dict().items():
        assert torch.equal(first.state_dict()[f"bert.{name}"], value)
    assert torch.equal(first.classifier.weight, again.classifier.weight)
    assert not torch.equal(first.classifier.weight, other.classifier.weight)
    assert load_tokenizer(str(tmp_path), 8).encode("ab a", "A").ids == [2, 5, 6, 5, 3, 5, 3]


@pytest.mark.parametrize(
    "load", [lambda m: load_tokenizer(m, 64), lambda m: build_classifier(m, 2, stream(0, "x"))]
)
def test_weights_that_are_not_there_are_an_error(load, tmp_path, monkeypatch):
    with pytest.raises(TaskError, match=r"neither 'tiny', nor a folder.*hf download"):
        load(str(tmp_path))


@pytest.mark.parametrize(("width", "layers"), [(128, 2), (32, 1)])
def test_the_small_network_has_the_size_that_was_asked_for(width, layers):
    network = build_classifier("tiny", 2, stream(0, "x"), TinySize(width, layers))
    embeddings = (30522 + 512 + 2) * width + 2 * width
    attention = 4 * (width * width + width)
    forward = 2 * 4 * width * width + 5 * width
    heads = (width * width + width) + (2 * width + 2)
    count = sum(p.numel() for p in network.parameters())
    assert count == embeddings + layers * (attention + forward + 4 * width) + heads
    matrices = [p for p in network.parameters() if p.dim() == 2 and p.numel() > width]
    pooled = torch.cat([p.detach().flatten() for p in matrices])
    assert float(pooled.std()) == pytest.approx(0.02 * math.sqrt(768 / width), rel=0.01)


def test_a_size_is_for_the_small_network_alone_and_even(monkeypatch):
    make = load_attribute(GLUE_DEFS["glue_sst2"].factory)
    with pytest.raises(TaskError, match="width = 33 must be even"):
        make(model="tiny", width=33)
    with pytest.raises(TaskError, match="width and layers are for model = 'tiny'"):
        make(width=64)


def test_weights_are_neither_downloaded_nor_unpickled(monkeypatch):
    asked = []

    class Kind:
        @staticmethod
        def from_pretrained(model, **settings):
            asked.append(settings)
            raise OSError("not here")

    kinds = types.SimpleNamespace(AutoTokenizer=Kind, BertForSequenceClassification=Kind)
    monkeypatch.setattr("ecd_tune.tasks.glue.bert.import_module", lambda name: kinds)
    for load in (lambda: load_tokenizer("x", 64), lambda: build_classifier("x", 2, stream(0, "x"))):
        with pytest.raises(TaskError, match="not here"):
            load()
    assert all(settings["local_files_only"] for settings in asked)
    assert asked[1]["use_safetensors"]


def test_without_transformers_the_extra_is_named(monkeypatch):
    real = builtins.__import__
    monkeypatch.setattr(
        "ecd_tune.tasks.glue.bert.import_module",
        lambda name: real("no_such_module_of_that_name"),
    )
    with pytest.raises(TaskError, match=r"ecd_tune\[glue\]"):
        build_classifier("tiny", 2, stream(0, "x"))


def test_dropout_uses_the_seed_and_not_the_global_generator():
    torch.manual_seed(3)
    expected = torch.rand(2)
    torch.manual_seed(3)
    draws = []
    for _ in range(2):
        with noise_from(stream(0, "dropout", 1)):
            draws.append(torch.rand(3))
    assert torch.equal(*draws)
    assert torch.equal(torch.rand(2), expected)


# ------------------------------------------------------------------------------ tokens


@needs_data
def test_tokens_match_bert():
    table = GlueTable((("Hello world",), ("hello", "world's Café")), np.zeros(2), np.zeros(2))
    encoded = encode(load_tokenizer("tiny", 64), table)
    batch = encoded.batch(torch.tensor([0, 1]), 8)
    # The numbers that bert-base-uncased gives these words.
    assert batch[0].tolist() == [
        [101, 7592, 2088, 102, 0, 0, 0, 0],
        [101, 7592, 102, 2088, 1005, 1055, 7668, 102],
    ]
    assert batch[2].sum(1).tolist() == [4, 8]
    assert batch[1].tolist()[1] == [0, 0, 0, 1, 1, 1, 1, 1]


@needs_data
def test_long_inputs_are_cut_and_batches_no_longer_than_needed():
    table = GlueTable((("word " * 90,), ("word",)), np.zeros(2), np.zeros(2))
    encoded = encode(load_tokenizer("tiny", 10), table)
    assert encoded.lengths.tolist() == [10, 3]
    assert encoded.batch(torch.tensor([0]), 10)[0][0, -1] == 102
    rows = _batches(encoded, torch.tensor([1, 0]), 1, torch.device("cpu"))
    assert [(own.tolist(), longest) for own, longest in rows] == [([1], 3), ([0], 10)]
    assert encoded.batch(*rows[0])[0].shape == (1, 3)


# ----------------------------------------------------------------------------- problem


def test_padding_changes_no_output():
    problem = toy().build(0, Stage.SEARCH)
    network, part = problem.network.eval(), toy().parts["train"]
    rows = [torch.arange(6), *(torch.tensor([row]) for row in range(6))]
    with torch.no_grad():
        together, *each = (
            problem.measure(network, *part.batch(own, int(part.lengths[own].max())))[0]
            for own in rows
        )
        alone = torch.cat(each)
        ids, types, mask = part.batch(rows[0], 7)
        plain = network(input_ids=ids, token_type_ids=types, attention_mask=mask).logits
    torch.testing.assert_close(together, plain)
    torch.testing.assert_close(together, alone, rtol=1e-4, atol=1e-5)


def test_every_epoch_sees_each_row_once_in_an_order_of_its_own():
    problem = toy().build(0, Stage.SEARCH)
    assert problem.steps_per_epoch == 3
    epochs = [torch.cat([problem._rows(3 * e + b)[0] for b in range(3)]).tolist() for e in range(3)]
    assert all(sorted(epoch) == list(range(6)) for epoch in epochs)
    assert len({tuple(epoch) for epoch in epochs}) > 1


def test_dropout_follows_the_step():
    problem = toy().build(0, Stage.SEARCH)
    problem._rows = lambda step: (torch.tensor([0, 1]), 5)
    first, second, again = (problem.closure(step) for step in (0, 1, 0))
    assert torch.equal(first, again)
    assert not torch.equal(first, second)


def test_regression_uses_squared_error():
    problem = toy(outputs=1).build(0, Stage.CONFIRM)
    found = problem.evaluate("test")
    truth = toy(outputs=1).parts["test"].labels
    part = toy(outputs=1).parts["test"]
    tokens = part.batch(torch.arange(6), 7)
    outputs = problem.measure(problem.network.eval(), *tokens)[0][:, 0].detach()
    assert found["loss"] == pytest.approx(float((outputs - truth).square().mean()))
    assert set(found) == {"spearman", "loss"}


def test_mnli_is_the_mean_over_both_test_files():
    found = toy(3, (0, 0, 0, 0, 1, 1)).build(0, Stage.CONFIRM).evaluate("test")
    halves = found["accuracy_matched"], found["accuracy_mismatched"]
    assert found["accuracy"] == pytest.approx(sum(halves) / 2)


def test_training_learns():
    problem = toy().build(0, Stage.SEARCH)
    optimizer = torch.optim.Adam(problem.parameters, lr=1e-3)
    before = problem.evaluate("train")["loss"]
    train(problem, optimizer, range(12))
    assert problem.evaluate("train")["loss"] < 0.7 * before


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="torch finds no GPU")
def test_a_gpu_runs_it_and_dropout_follows_the_step():
    problem = dataclasses.replace(toy(), device=torch.device("cuda")).build(0, Stage.SEARCH)
    problem._rows = lambda step: (torch.tensor([0, 1]), 5)
    first, second, again = (problem.closure(step) for step in (0, 1, 0))
    assert first == pytest.approx(float(again), rel=1e-5)
    assert abs(float(first - second)) > 1e-4
    assert problem.evaluate("val")["loss"] > 0


def train(problem, optimizer, steps):
    for step in steps:
        problem.closure(step)
        optimizer.step()


def test_resumed_run_is_equal():
    whole, half, resumed = (toy().build(5, Stage.SEARCH) for _ in range(3))
    adams = [torch.optim.Adam(p.parameters, lr=1e-3) for p in (whole, half, resumed)]
    train(whole, adams[0], range(8))
    train(half, adams[1], range(4))
    with torch.no_grad():
        for own, saved in zip(resumed.parameters, half.parameters, strict=True):
            own.copy_(saved)
    adams[2].load_state_dict(adams[1].state_dict())
    train(resumed, adams[2], range(4, 8))
    assert all(map(torch.equal, whole.parameters, resumed.parameters))


@needs_data
def test_tokens_are_kept_and_options_checked():
    assert make("glue_wnli", subset=5).parts is make("glue_wnli", subset=5).parts
    with pytest.raises(TaskError, match="max_length = 4"):
        make("glue_wnli", max_length=4)


def test_a_compiled_network_draws_its_dropout_by_seed_and_step(monkeypatch):
    # What torch's compiler calls is not asked by a TorchFunctionMode: here without the compiler.
    first, second = (toy().build(0, Stage.SEARCH) for _ in range(2))
    plain = [float(first.closure(step)) for step in (0, 1)]
    for problem in (first, second):
        problem.network._compiled_call_impl = problem.network._call_impl
    torch.manual_seed(5)
    compiled = [float(first.closure(step)) for step in (0, 1)]
    torch.manual_seed(6)
    assert compiled == [float(second.closure(step)) for step in (0, 1)]
    assert compiled != plain
