"""Tune a LightningModule: Lightning's Trainer runs each epoch of the loop."""

import logging

import lightning
import numpy as np
import torch
import torch.nn.functional as F
from sklearn.datasets import load_digits
from torch import nn
from torch.utils.data import DataLoader, TensorDataset

import ecd_tune as et

logging.getLogger("lightning.pytorch").setLevel(logging.ERROR)  # one line per epoch otherwise
QUIET = dict.fromkeys(
    ["logger", "enable_checkpointing", "enable_progress_bar", "enable_model_summary"], False
)


def load():
    """Return images and classes for training, validation and test."""
    digits = load_digits()
    x, y = torch.tensor(digits.data / 16, dtype=torch.float32), torch.tensor(digits.target)
    order = torch.tensor(np.random.default_rng(0).permutation(len(y)))
    return [(x[rows], y[rows]) for rows in order.split([1077, 360, 360])]


class Net(lightning.LightningModule):
    """A small classifier, whose optimizer is that of the trial."""

    def __init__(self):
        super().__init__()
        self.layers = nn.Sequential(nn.Linear(64, 32), nn.ReLU(), nn.Linear(32, 10))
        self.optimizer = None

    def training_step(self, batch, _):
        """Return the loss of a batch."""
        x, y = batch
        return F.cross_entropy(self.layers(x), y)

    def configure_optimizers(self):
        """Return the optimizer of the trial."""
        return self.optimizer

    @torch.no_grad()
    def accuracy(self, x, y):
        """Return the share of right answers."""
        self.eval()
        return (self.layers(x).argmax(1) == y).float().mean()


@et.task(metric="accuracy", direction="maximize", epochs=5)
def digits(run):
    """Lightning calls optimizer.step(closure), which passes the loss to every optimizer."""
    train, val, test = load()
    net = run.keep(Net())
    net.optimizer = run.optimizer(net.parameters())
    for epoch in run.epochs():
        generator = torch.Generator().manual_seed(run.seed_of(epoch))
        loader = DataLoader(TensorDataset(*train), 64, shuffle=True, generator=generator)
        lightning.Trainer(max_epochs=1, accelerator="cpu", **QUIET).fit(net, loader)
        run.report(net.accuracy(*val))
    run.test(lambda: net.accuracy(*test))


if __name__ == "__main__":
    study = et.tune(digits, optimizers=["ecdsep", "adamw"], trials=20, workers=2)
    print(study.best("ecdsep").as_python())
    print("winner:", study.winner)
    study.report("out/", formats=["html", "latex"])
