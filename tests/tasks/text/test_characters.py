"""The language model of characters: its text, its network, its batches."""

import math
from typing import ClassVar

import pytest
import torch
from torch.nn.functional import cross_entropy

from ecd_tune.errors import TaskError
from ecd_tune.records import Stage
from ecd_tune.tasks import TASK_DEFS
from ecd_tune.tasks.data import ROOT_VARIABLE, data_root
from ecd_tune.tasks.seeds import stream
from ecd_tune.tasks.text.characters import ALPHABET, encode_text
from ecd_tune.tasks.text.network import Transformer
from ecd_tune.tasks.text.problem import CharacterModel, Size, make
from ecd_tune.testing.stacking import StackableTaskContract

ROOT = data_root()
needs_data = pytest.mark.skipif(
    ROOT is None or not all((ROOT / "glue" / name).is_dir() for name in ("CoLA", "SST-2")),
    reason=f"no glue/CoLA/ and glue/SST-2/ under {ROOT_VARIABLE}",
)
SMALL = Size(width=8, layers=1, heads=2, block=8)


def toy(**settings):
    """A task that needs no files: three texts of the same kind."""
    texts = [encode_text([f"{word} and {word} again"] * 40) for word in ("one", "two", "ten")]
    parts = dict(zip(("train", "val", "test"), texts, strict=True))
    return CharacterModel(parts, **{"size": SMALL, "batch_size": 4, **settings})


@needs_data
class TestCharacterLanguageModel(StackableTaskContract):
    definition = TASK_DEFS["char_lm"]
    options: ClassVar = {"width": 16, "layers": 1, "block": 16, "epoch_steps": 3}
    difference, tolerance = 1e-3, 1e-2


class TestMadeText(StackableTaskContract):
    definition = TASK_DEFS["char_lm"]
    difference, tolerance = 1e-3, 1e-2

    def make(self):
        return toy()


# -------------------------------------------------------------------------------- text


def decode(numbers):
    return "".join(ALPHABET[number] for number in numbers.tolist())


def test_the_alphabet_has_at_most_64_characters_each_once():
    assert len(set(ALPHABET)) == len(ALPHABET) <= 64


def test_text_is_lower_case_without_accents_one_sentence_a_line():
    encoded = encode_text(["The  Café, 5%! ", "a*b — ÆTNA\t#"])
    assert decode(encoded) == "the cafe, 5%!\nab  tna \n"


@needs_data
def test_real_text_is_encoded_almost_completely():
    task = make()
    sizes = {split: len(text) for split, text in task.parts.items()}
    assert sizes == {"train": 3565480, "val": 394478, "test": 136964}
    train = set(decode(task.parts["train"]).split("\n"))
    test = [line for line in decode(task.parts["test"]).split("\n") if len(line) > 20]
    assert sum(line in train for line in test) < 0.01 * len(test)


@needs_data
def test_split_seed_changes_the_validation_sentences():
    first, second = (decode(make(split_seed=seed).parts["val"]).split("\n") for seed in (0, 1))
    assert len(set(first) & set(second)) < 0.3 * len(first)


# ----------------------------------------------------------------------------- network


def test_default_network_size():
    network = Transformer(len(ALPHABET), 64, 2, 2, 64)
    embeddings = (len(ALPHABET) + 64) * 64
    layer = 2 * 128 + (64 * 192 + 192) + (64 * 64 + 64) + (64 * 256 + 256) + (256 * 64 + 64)
    head = 128 + 64 * len(ALPHABET) + len(ALPHABET)
    assert sum(p.numel() for p in network.parameters()) == embeddings + 2 * layer + head


def test_attention_is_that_of_the_formula():
    network = Transformer(5, 6, 1, 2, 4).double()
    layer, x = network.layers[0], torch.randn(3, 4, 6, dtype=torch.float64)
    q, k, v = layer.queries_keys_values(layer.attention_norm(x)).split(6, -1)
    heads = []
    for part in (slice(0, 3), slice(3, 6)):
        scores = q[..., part] @ k[..., part].mT / math.sqrt(3)
        scores = scores.masked_fill(torch.ones(4, 4).triu(1).bool(), -math.inf)
        heads.append(scores.softmax(-1) @ v[..., part])
    y = x + layer.attention_out(torch.cat(heads, -1))
    z = layer.widen(layer.forward_norm(y))
    z = layer.narrow(z * 0.5 * (1 + torch.erf(z / math.sqrt(2))))
    torch.testing.assert_close(layer(x), y + z)


def test_prediction_depends_on_earlier_characters_only():
    network, text = Transformer(5, 8, 2, 2, 6), torch.tensor([[0, 1, 2, 3, 4, 0]])
    changed = text.clone()
    changed[0, 3] = 1
    before, after = network(text), network(changed)
    torch.testing.assert_close(before[:, :3], after[:, :3])
    assert not torch.allclose(before[:, 3:], after[:, 3:])
    shifted = network(text.roll(1, 1))[:, 1:]
    assert not torch.allclose(before[:, :-1], shifted), "positions are not told apart"


# ----------------------------------------------------------------------------- problem


def test_the_loss_is_nats_per_character_of_blocks_of_the_training_text():
    problem = toy().build(3, Stage.SEARCH)
    batch = problem.batch(5)[0]
    assert batch.shape == (4, 9)
    train = decode(problem._parts["train"])
    assert all(decode(block) in train for block in batch)
    logits = problem.network(batch[:, :-1].long())
    expected = cross_entropy(logits.reshape(-1, len(ALPHABET)), batch[:, 1:].reshape(-1).long())
    torch.testing.assert_close(problem.closure(5), expected.detach())
    assert problem.evaluate("val")["loss"] == pytest.approx(math.log(len(ALPHABET)), rel=0.2)


def test_blocks_begin_anywhere_and_differ_by_seed_and_step():
    task = toy(batch_size=400)
    problem = task.build(0, Stage.SEARCH)
    first, count = problem.batch(0)[0], len(task.parts["train"])
    period = count // 40
    begins = {decode(block) for block in first}
    assert len(begins) == period, "some places in the sentence never begin a block"
    assert torch.equal(first, problem.batch(0)[0])
    assert not torch.equal(first, problem.batch(1)[0])
    assert not torch.equal(first, task.build(1, Stage.SEARCH).batch(0)[0])


def test_evaluation_uses_the_first_1024_blocks_equally():
    task = toy()
    parts = {**task.parts, "val": torch.randint(54, (9 * 1030,), generator=stream(0, "x"))}
    problem = CharacterModel(parts, SMALL).build(0, Stage.SEARCH)
    blocks = parts["val"][: 9 * 1024].view(1024, 9)
    logits = problem.network(blocks[:, :-1])
    expected = cross_entropy(logits.reshape(-1, len(ALPHABET)), blocks[:, 1:].reshape(-1))
    assert problem.evaluate("val")["loss"] == pytest.approx(expected.item(), rel=1e-5)


def test_the_embeddings_are_those_of_characters_and_not_of_positions():
    (table,) = toy().build(0, Stage.SEARCH).groups["embeddings"]
    assert table.shape == (len(ALPHABET), SMALL.width)


def test_published_training_text_includes_validation():
    task = toy()
    problem = task.build_published(0)
    assert set(problem._parts) == {"train", "test"}
    assert len(problem._parts["train"]) == len(task.parts["train"]) + len(task.parts["val"])


@needs_data
def test_width_must_be_a_multiple_of_heads():
    with pytest.raises(TaskError, match="width = 10 must be a multiple of heads = 4"):
        make(width=10, heads=4)


def test_missing_text_is_named(tmp_path, monkeypatch):
    monkeypatch.setenv(ROOT_VARIABLE, str(tmp_path))
    with pytest.raises(TaskError, match=r"glue/CoLA/train\.tsv"):
        make()


def test_adamw_learns_it():
    problem = toy(size=Size(16, 1, 2, 8), batch_size=16).build(0, Stage.CONFIRM)
    optimizer = torch.optim.AdamW(problem.parameters, lr=1e-2)
    for step in range(60):
        optimizer.step(lambda step=step: problem.closure(step))
    assert problem.evaluate("train")["loss"] < 1.0
    assert problem.evaluate("test")["loss"] < math.log(len(ALPHABET))
