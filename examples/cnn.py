"""Tune a small convolutional network on 8x8 digits: the model is described, the loop is ours."""

import numpy as np
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


@et.task(metric="accuracy", direction="maximize", epochs=8)
def cnn(run):
    """All randomness follows from run.seed."""
    train, val, test = load()
    run.model(CNN())
    run.data(train=train, val=val, test=test, batch_size=64)
    run.loss(lambda model, x, y: F.cross_entropy(model(x), y))
    run.score(lambda model, x, y: (model(x).argmax(1) == y).float())


if __name__ == "__main__":
    study = et.tune(cnn, optimizers=["ecdsep", "adamw"], trials=20, workers=2, confirm=6)
    print(study.best("ecdsep").as_python())
    print("winner:", study.winner)
    study.report("out/", formats=["html", "latex"])
