"""Tune a network on a table of scikit-learn, given as arrays."""

import torch.nn.functional as F
from sklearn.datasets import load_breast_cancer
from sklearn.model_selection import train_test_split
from sklearn.preprocessing import StandardScaler
from torch import nn

import ecd_tune as et


def load():
    """Return rows and classes for training, validation and test, standardized on the first."""
    x, y = load_breast_cancer(return_X_y=True)
    x, x_test, y, y_test = train_test_split(x, y, test_size=0.2, random_state=0, stratify=y)
    x, x_val, y, y_val = train_test_split(x, y, test_size=0.25, random_state=0, stratify=y)
    scale = StandardScaler().fit(x).transform
    return (scale(x), y), (scale(x_val), y_val), (scale(x_test), y_test)


@et.task(metric="accuracy", direction="maximize", epochs=10)
def table(run):
    """A network with one hidden layer; arrays become tensors on the device of the run."""
    train, val, test = load()
    run.model(nn.Sequential(nn.Linear(30, 16), nn.Tanh(), nn.Linear(16, 2)))
    run.data(train=train, val=val, test=test, batch_size=32)
    run.loss(lambda model, x, y: F.cross_entropy(model(x), y))
    run.score(lambda model, x, y: (model(x).argmax(1) == y).float())


if __name__ == "__main__":
    study = et.tune(table, optimizers=["ecdsep", "adamw"], trials=20, batch=8)
    print(study.best("ecdsep").as_python())
    print("winner:", study.winner)
    study.report("out/", formats=["html", "latex"])
