"""Results of twenty trials with the default spaces, on six tasks that were not used to choose them.

    python -m benchmarks.defaults [--trials 200] [--seeds 3] [--long 1] [--again 10] [--storage URL]
                                  [--tasks wine ...] [--out docs/results/defaults.md]

For each seed, ECDSep and AdamW are searched with 20 trials, by TPE after their fixed first trials;
the first searches continue to 200 trials. The tasks are tables and generated data of scikit-learn,
and its digits as images; no other input is given. A value is the validation metric of a trial. On
small splits it is coarse, and the best of 200 trials is optimistic, for AdamW too. Therefore the
best trials of 20 and of 200 are run again under new seeds. A search stops at an accuracy of 1.
With ``--storage`` the searches are kept, and the same command continues.
"""

from __future__ import annotations

import argparse
import statistics
import tempfile
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
import torch
import torch.nn.functional as F
from sklearn import datasets
from torch import nn

import ecd_tune as et
from benchmarks.written import written_by

FEW = 20
CLOSE = 0.01
"""Tolerance: 1 % of the other value."""
COMPARED = ("ecdsep", "adamw")
NEW_SEEDS = 1000
"""Seed of the study whose trials run the best ones again."""


class Found(NamedTuple):
    """Best values of an optimizer's searches on a task."""

    few: list[float]
    """After 20 trials, one a seed."""
    many: list[float]
    """After all trials, one a long search."""
    worth: tuple[float, float] | None
    """Mean of the best of 20 and of all under new seeds, of the first search."""


@dataclass(frozen=True)
class Case:
    """One task.

    Attributes:
        title: Description, in one line.
        load: Returns inputs and targets.
        model: Makes the network.
        epochs: Length of a trial.
        classes: Classification by accuracy; else regression by the mean squared error of
            standardised targets, whose floor is not 0.
    """

    title: str
    load: Callable[[], tuple[Any, Any]]
    model: Callable[[], nn.Module]
    epochs: int
    classes: bool = True


def table(load: Callable[..., Any]) -> Callable[[], tuple[Any, Any]]:
    """Return a loader of one of scikit-learn's tables."""
    return lambda: load(return_X_y=True)


def images() -> tuple[Any, Any]:
    """Return the digits as images."""
    digits = datasets.load_digits()
    return digits.images[:, None] / 16, digits.target


def generated() -> tuple[Any, Any]:
    """Return 1 500 noisy examples of four classes in 20 dimensions."""
    return datasets.make_classification(
        1500, 20, n_informative=8, n_classes=4, flip_y=0.05, random_state=0
    )


def friedman() -> tuple[Any, Any]:
    """Return 1 200 noisy values of Friedman's first function of ten numbers."""
    return datasets.make_friedman1(1200, noise=1.0, random_state=0)


def mlp(*widths: int) -> Callable[[], nn.Module]:
    """Return what makes a multilayer perceptron with ReLU."""

    def make() -> nn.Module:
        layers: list[nn.Module] = []
        for before, after in pairwise(widths):
            layers += [nn.Linear(before, after), nn.ReLU()]
        return nn.Sequential(*layers[:-1])

    return make


def cnn() -> nn.Module:
    """Make a network of two convolutions with batch normalization."""
    return nn.Sequential(
        *(nn.Conv2d(1, 8, 3, padding=1), nn.BatchNorm2d(8), nn.ReLU(), nn.MaxPool2d(2)),
        *(nn.Conv2d(8, 16, 3, padding=1), nn.BatchNorm2d(16), nn.ReLU(), nn.MaxPool2d(2)),
        *(nn.Flatten(), nn.Linear(64, 10)),
    )


CASES = {
    "cancer": Case("breast cancer, MLP 30-32-2", table(datasets.load_breast_cancer),
                   mlp(30, 32, 2), 20),
    "wine": Case("wine, MLP 13-32-3", table(datasets.load_wine), mlp(13, 32, 3), 40),
    "diabetes": Case("diabetes, regression, MLP 10-32-1", table(datasets.load_diabetes),
                     mlp(10, 32, 1), 20, classes=False),
    "friedman": Case("Friedman's function, regression, MLP 10-64-64-1", friedman,
                     mlp(10, 64, 64, 1), 20, classes=False),
    "generated": Case("four generated classes, MLP 20-64-4", generated, mlp(20, 64, 4), 15),
    "images": Case("digits as images, two convolutions with batch norm", images, cnn, 4),
}  # fmt: skip


def make_task(name: str) -> Any:
    """Return a user task, split 60 : 20 : 20 at random, with standardised inputs."""
    case = CASES[name]
    x, y = (np.asarray(values) for values in case.load())
    order = np.random.default_rng(0).permutation(len(y))
    parts = np.split(order, [int(0.6 * len(y)), int(0.8 * len(y))])
    if x.ndim == 2:
        x = (x - x[parts[0]].mean(0)) / x[parts[0]].std(0)
    if not case.classes:
        y = ((y - y[parts[0]].mean()) / y[parts[0]].std())[:, None]
    x = x.astype(np.float32)
    y = y.astype(np.int64 if case.classes else np.float32)
    train, val, test = ((x[rows], y[rows]) for rows in parts)

    def described(run: Any) -> None:
        run.model(case.model())
        run.data(train=train, val=val, test=test, batch_size=32)
        if case.classes:
            run.loss(lambda model, x, y: F.cross_entropy(model(x), y))
            run.score(lambda model, x, y: (model(x).argmax(1) == y).float())
        else:
            run.loss(lambda model, x, y: F.mse_loss(model(x), y))
            run.score(lambda model, x, y: (model(x) - y).square().mean(1))

    described.__name__ = described.__qualname__ = name
    # Found by its reference in this module.
    described.__module__ = __name__
    metric, direction = ("accuracy", "maximize") if case.classes else ("error", "minimize")
    return et.task(metric=metric, direction=direction, epochs=case.epochs)(described)


globals().update({name: make_task(name) for name in CASES})


def search(name: str, optimizer: str, trials: int, seed: int, url: str) -> pd.DataFrame:
    """Return the trials of one search, in order."""
    return run(name, {optimizer: {}}, trials, seed, url, f"{name}-{optimizer}-{seed}")


def run(
    name: str, optimizers: Mapping[str, Any], trials: int, seed: int, url: str, title: str
) -> pd.DataFrame:
    """Return the trials of a study of one optimizer, in order."""
    study = et.tune(
        globals()[name],
        optimizers=optimizers,
        trials=trials,
        seed=seed,
        confirm=0,
        selection=0,
        storage=url,
        name=title,
        check=False,
    )
    return study.trials().sort_values("number")[:trials]


def best(name: str, table: pd.DataFrame) -> pd.Series:
    """Return the trial with the best value."""
    values = table.value.astype(float)
    return table.loc[values.idxmax() if CASES[name].classes else values.idxmin()]


def again(name: str, table: pd.DataFrame, runs: int, url: str) -> tuple[float, float]:
    """Return what the best of 20 trials, and of all, are worth under new seeds.

    Args:
        name: Task.
        table: Trials of one search of ECDSep.
        runs: Seeds of each.
        url: Database.

    Returns:
        Mean validation values.
    """
    first: list[dict[str, Any]] = []
    for place, trial in enumerate((best(name, table[:FEW]), best(name, table))):
        searched = trial.filter(like="params_").dropna()
        params = {key.removeprefix("params_"): value for key, value in searched.items()}
        if "s" in params:
            params["s"] = int(params["s"])
        first += [{"label": f"{place}-{number}", "params": params} for number in range(runs)]
    own = {"again": {"optimizer": "ecdsep", "first": first}}
    values = run(name, own, 2 * runs, NEW_SEEDS, url, f"{name}-again").value.astype(float)
    return float(values[:runs].mean()), float(values[runs:].mean())


def searches(name: str, optimizer: str, given: argparse.Namespace, url: str) -> Found:
    """Return the best values of an optimizer's searches on a task.

    Args:
        name: Task.
        optimizer: Key.
        given: Arguments of the command.
        url: Database.

    Returns:
        After 20 trials, one a seed, and after all of them, one a long search; and what both are
        worth.
    """
    few = [best(name, search(name, optimizer, FEW, seed, url)).value for seed in range(given.seeds)]
    perfect = [CASES[name].classes and value == 1 for value in few]
    many, worth = [], None
    for seed in range(given.long):
        if perfect[seed]:
            many.append(few[seed])
            continue
        table = search(name, optimizer, given.trials, seed, url)
        many.append(best(name, table).value)
        if seed == 0 and optimizer == "ecdsep" and given.again:
            worth = again(name, table, given.again, url)
    return Found(few, many, worth)


def main() -> None:
    """Run all searches and print the page."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--trials", type=int, default=200)
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--long", type=int, default=1)
    parser.add_argument("--again", type=int, default=10)
    parser.add_argument("--tasks", nargs="*", choices=list(CASES), default=list(CASES))
    parser.add_argument("--storage")
    parser.add_argument("--out", type=Path)
    given = parser.parse_args()
    torch.set_num_threads(1)
    rows = []
    with tempfile.TemporaryDirectory() as folder:
        url = given.storage or f"sqlite:///{Path(folder) / 'defaults.db'}"
        for name in given.tasks:
            rows.append(row(name, *(searches(name, key, given, url) for key in COMPARED)))
            print(rows[-1], flush=True)
    text = "\n".join(page(given, rows)) + "\n"
    if given.out:
        given.out.write_text(text)
    print(text)


def row(name: str, ecdsep: Found, adamw: Found) -> str:
    """Return a line of the table: means over seeds, and who is level."""
    sign = 1 if CASES[name].classes else -1

    def short(value: float, other: float, *, marked: bool = True) -> str:
        behind = sign * (other - value) / abs(other)
        return f"{100 * behind:+.1f} %{' ✗' if marked and behind > CLOSE else ''}"

    few, many, other, others = (
        statistics.fmean(values) for found in (ecdsep, adamw) for values in found[:2]
    )
    cells = [CASES[name].title]
    for found in (ecdsep, adamw):
        ends = f"{min(found.few):.4f}–{max(found.few):.4f}"
        cells += [
            f"{statistics.fmean(found.few):.4f} ({ends})",
            f"{statistics.fmean(found.many):.4f}",
        ]
    cells += [short(few, other), short(few, many), short(other, others, marked=False)]
    cells.append("–" if ecdsep.worth is None else short(*ecdsep.worth, marked=False))
    return "| " + " | ".join(cells) + " |"


def page(given: argparse.Namespace, rows: list[str]) -> list[str]:
    """Return the page's lines."""
    command = (
        f"python -m benchmarks.defaults --trials {given.trials} --seeds {given.seeds} "
        f"--long {given.long} --again {given.again}"
    )
    return [
        "# Default search spaces on six tasks",
        "",
        *written_by(command),
        "",
        f"Best validation value: mean (lowest–highest) over {given.seeds} searches of {FEW} "
        f"trials, and over {given.long} of {given.trials}; accuracy, or for regression the mean "
        "squared error of standardised targets. “Behind”: how much worse, in percent of the "
        f"other value; ✗ marks more than {100 * CLOSE:.0f} %. Last column: mean over "
        f"{given.again} new seeds of the best trials of {FEW} and of {given.trials} of the first "
        "search. No test data are used.",
        "",
        f"| task | ECDSep, {FEW} | {given.trials} | AdamW, {FEW} | {given.trials} | "
        f"ECDSep behind AdamW, {FEW} | ECDSep behind its {given.trials} | "
        f"AdamW behind its {given.trials} | ECDSep behind its {given.trials}, new seeds |",
        "|---|---:|---:|---:|---:|---:|---:|---:|---:|",
        *rows,
    ]


if __name__ == "__main__":
    main()
