"""The Hugging Face Trainer: losses normalised as it does, accumulated, and resumed."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch.nn import functional as F

from ecd_tune import integrations
from ecd_tune.optim import ECDSep
from ecd_tune.records import TrialRecord, TrialState
from ecd_tune.report import render_best
from ecd_tune.spec import parse_study
from tests.integrations.problem import Losses, make_optimizer, same

REASON = "needs the extra dev-integrations"
pytest.importorskip("accelerate", reason=REASON)
transformers = pytest.importorskip("transformers", reason=REASON)


@pytest.fixture(autouse=True)
def _offline(monkeypatch):
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")


def make_bert(kind: str = "BertForSequenceClassification") -> Any:
    """Return a BERT of one small layer, always with the same weights."""
    config = transformers.BertConfig(
        vocab_size=20,
        hidden_size=8,
        num_hidden_layers=1,
        num_attention_heads=2,
        intermediate_size=8,
        max_position_embeddings=8,
        hidden_dropout_prob=0.0,
        attention_probs_dropout_prob=0.0,
        num_labels=3,
        is_decoder=kind == "BertLMHeadModel",
    )
    with torch.random.fork_rng():
        torch.manual_seed(2)
        return getattr(transformers, kind)(config)


def make_sentences(n: int = 24) -> list[dict[str, torch.Tensor]]:
    """Return sentences with a class each."""
    generator = torch.Generator().manual_seed(1)
    words = torch.randint(20, (n, 6), generator=generator)
    return [{"input_ids": w, "labels": w.sum() % 3} for w in words]


def make_texts(n: int = 24) -> list[dict[str, torch.Tensor]]:
    """Return sentences of which one to five words are to be predicted."""
    texts = []
    for k, sentence in enumerate(make_sentences(n)):
        words = sentence["input_ids"]
        labels = words.where(torch.arange(6) > k % 5, -100)
        texts.append({"input_ids": words, "labels": labels})
    return texts


def make_trainer(
    path: Any, model: Any, data: Any, optimizer: Any = None, attached: bool = True, **changes: Any
) -> Any:
    arguments = {
        "per_device_train_batch_size": 4,
        "num_train_epochs": 2,
        "train_sampling_strategy": "sequential",
        "lr_scheduler_type": "constant",
        "max_grad_norm": 0.0,
        "save_strategy": "no",
        "report_to": "none",
        "disable_tqdm": True,
        "use_cpu": True,
        **changes,
    }
    trainer = transformers.Trainer(
        model,
        transformers.TrainingArguments(str(path), **arguments),
        train_dataset=data,
        optimizers=(optimizer, None),
    )
    if attached:
        integrations.attach_trainer(trainer)
    return trainer


class Run:
    """A model, its optimizer and the losses that it sees."""

    def __init__(self, kind: str = "BertForSequenceClassification", **changes: Any) -> None:
        self.model = make_bert(kind)
        self.optimizer = make_optimizer(self.model.parameters(), **changes)
        self.losses = Losses(self.optimizer)

    def train_by_hand(self, data: Any, batch_size: int, epochs: int = 2, micro: int = 1) -> None:
        """Train on the mean loss over all labels of a batch, from ``micro`` backward passes."""
        for begin in [*range(0, len(data), batch_size)] * epochs:
            rows = data[begin : begin + batch_size]
            batch = {key: torch.stack([row[key] for row in rows]) for key in rows[0]}
            labels = batch.pop("labels")
            if labels.dim() > 1:  # words to be predicted from those before them
                labels = F.pad(labels[:, 1:], (0, 1), value=-100)
            shares = []
            for words, part in zip(
                batch["input_ids"].chunk(micro), labels.chunk(micro), strict=True
            ):
                logits = self.model(input_ids=words).logits.flatten(0, -2)
                total = F.cross_entropy(logits, part.flatten(), reduction="sum")
                share = total / (labels != -100).sum()
                share.backward()
                shares.append(share.detach().double())
            self.optimizer.step(loss=torch.stack(shares).sum())
            self.optimizer.zero_grad()


def test_training_equals_a_loop_by_hand(tmp_path):
    run, hand = Run(), Run()
    make_trainer(tmp_path, run.model, make_sentences(), run.optimizer).train()
    hand.train_by_hand(make_sentences(), 4)
    assert len(run.losses.values) == 12
    assert run.losses.values == pytest.approx(hand.losses.values, abs=1e-6)
    assert same(run.model, hand.model, 1e-6)


def test_accumulated_loss_is_the_mean_over_all_words_of_the_batch(tmp_path):
    run, hand, whole = (Run("BertLMHeadModel") for _ in range(3))
    trainer = make_trainer(
        tmp_path,
        run.model,
        make_texts(),
        run.optimizer,
        per_device_train_batch_size=2,
        gradient_accumulation_steps=4,
    )
    trainer.train()
    hand.train_by_hand(make_texts(), 8, micro=4)
    whole.train_by_hand(make_texts(), 8)
    assert len(run.losses.values) == 6
    for other in (hand, whole):
        assert run.losses.values == pytest.approx(other.losses.values, abs=1e-6)
        assert same(run.model, other.model, 1e-6)


@pytest.mark.parametrize(("scaled", "factor"), [(False, 1.0), (None, 4.0)])
def test_loss_of_a_model_that_ignores_num_items_in_batch(tmp_path, scaled, factor):
    run, whole = Run(), Run()
    trainer = make_trainer(
        tmp_path,
        run.model,
        make_sentences(),
        run.optimizer,
        per_device_train_batch_size=2,
        gradient_accumulation_steps=4,
        max_steps=1,
    )
    # Without this line the Trainer takes the loss of a BERT classifier for normalised over the
    # batch, which it is not: it adds up the means of the micro-batches.
    trainer.loss_is_scaled_for_ga = scaled
    trainer.train()
    whole.train_by_hand(make_sentences(8), 8, epochs=1)
    assert run.losses.values == pytest.approx([factor * whole.losses.values[0]], abs=1e-6)


def test_last_group_of_an_epoch_has_the_mean_of_its_micro_batches(tmp_path):
    run, whole = Run(), Run()
    trainer = make_trainer(
        tmp_path,
        run.model,
        make_sentences(12),
        run.optimizer,
        per_device_train_batch_size=2,
        gradient_accumulation_steps=4,
    )
    trainer.loss_is_scaled_for_ga = False
    trainer.train()
    whole.train_by_hand(make_sentences(12), 8)  # batches of eight and of four
    assert run.losses.values == pytest.approx(whole.losses.values, abs=1e-6)
    assert same(run.model, whole.model, 1e-6)


def test_resumed_run_equals_an_unbroken_one(tmp_path):
    def trainer_of(run: Run, **changes: Any) -> Any:
        return make_trainer(
            tmp_path,
            run.model,
            make_texts(),
            run.optimizer,
            per_device_train_batch_size=2,
            gradient_accumulation_steps=3,
            train_sampling_strategy="random",
            **changes,
        )

    unbroken, resumed = Run("BertLMHeadModel"), Run("BertLMHeadModel", seed=9)
    trainer_of(unbroken, save_strategy="steps", save_steps=3).train()
    # In the middle of the first epoch.
    trainer_of(resumed).train(resume_from_checkpoint=str(tmp_path / "checkpoint-3"))
    assert len(unbroken.losses.values) == 8
    assert resumed.losses.values == unbroken.losses.values[3:]
    assert same(resumed.model, unbroken.model)
    assert resumed.optimizer.report() == unbroken.optimizer.report()


def test_trainer_can_make_the_optimizer_itself(tmp_path):
    model = make_bert()
    trainer = transformers.Trainer(
        model,
        make_trainer(tmp_path, model, make_sentences()).args,
        train_dataset=make_sentences(),
        optimizer_cls_and_kwargs=(ECDSep, {"lr": 0.1, "eta": 2.0, "nu": 0.01, "seed": 3}),
    )
    integrations.attach_trainer(trainer)
    trainer.train()
    optimizer = trainer.optimizer.optimizer
    assert isinstance(optimizer, ECDSep)
    assert optimizer.report()["updates"] == 12


def test_loss_of_a_skipped_step_is_cleared(tmp_path):
    run, hand = Run(), Run()
    run.optimizer.add_loss(5.0)
    trainer = make_trainer(tmp_path, run.model, make_sentences(), run.optimizer)
    trainer.train()
    trainer.train()
    hand.train_by_hand(make_sentences(), 4, epochs=4)
    assert run.losses.values == pytest.approx(hand.losses.values, abs=1e-5)


def test_other_optimizers_are_unchanged(tmp_path):
    models = [make_bert() for _ in range(2)]
    for model, attached in zip(models, [True, False], strict=True):
        optimizer = torch.optim.AdamW(model.parameters(), lr=0.01)
        make_trainer(tmp_path, model, make_sentences(), optimizer, attached=attached).train()
    assert same(*models)


def test_printed_code_trains(tmp_path):
    params = {"lr": 0.05, "eta": 2.0}
    spec = parse_study(
        {
            "name": "printed",
            "task": {"name": "digits"},
            "budget": {"trials": 1, "steps": 1},
            "optimizers": {"ecdsep": {"space": params}},
        }
    )
    key = spec.key("ecdsep")
    record = TrialRecord(key, 0, TrialState.COMPLETE, 0.9, params)
    scope: dict[str, Any] = {
        "model": make_bert(),
        "args": transformers.TrainingArguments(
            str(tmp_path), max_steps=2, max_grad_norm=0, lr_scheduler_type="constant",
            use_cpu=True, report_to=[], disable_tqdm=True,
        ),
        "train_dataset": make_sentences(),
    }  # fmt: skip
    exec(compile(render_best(spec, {key: [record]}, "transformers"), "printed", "exec"), scope)
    scope["trainer"].train()
    optimizer = scope["trainer"].optimizer
    found = getattr(optimizer, "optimizer", optimizer)
    assert type(found) is ECDSep
    assert found.param_groups[0]["lr"] == 0.05
