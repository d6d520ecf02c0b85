"""Models of user tasks that are computed together, and reasons if they are not."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

import ecd_tune as et
from ecd_tune.objective import Job, Objective
from ecd_tune.records import RunRequest, Stage
from ecd_tune.spec import parse_study
from ecd_tune.tasks import StackableTask
from ecd_tune.testing.stacking import StackableTaskContract
from tests.tasks.own import own_tasks
from tests.tasks.own.own_tasks import WIDTH, numbers

HOME = __name__


class Normed(nn.Module):
    """With running statistics, a buffer that a step binds anew, a frozen and a tied parameter."""

    def __init__(self) -> None:
        super().__init__()
        self.first = nn.Linear(WIDTH, WIDTH)
        self.norm = nn.BatchNorm1d(WIDTH)
        self.second = nn.Linear(WIDTH, WIDTH)
        self.second.weight = self.first.weight
        self.last = nn.Linear(WIDTH, 2)
        self.last.bias.requires_grad_(False)
        self.register_buffer("seen", torch.zeros(()))

    def forward(self, x: Tensor) -> Tensor:
        if self.training:
            self.seen = 0.9 * self.seen + x.mean()
        x = self.norm(self.first(x)).relu()
        x = self.last(self.second(x))
        return x if self.training else x + self.seen  # a step is the same whenever it is made


def describe(run: Any, **changes: Any) -> None:
    given: dict[str, Any] = {
        "model": Normed(),
        "train": numbers(),
        "loss": lambda model, x, y: F.cross_entropy(model(x), y),
        "score": lambda model, x, y: (model(x).argmax(1) == y).float(),
    } | changes
    run.model(given["model"])
    run.data(train=given["train"], val=numbers(1), test=numbers(2), batch_size=16)
    run.loss(given["loss"])
    run.score(given["score"])


@et.task(metric="accuracy", direction="maximize", epochs=2)
def normed(run: Any) -> None:
    describe(run)


class TestNormed(StackableTaskContract):
    definition = normed.define(f"{HOME}:normed")
    difference, tolerance = 1e-3, 2e-2


def make(function: Callable[[Any], object]) -> Any:
    return et.task(metric="accuracy", direction="maximize", epochs=1)(function).make()


def test_statistics_move_as_in_each_model_alone() -> None:
    task = normed.make()
    alone = [task.build(seed, Stage.SEARCH) for seed in (3, 4)]
    stack = task.stack([task.build(seed, Stage.SEARCH) for seed in (3, 4)])
    for step in range(6):
        stack.closure([step, step])
        for problem in alone:
            problem.closure(step)
    stack.replace(0, task.build(9, Stage.SEARCH))
    for step in range(2):
        stack.closure([step, 6 + step + 2])
        alone[1].closure(6 + step + 2)
    fresh = task.build(9, Stage.SEARCH)
    for step in range(2):
        fresh.closure(step)
    for row, problem in enumerate((fresh, alone[1])):
        expected, found = problem.state_dict(), stack.problems[row].state_dict()
        assert expected.keys() == found.keys()
        assert float(expected["norm.num_batches_tracked"]) == (2 if row == 0 else 8)
        for name, value in expected.items():
            torch.testing.assert_close(found[name], value, rtol=1e-4, atol=1e-5)


@et.task(metric="accuracy", direction="maximize", epochs=2)
def dropped(run: Any) -> None:
    describe(run, model=nn.Sequential(nn.Linear(WIDTH, 4), nn.Dropout(0.5), nn.Linear(4, 2)))


class TestDropped(StackableTaskContract):
    definition = dropped.define(f"{HOME}:dropped")
    difference, tolerance = 1e-3, 2e-2


def noise_of_torch(run: Any) -> None:
    def loss(model: nn.Module, x: Tensor, y: Tensor) -> Tensor:
        return F.cross_entropy(model(x + torch.randn_like(x)), y)

    describe(run, loss=loss)


def branch(run: Any) -> None:
    def loss(model: nn.Module, x: Tensor, y: Tensor) -> Tensor:
        value = F.cross_entropy(model(x), y)
        return value * 2 if value > 1 else value

    describe(run, loss=loss)


def noise_of_numpy(run: Any) -> None:
    def loss(model: nn.Module, x: Tensor, y: Tensor) -> Tensor:
        return F.cross_entropy(model(x), y) * (1 + float(np.random.rand()))

    describe(run, loss=loss)


def own_weight(run: Any) -> None:
    weight = 1.0 + run.seed  # of which a stack knows that of its first row alone
    describe(run, loss=lambda model, x, y: weight * F.cross_entropy(model(x), y))


@pytest.mark.parametrize(
    ("function", "word"),
    [
        (noise_of_torch, "random"),
        (branch, "data-dependent"),
        (noise_of_numpy, "random numbers"),
        (own_weight, "different numbers when they are computed together"),
    ],
)
def test_unsupported_models_are_reported(function: Callable[[Any], object], word: str) -> None:
    task = make(function)
    assert isinstance(task, StackableTask)
    assert word in (task.why_not_stacked() or "")


def test_data_sets_and_loops_are_reported_as_unsupported() -> None:
    assert own_tasks.dataset.make().why_not_stacked() == "its data are not tensors"
    loop = make(lambda run: [None for _ in run.epochs()])
    assert loop.why_not_stacked() == "it has its own loop"


@pytest.mark.parametrize("stage", list(Stage))
def test_lanes_equal_single_runs(stage: Stage) -> None:
    spec = parse_study(
        {
            "name": "own",
            "task": {"name": f"{HOME}:normed"},
            "budget": {"trials": 1, "steps": 2},
            "optimizers": {"ecdsep": {"space": {"lr": 0.1, "eta": 1.5}}},
        }
    )
    objective = Objective(spec, "ecdsep")
    assert objective.why_not_stacked(stage) is None
    waiting = [RunRequest({"lr": 0.1, "eta": 1.5}, seed, stage) for seed in range(3)]
    outcomes = dict.fromkeys(range(3))

    def jobs(count: int) -> list[Job]:
        taken, waiting[:] = waiting[:count], waiting[count:]
        return [Job(r, partial(outcomes.__setitem__, r.seed)) for r in taken]

    objective.run_lanes(stage, jobs, 2)
    for seed, outcome in outcomes.items():
        (alone,) = objective.evaluate([RunRequest({"lr": 0.1, "eta": 1.5}, seed, stage)])
        assert outcome.value == pytest.approx(alone.value)
        assert outcome.metrics.keys() == alone.metrics.keys()
        assert outcome.metrics["val_loss"] == pytest.approx(alone.metrics["val_loss"], rel=1e-4)
        assert outcome.metrics["train_loss"] == pytest.approx(alone.metrics["train_loss"], rel=1e-4)


def test_tune_trains_trials_at_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    widths: list[int] = []
    run_lanes = Objective.run_lanes

    def see(self: Objective, stage: Stage, jobs: Any, width: int, stop: Any = None) -> None:
        widths.append(width)
        run_lanes(self, stage, jobs, width, stop)

    monkeypatch.setattr(Objective, "run_lanes", see)
    monkeypatch.setattr(Objective, "width", lambda self, stage, bound: bound)
    url = f"sqlite:///{tmp_path}/trials.db"
    study = et.tune(
        normed, ["adamw"], trials=6, confirm=2, batch=3, storage=url, out=tmp_path, check=False
    )
    stages = list(study.trials().stage)
    assert widths == [3] * len(set(stages))  # once in each stage
    assert (stages.count("search"), stages.count("confirm")) == (6, 2)
