"""Eight generated tasks, and training of many settings of an optimizer on a task at once.

All networks of a task are stacked into one tensor per layer. This is much faster than lanes of
trials, but uses neither a database nor the seeds of trials.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from sklearn import datasets
from torch import Tensor

from ecd_tune.registry import OPTIMIZERS, load_attribute

BATCH = 32
VALIDATION = 1000


@dataclass(frozen=True)
class Case:
    """A task: its data, the widths of its network, and the epochs of a trial."""

    title: str
    load: Callable[[int], tuple[Any, Any]]
    widths: tuple[int, ...]
    train: int
    epochs: int
    classes: bool = True


def linear(rows: int) -> tuple[Any, Any]:
    """Return a linear function of 20 numbers with noise."""
    return datasets.make_regression(rows, 20, n_informative=10, noise=60.0, random_state=1)


def sparse(rows: int) -> tuple[Any, Any]:
    """Return a function of four of ten numbers with noise."""
    return datasets.make_sparse_uncorrelated(rows, 10, random_state=1)


def flipped(rows: int) -> tuple[Any, Any]:
    """Return three classes with a fifth of the labels drawn at random."""
    return datasets.make_classification(
        rows, 30, n_informative=10, n_classes=3, flip_y=0.2, class_sep=1.5, random_state=1
    )


def clusters(rows: int) -> tuple[Any, Any]:
    """Return two classes of four clusters each."""
    return datasets.make_classification(
        rows, 16, n_informative=12, n_clusters_per_class=4, flip_y=0.1, random_state=2
    )


def sphere(rows: int) -> tuple[Any, Any]:
    """Return whether ten normal numbers are outside a sphere, without noise."""
    x, y = datasets.make_hastie_10_2(rows, random_state=1)
    return x, y > 0


CASES = {
    "linear": Case("linear, noise", linear, (20, 32, 1), 600, 20, False),
    "friedman2": Case(
        "Friedman 2, noise",
        lambda rows: datasets.make_friedman2(rows, noise=100.0, random_state=1),
        (4, 64, 64, 1), 1000, 20, False,
    ),
    "friedman3": Case(
        "Friedman 3, noise",
        lambda rows: datasets.make_friedman3(rows, noise=0.1, random_state=1),
        (4, 32, 32, 1), 800, 25, False,
    ),
    "sparse": Case("sparse, noise", sparse, (10, 48, 1), 900, 15, False),
    "curve": Case(
        "S-curve, little noise",
        lambda rows: datasets.make_s_curve(rows, noise=0.15, random_state=1),
        (3, 48, 48, 1), 700, 20, False,
    ),
    "flipped": Case("3 classes, noise", flipped, (30, 64, 3), 1000, 12),
    "clusters": Case("8 clusters, noise", clusters, (16, 32, 32, 2), 500, 25),
    "sphere": Case("sphere", sphere, (10, 64, 2), 1200, 15),
}  # fmt: skip


def splits(case: Case) -> tuple[tuple[Tensor, Tensor], tuple[Tensor, Tensor]]:
    """Return standardised training and validation data."""
    x, y = (np.asarray(values) for values in case.load(case.train + VALIDATION))
    order = np.random.default_rng(0).permutation(len(y))
    train, val = order[VALIDATION:], order[:VALIDATION]
    x = (x - x[train].mean(0)) / x[train].std(0)
    if not case.classes:
        y = ((y - y[train].mean()) / y[train].std())[:, None]
    inputs = torch.tensor(x, dtype=torch.float32)
    targets = torch.tensor(y, dtype=torch.int64 if case.classes else torch.float32)
    return (inputs[train], targets[train]), (inputs[val], targets[val])


def weights(widths: Sequence[int], points: int, random: torch.Generator) -> list[Tensor]:
    """Return weights and biases of ``points`` networks, with the limits of ``nn.Linear``."""
    blocks = []
    for before, after in pairwise(widths):
        for shape in ((points, before, after), (points, 1, after)):
            blocks.append((2 * torch.rand(shape, generator=random) - 1) / math.sqrt(before))
    return blocks


def outputs(blocks: Sequence[Tensor], x: Tensor) -> Tensor:
    """Return the outputs of all networks, ``[points, rows, outputs]``."""
    hidden = x.expand(len(blocks[0]), *x.shape)
    for number in range(0, len(blocks), 2):
        hidden = torch.baddbmm(blocks[number + 1], hidden, blocks[number])
        if number + 2 < len(blocks):
            hidden = hidden.relu()
    return hidden


def losses(out: Tensor, y: Tensor, classes: bool) -> Tensor:
    """Return the mean loss of each network."""
    if not classes:
        return (out - y).square().mean((1, 2))
    each = F.cross_entropy(out.flatten(0, 1), y.repeat(len(out)), reduction="none")
    return each.view(len(out), -1).mean(1)


def values(case: Case, name: str, settings: Sequence[Mapping[str, Any]]) -> NDArray[np.float64]:
    """Train all settings and return the best validation value of each; diverged ones are NaN."""
    (x, y), (x_val, y_val) = splits(case)
    random = torch.Generator().manual_seed(7)
    blocks = weights(case.widths, len(settings), random)
    make = load_attribute(OPTIMIZERS.get(name).batched or "")
    optimizer = make(blocks, list(range(len(settings))), settings)
    active = torch.ones(len(settings), dtype=torch.bool)
    metrics = []
    for _ in range(case.epochs):
        for rows in torch.randperm(len(x), generator=random).split(BATCH):
            for block in optimizer.params:
                block.requires_grad_()
            loss = losses(outputs(optimizer.params, x[rows]), y[rows], case.classes)
            grads = torch.autograd.grad(loss.sum(), optimizer.params)
            for block in optimizer.params:
                block.requires_grad_(False)
            active &= loss.detach().isfinite()
            optimizer.step(loss.detach(), grads, active)
        out = outputs(optimizer.params, x_val)
        if case.classes:
            metrics.append((out.argmax(2) == y_val).double().mean(1))
        else:
            metrics.append((out - y_val).square().double().mean((1, 2)))
    curves = torch.stack(metrics).numpy()
    return (np.fmax if case.classes else np.fmin).reduce(curves)


def size_of(case: Case) -> int:
    """Return the number of parameters of a task's network."""
    return sum((a + 1) * b for a, b in pairwise(case.widths))
