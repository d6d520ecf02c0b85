"""Tune a small convolutional network on 8x8 digits in your own training loop."""

import numpy as np
import torch
import torch.nn.functional as F
from sklearn.datasets import load_digits
from torch import nn

import ecd_tune as et


def load():
    """Return images and classes for training, validation and test."""
    digits = load_digits()
    x, y = digits.images[:, None] / 16, digits.target
    order = np.random.default_rng(0).permutation(len(y))
    return [(x[rows], y[rows]) for rows in np.split(order, [1077, 1437])]


class CNN(nn.Sequential):
    """Two convolutions with batch normalisation, and dropout."""

    def __init__(self):
        super().__init__(
            nn.Conv2d(1, 16, 3, padding=1), nn.BatchNorm2d(16), nn.ReLU(), nn.MaxPool2d(2),
            nn.Conv2d(16, 32, 3, padding=1), nn.BatchNorm2d(32), nn.ReLU(), nn.MaxPool2d(2),
            nn.Flatten(), nn.Dropout(0.2), nn.Linear(128, 10),
        )  # fmt: skip


def tensors(part):
    """Return a part of the data as tensors."""
    x, y = part
    return torch.tensor(x, dtype=torch.float32), torch.tensor(y)


def batches(part, seed):
    """Go through a part of the data in random order."""
    order = torch.randperm(len(part[1]), generator=torch.Generator().manual_seed(seed))
    for rows in order.split(64):
        yield part[0][rows], part[1][rows]


@torch.no_grad()
def accuracy(model, part):
    """Return the share of right answers."""
    model.eval()
    return (model(part[0]).argmax(1) == part[1]).float().mean()


@et.task(metric="accuracy", direction="maximize", epochs=8)
def loop(run):
    """Kept objects are saved and restored; an interrupted run restarts its epoch."""
    train, val, test = map(tensors, load())
    model = run.keep(CNN())
    optimizer = run.optimizer(model.parameters())
    for epoch in run.epochs():
        model.train()
        for x, y in batches(train, seed=run.seed_of(epoch)):
            loss = F.cross_entropy(model(x), y)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step(loss=loss)
        run.report(accuracy(model, val))
    run.test(lambda: accuracy(model, test))


if __name__ == "__main__":
    study = et.tune(loop, optimizers=["ecdsep", "adamw"], trials=20, workers=2, confirm=6)
    print(study.best("ecdsep").as_python())
    print("winner:", study.winner)
    study.report("out/", formats=["html", "latex"])
