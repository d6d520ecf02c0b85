"""Examples and seconds of the training steps, without the time between epochs."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest
import torch

from ecd_tune.objective.training.batches import Batches
from ecd_tune.objective.training.speed import Speed
from ecd_tune.objective.training.stepping import Stepper
from ecd_tune.records import Stage
from ecd_tune.tasks.digits import make


def test_time_between_epochs_is_excluded() -> None:
    clock: Any = SimpleNamespace(now=100.0)
    problem = make(hidden=8, batch_size=64).build(3, Stage.SEARCH)
    batches = Batches(problem)
    stepper = Stepper(problem, torch.optim.SGD(problem.parameters, lr=0.1), batches=batches)
    measured = Speed(stepper, lambda: clock.now)
    assert "examples_per_second" not in measured.metrics()
    stepper.step()  # before the measurement begins
    for steps, seconds in ((2, 3.0), (1, 0.5), (3, 1.5)):
        clock.now += 1000.0  # the model is evaluated
        measured.begin()
        for _ in range(steps):
            stepper.step()
        clock.now += seconds
        measured.pause()
    examples = sum(batches.examples(step) for step in range(1, 7))
    assert measured.metrics()["examples_per_second"] == pytest.approx(examples / 5.0)
