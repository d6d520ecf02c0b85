"""Which ranges of ECDSep's hyperparameters suit twenty trials, on eight generated tasks.

    python -m benchmarks.ranges [--points 512] [--tasks linear ...] [--pool pool.json]
                                [--out docs/results/default-ranges.md]

The default space of ECDSep (``studies/_own.toml``) was chosen by this, so that the tasks of
``benchmarks.defaults`` choose none of it. Many random points of a wide space are trained at once
on each task, and as many of AdamW's default space. The mean of the best of twenty points that are
drawn from the pool without replacement is exact, so that any part of the wide space is judged
without another run: ``RANGES`` are such parts. All points of a pool share the order of the data;
their initial weights differ. With ``--pool`` the values of a task are read from a file where it
has them, and added to it where it has not.
"""

from __future__ import annotations

import argparse
import json
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from sklearn import datasets
from torch import Tensor

from benchmarks.written import written_by
from ecd_tune.registry import OPTIMIZERS, load_attribute
from ecd_tune.spec import own_study, parse_study

FEW = 20
BATCH = 32
VALIDATION = 1000
AROUND = {
    "lr": {"low": 0.01, "high": 10.0, "log": True},
    "eta": {"low": 1.0, "high": 10.0, "log": True},
    "nu_sqrt_n": {"low": 1e-3, "high": 1.0, "log": True, "zero": {"below": 1e-2}},
    "weight_decay": {"low": 1e-7, "high": 0.1, "log": True, "zero": {"below": 1e-6}},
    "scale": ["share", "moments"],
}
"""The wide space."""

Bounds = Mapping[str, tuple[float, float] | str]
RANGES: dict[str, Bounds] = {
    "all": {},
    "lr .03–1, η 1–4, ν√n ≤ .3, wd ≤ 1e-3, share": {
        "lr": (0.03, 1), "eta": (1, 4), "nu_sqrt_n": (0, 0.3), "weight_decay": (0, 1e-3),
        "scale": "share",
    },
    "the same with moments": {
        "lr": (0.03, 1), "eta": (1, 4), "nu_sqrt_n": (0, 0.3), "weight_decay": (0, 1e-3),
        "scale": "moments",
    },
    "moments": {"scale": "moments"},
    "moments, η ≤ 2": {"scale": "moments", "eta": (1, 2)},
    "moments, η 2–4": {"scale": "moments", "eta": (2, 4)},
    "moments, η 4–10": {"scale": "moments", "eta": (4, 10)},
    "moments, lr < .1": {"scale": "moments", "lr": (0, 0.1)},
    "moments, lr .1–3": {"scale": "moments", "lr": (0.1, 3)},
    "moments, lr > 3": {"scale": "moments", "lr": (3, 10)},
    "moments, ν√n < .03": {"scale": "moments", "nu_sqrt_n": (0, 0.03)},
    "moments, ν√n .03–.3": {"scale": "moments", "nu_sqrt_n": (0.03, 0.3)},
    "moments, ν√n > .3": {"scale": "moments", "nu_sqrt_n": (0.3, 1)},
    "moments, wd < 1e-5": {"scale": "moments", "weight_decay": (0, 1e-5)},
    "moments, wd 1e-5–1e-3": {"scale": "moments", "weight_decay": (1e-5, 1e-3)},
    "moments, wd 1e-3–1e-2": {"scale": "moments", "weight_decay": (1e-3, 1e-2)},
    "moments, wd > 1e-2": {"scale": "moments", "weight_decay": (1e-2, 0.1)},
    "moments, lr .1–3, η 1.5–6, ν√n ≤ .3, wd ≤ 1e-2": {
        "lr": (0.1, 3), "eta": (1.5, 6), "nu_sqrt_n": (0, 0.3), "weight_decay": (0, 1e-2),
        "scale": "moments",
    },
}  # fmt: skip


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
    """Return whether ten normal numbers lie outside of a sphere, without noise."""
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
    """Return weights and biases of as many networks, with the limits of ``nn.Linear``."""
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
    judged = []
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
            judged.append((out.argmax(2) == y_val).double().mean(1))
        else:
            judged.append((out - y_val).square().double().mean((1, 2)))
    curves = torch.stack(judged).numpy()
    return (np.fmax if case.classes else np.fmin).reduce(curves)


def pool(case: Case, name: str, space: Mapping[str, Any] | None, points: int) -> list[Any]:
    """Return points of a space, each with its value."""
    table = {} if space is None else {"space": space}
    own = parse_study(own_study("digits", {name: table}, budget={"steps": 1})).optimizers[name]
    size = sum((a + 1) * b for a, b in pairwise(case.widths))
    random = np.random.default_rng(0)
    drawn = [own.space.draw(random) for _ in range(points)]
    settings = [own.resolve(point, size) for point in drawn]
    found = values(case, name, settings)
    return [
        {**point, **setting, "value": float(value)}
        for point, setting, value in zip(drawn, settings, found, strict=True)
    ]


def lies_in(point: Mapping[str, Any], bounds: Bounds) -> bool:
    """Return whether a point of the wide space lies in a part of it."""
    return all(
        point[key] == limits if isinstance(limits, str) else limits[0] <= point[key] <= limits[1]
        for key, limits in bounds.items()
    )


def best_of(found: Sequence[float], few: int, highest: bool) -> float:
    """Return the mean of the best of ``few`` values drawn without replacement.

    Args:
        found: Values of a pool; NaN is the worst.
        few: How many are drawn.
        highest: Whether more is better.

    Returns:
        Σ over ranks i of value_i · C(N − 1 − i, few − 1) / C(N, few); NaN for a smaller pool.
    """
    ranked = sorted((v for v in found if not math.isnan(v)), reverse=highest)
    size = len(found)
    if size < few:
        return math.nan
    ways = [math.comb(size - 1 - rank, few - 1) for rank in range(len(ranked))]
    return sum(w * v for w, v in zip(ways, ranked, strict=True)) / sum(ways)


def main() -> None:
    """Train what is missing and print the page."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--points", type=int, default=512)
    parser.add_argument("--tasks", nargs="*", choices=list(CASES), default=list(CASES))
    parser.add_argument("--pool", type=Path)
    parser.add_argument("--out", type=Path)
    given = parser.parse_args()
    torch.set_num_threads(1)
    known = json.loads(given.pool.read_text()) if given.pool and given.pool.exists() else {}
    for task in given.tasks:
        if task not in known:
            known[task] = {
                name: pool(CASES[task], name, space, given.points)
                for name, space in (("ecdsep", AROUND), ("adamw", None))
            }
            if given.pool:
                given.pool.write_text(json.dumps(known))
    text = "\n".join(page(given, known)) + "\n"
    if given.out:
        given.out.write_text(text)
    print(text)


def page(given: argparse.Namespace, known: Mapping[str, Any]) -> list[str]:
    """Return the page's lines."""
    cases = {task: CASES[task] for task in given.tasks}
    others = {task: score(task, known[task]["adamw"], FEW) for task in cases}
    rows = []
    for title, bounds in RANGES.items():
        inside = {t: [p for p in known[t]["ecdsep"] if lies_in(p, bounds)] for t in cases}
        cells = [f"{behind(t, score(t, inside[t], FEW), others[t]):+.1f}" for t in cases]
        rows.append(f"| {title} | {len(inside[given.tasks[0]])} | {' | '.join(cells)} |")
    return [
        "# Ranges of ECDSep on eight generated tasks",
        "",
        *written_by(f"python -m benchmarks.ranges --points {given.points}"),
        "",
        f"Mean of the best of {FEW} random points: how much worse, in percent, than the best of "
        f"{FEW} random points of AdamW's default space; negative where ECDSep is better. "
        f"Accuracy or mean squared error on {VALIDATION} validation examples; a pool of "
        f"{given.points} points per task and optimizer, one seed.",
        "",
        f"| range | points | {' | '.join(case.title for case in cases.values())} |",
        "|---|---:|" + "---:|" * len(cases),
        f"| AdamW, value | | {' | '.join(f'{value:.4f}' for value in others.values())} |",
        *rows,
    ]


def score(task: str, points: Sequence[Mapping[str, Any]], few: int) -> float:
    """Return the mean of the best of some points of a task."""
    return best_of([point["value"] for point in points], few, CASES[task].classes)


def behind(task: str, value: float, other: float) -> float:
    """Return by how many percent a value is worse than another."""
    return 100 * (other - value) / other * (1 if CASES[task].classes else -1)


if __name__ == "__main__":
    main()
