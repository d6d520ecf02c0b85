"""Small user tasks."""

from __future__ import annotations

from functools import lru_cache

import numpy as np
import torch
import torch.nn.functional as F
from torch import nn
from torch.utils.data import DataLoader, Dataset, TensorDataset

import ecd_tune as et

COUNT, WIDTH = 50, 6


@lru_cache
def numbers(seed: int = 0) -> tuple[torch.Tensor, torch.Tensor]:
    generator = torch.Generator().manual_seed(seed)
    x = torch.randn(COUNT, WIDTH, generator=generator)
    return x, (x.sum(1) > 0).long()


class Network(nn.Module):
    """With all that is hard to restore: running statistics, and random numbers in each step."""

    def __init__(self) -> None:
        super().__init__()
        self.layers = nn.Sequential(
            nn.Linear(WIDTH, 8), nn.BatchNorm1d(8), nn.ReLU(), nn.Dropout(0.3), nn.Linear(8, 2)
        )
        self.register_buffer("calls", torch.zeros(()), persistent=False)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        if self.training:
            self.calls += 1
            return self.layers(x)
        # As an evaluation by a running mean: a lost state shows there.
        return self.layers(x) + torch.tensor([0.0, 0.01]) * self.calls


class Noisy(Dataset):
    """Examples with noise from all three global generators."""

    def __len__(self) -> int:
        return COUNT

    def __getitem__(self, index: int) -> tuple[torch.Tensor, torch.Tensor]:
        x, y = numbers()
        return x[index] + 0.1 * torch.randn(WIDTH) + 0.1 * float(np.random.rand()), y[index]


def describe(run, train, workers=0):
    run.model(Network())
    run.data(train=train, val=numbers(1), test=numbers(2), batch_size=16, workers=workers)
    run.loss(lambda model, x, y: F.cross_entropy(model(x), y))
    run.score(lambda model, x, y: (model(x).argmax(1) == y).float())


@et.task(metric="accuracy", direction="maximize", epochs=2)
def tensors(run):
    describe(run, numbers())


@et.task(metric="accuracy", direction="maximize", epochs=2)
def dataset(run):
    describe(run, Noisy())


@et.task(metric="accuracy", direction="maximize", epochs=2)
def workers(run):
    describe(run, Noisy(), workers=2)


@et.task(metric="loss", direction="minimize", epochs=2)
def regression(run):
    x, _ = numbers()
    run.model(nn.Linear(WIDTH, 1))
    run.data(train=(x, x[:, :1]), val=(x.numpy(), x[:, :1].numpy()), batch_size=32)
    run.loss(lambda model, x, y: F.mse_loss(model(x), y))


@torch.no_grad()
def accuracy(model, part) -> torch.Tensor:
    model.eval()
    x, y = part
    return (model(x).argmax(1) == y).float().mean()


def train(run, loader_workers: int = 0):
    model = run.keep(Network())
    optimizer = run.optimizer(model.parameters())
    schedule = run.keep(torch.optim.lr_scheduler.ExponentialLR(optimizer, 0.9))
    for epoch in run.epochs():
        model.train()
        optimizer.train()
        generator = torch.Generator().manual_seed(run.seed_of(epoch))
        loader = DataLoader(
            TensorDataset(*numbers()), 16, True, generator=generator, num_workers=loader_workers
        )
        for x, y in loader:
            loss = F.cross_entropy(model(x), y)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step(loss=loss)
        schedule.step()
        optimizer.eval()
        run.report(accuracy(model, numbers(1)))
    run.test(lambda: accuracy(model, numbers(2)))


@et.task(metric="accuracy", direction="maximize", epochs=3)
def loop(run):
    train(run)


@et.task(metric="accuracy", direction="maximize", epochs=3)
def loop_workers(run):
    train(run, loader_workers=2)
