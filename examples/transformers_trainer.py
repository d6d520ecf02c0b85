"""Tune a tiny BERT, made on the spot, with the Trainer of transformers in each epoch."""

import tempfile

import torch
from transformers import BertConfig, BertForSequenceClassification, Trainer, TrainingArguments

import ecd_tune as et
from ecd_tune.integrations import attach_trainer

WORDS, LENGTH = 20, 8


def load(count, seed):
    """Return sentences of random words; their class is whether word 1 is among them."""
    generator = torch.Generator().manual_seed(seed)
    words = torch.randint(1, WORDS, (count, LENGTH), generator=generator)
    return [{"input_ids": w, "labels": (w == 1).any().long()} for w in words]


def make_bert():
    """Return a BERT of one layer with random weights."""
    return BertForSequenceClassification(
        BertConfig(
            vocab_size=WORDS, hidden_size=32, num_hidden_layers=1, num_attention_heads=2,
            intermediate_size=64, max_position_embeddings=LENGTH, num_labels=2,
        )
    )  # fmt: skip


@torch.no_grad()
def accuracy(model, data):
    """Return the share of right answers."""
    model.eval()
    logits = model(torch.stack([row["input_ids"] for row in data])).logits
    return (logits.argmax(1) == torch.stack([row["labels"] for row in data])).float().mean()


@et.task(metric="accuracy", direction="maximize", epochs=4)
def bert(run):
    """attach_trainer passes the loss of each backward to the optimizer."""
    train, val, test = load(256, 0), load(128, 1), load(128, 2)
    model = run.keep(make_bert())
    optimizer = run.optimizer(model.parameters())
    for epoch in run.epochs():
        with tempfile.TemporaryDirectory() as folder:
            arguments = TrainingArguments(
                folder, num_train_epochs=1, per_device_train_batch_size=32, max_grad_norm=0,
                lr_scheduler_type="constant", seed=run.seed_of(epoch), use_cpu=True,
                report_to=[], save_strategy="no", logging_strategy="no", disable_tqdm=True,
            )  # fmt: skip
            trainer = Trainer(model, arguments, train_dataset=train, optimizers=(optimizer, None))
            attach_trainer(trainer)
            trainer.train()
        run.report(accuracy(model, val))
    run.test(lambda: accuracy(model, test))


if __name__ == "__main__":
    study = et.tune(bert, optimizers=["ecdsep", "adamw"], trials=20, workers=2)
    print(study.best("ecdsep").as_python())
    print("winner:", study.winner)
    study.report("out/", formats=["html", "latex"])
