"""The test split is evaluated with parameters and state of the best epoch."""

from __future__ import annotations

from typing import Any

import pytest
import torch

from ecd_tune.objective.checkpoints.interrupt import Interrupted
from ecd_tune.objective.checkpoints.snapshots import CheckpointTimer
from ecd_tune.objective.training.epochs import Training
from ecd_tune.objective.training.evaluator import Evaluator
from ecd_tune.objective.training.stepping import Stepper
from ecd_tune.records import Direction, RunCost, Stage


class Drifting:
    """One step per epoch; parameter and running state both count them, epoch 2 is the best."""

    metric = "accuracy"
    steps_per_epoch = 1

    def __init__(self) -> None:
        self.parameters = [torch.zeros(1, requires_grad=True)]
        self.state = torch.zeros(1)
        self.tested: list[tuple[float, float]] = []

    def closure(self, step: int) -> torch.Tensor:
        self.parameters[0].grad = torch.tensor([-1.0])
        self.state = self.state + 1
        return torch.tensor(1.0)

    def evaluate(self, split: str) -> dict[str, float]:
        epoch = self.parameters[0].item()
        if split == "test":
            self.tested.append((epoch, self.state.item()))
        return {"accuracy": 1.0 - abs(epoch - 2) / 10, "loss": 1.0}

    def state_dict(self) -> dict[str, Any]:
        return {"state": self.state}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        self.state = state["state"].clone()


def start() -> tuple[Drifting, Training]:
    problem = Drifting()
    stepper = Stepper(problem, torch.optim.SGD(problem.parameters, lr=1.0))
    evaluator = Evaluator(problem, stepper.batches, "accuracy", Direction.MAXIMIZE)
    return problem, Training(stepper, evaluator, 5)


def test_the_test_sees_parameters_and_state_of_the_best_epoch() -> None:
    problem, training = start()
    training.proceed(CheckpointTimer(None, None, 0.0))
    outcome = training.outcome(None, Stage.CONFIRM, RunCost)
    assert outcome.metrics["best_epoch"] == 2
    assert problem.tested == [(2.0, 2.0)]


def test_the_best_state_survives_a_checkpoint() -> None:
    _, first = start()
    calls = iter([False] * 4 + [True])
    with pytest.raises(Interrupted):
        first.proceed(CheckpointTimer(lambda: next(calls), None, 0.0))
    problem, second = start()
    second.load_state_dict(first.state_dict())
    second.proceed(CheckpointTimer(None, None, 0.0))
    second.outcome(None, Stage.CONFIRM, RunCost)
    assert problem.tested == [(2.0, 2.0)]


class Falling(Drifting):
    """The state before training is better than all that comes after it."""

    def evaluate(self, split: str) -> dict[str, float]:
        epoch = self.parameters[0].item()
        return {"accuracy": 1.0 if epoch == 0 else 0.5, "loss": abs(epoch - 3) + 0.5}


def train(problem: Drifting) -> dict[str, float]:
    stepper = Stepper(problem, torch.optim.SGD(problem.parameters, lr=1.0))
    evaluator = Evaluator(problem, stepper.batches, "accuracy", Direction.MAXIMIZE)
    training = Training(stepper, evaluator, 5)
    reason = training.proceed(CheckpointTimer(None, None, 0.0))
    return dict(training.outcome(reason, Stage.SEARCH, RunCost).metrics)


def test_the_state_before_training_is_no_result_of_it() -> None:
    metrics = train(Falling())
    # Five epochs are level; the loss tells them apart.
    assert (metrics["best_epoch"], metrics["val_accuracy"]) == (3, 0.5)


def test_a_run_that_diverges_at_once_has_the_value_of_its_start() -> None:
    class Diverging(Falling):
        def closure(self, step: int) -> torch.Tensor:
            return torch.tensor(float("nan"))

    metrics = train(Diverging())
    assert (metrics["best_epoch"], metrics["val_accuracy"]) == (0, 1.0)
