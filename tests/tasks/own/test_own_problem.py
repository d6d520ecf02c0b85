"""Tasks that describe a model: steps and evaluations."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import nn
from torch.utils.data import DataLoader, IterableDataset, TensorDataset

import ecd_tune as et
from ecd_tune.errors import TaskError
from ecd_tune.objective.training.hardware import prepare_network
from ecd_tune.records import Stage
from ecd_tune.spec import TrainingSpec
from ecd_tune.tasks import NetworkProblem
from ecd_tune.testing.contracts import TaskContract
from tests.tasks.own import own_tasks
from tests.tasks.own.own_tasks import COUNT, WIDTH, numbers

HOME = own_tasks.__name__


class TestTensors(TaskContract):
    definition = own_tasks.tensors.define(f"{HOME}:tensors")
    difference, tolerance = 1e-3, 2e-2


class TestDataSet(TaskContract):
    definition = own_tasks.dataset.define(f"{HOME}:dataset")
    difference, tolerance = 1e-3, 2e-2


def build(function: Callable[[Any], object], stage: Stage = Stage.SEARCH, metric: str = "accuracy"):
    """Build the problem of a function."""
    direction = "minimize" if metric == "loss" else "maximize"
    return et.task(metric=metric, direction=direction, epochs=1)(function).make().build(3, stage)


def linear(run: Any, **changes: Any) -> None:
    """Describe a linear classifier, with changes."""
    given = {
        "model": nn.Linear(WIDTH, 2),
        "data": {"train": numbers(), "val": numbers(1), "test": numbers(2), "batch_size": 16},
        "loss": lambda model, x, y: F.cross_entropy(model(x), y),
        "score": lambda model, x, y: (model(x).argmax(1) == y).float(),
    } | changes
    run.model(given["model"])
    run.data(**given["data"])
    run.loss(given["loss"])
    if given["score"] is not None:
        run.score(given["score"])


def test_last_batch_is_weighted_by_its_size() -> None:
    problem = build(linear)
    assert (COUNT, problem.steps_per_epoch) == (50, 4)
    assert [problem.examples(step) for step in range(8)] == [16, 16, 16, 2] * 2
    x, y = numbers(1)
    with torch.no_grad():
        logits = problem.description.model(x)
    metrics = problem.evaluate("val")
    assert metrics["accuracy"] == pytest.approx(float((logits.argmax(1) == y).double().mean()))
    assert metrics["loss"] == pytest.approx(float(F.cross_entropy(logits, y)), rel=1e-6)


def test_a_mean_and_one_number_each_are_the_same_score() -> None:
    def mean(model: nn.Module, x: torch.Tensor, y: torch.Tensor) -> float:
        return float((model(x).argmax(1) == y).float().mean())

    each, means = build(linear), build(lambda run: linear(run, score=mean))
    assert each.evaluate("val")["accuracy"] == pytest.approx(means.evaluate("val")["accuracy"])


def test_an_epoch_sees_each_example_once() -> None:
    seen: list[torch.Tensor] = []

    def loss(model: nn.Module, x: torch.Tensor, y: torch.Tensor) -> torch.Tensor:
        seen.append(x)
        return F.cross_entropy(model(x), y)

    problem = build(lambda run: linear(run, loss=loss))
    for step in range(problem.steps_per_epoch):
        problem.closure(step)
    first = torch.cat(seen)
    assert torch.equal(first.sort(0).values, numbers()[0].sort(0).values)
    seen.clear()
    for step in range(problem.steps_per_epoch):
        problem.closure(problem.steps_per_epoch + step)
    assert not torch.equal(torch.cat(seen), first)  # shuffled anew


def test_arrays_are_converted_to_tensors() -> None:
    x, y = (tensor.numpy() for tensor in numbers())
    data = {"train": (x.astype(np.float64), y.astype(np.int32)), "val": (x, y), "batch_size": 50}
    problem = build(lambda run: linear(run, data=data))
    assert float(problem.closure(0)) == pytest.approx(problem.evaluate("val")["loss"], rel=1e-6)


def test_the_loss_may_be_the_metric() -> None:
    problem = own_tasks.regression.make().build(0, Stage.SEARCH)
    assert problem.metric == "loss"
    assert set(problem.evaluate("val")) == {"loss"}
    assert problem.evaluate("val")["loss"] == pytest.approx(problem.evaluate("train")["loss"])


def test_statistics_can_be_renewed() -> None:
    problem = own_tasks.tensors.make().build(0, Stage.SEARCH)
    norm = problem.description.model.layers[1]
    norm.running_mean.fill_(7.0)
    problem.renew_statistics()
    assert norm.momentum == 0.1
    with torch.no_grad():
        mean = problem.description.model.layers[0](numbers()[0]).mean(0)
    # Every batch has the same weight, the last one too, which is smaller.
    torch.testing.assert_close(norm.running_mean, mean, atol=0.3, rtol=0)


def nothing(run: Any) -> None:
    """Say nothing."""


def without_test(run: Any) -> None:
    linear(run, data={"train": numbers(), "val": numbers(1), "batch_size": 16})


class Stream(IterableDataset):
    """A data set without numbers."""

    def __iter__(self):
        return iter(())


def data(**changes: Any) -> Callable[[Any], None]:
    """Describe a task with other data."""
    given = {"train": numbers(), "val": numbers(1), "batch_size": 16} | changes
    return lambda run: linear(run, data=given)


@pytest.mark.parametrize(
    ("function", "message"),
    [
        (nothing, "made no calls on run; call run.model"),
        (lambda run: run.model(nn.Linear(2, 2)), r"does not call run\.data\(…\), run\.loss\(…\)"),
        (lambda run: linear(run, score=None), r"does not call run\.score\(…\), which returns 'acc"),
        (lambda run: linear(run, model=3), "needs a torch.nn.Module; got int"),
        (lambda run: linear(run, model=nn.ReLU()), "no parameter of the model requires"),
        (lambda run: linear(run, loss=3), "run.loss: needs a function; got int"),
        (data(batch_size=0), "batch_size = 0: must be a whole number, >= 1"),
        (data(val=None), r"run\.data\(val=None\): is missing"),
        (data(train=DataLoader(TensorDataset(*numbers()))), "pass its dataset, with batch_size"),
        (data(train=Stream()), "IterableDataset, without random access"),
        (
            data(train=(numbers()[0], numbers()[1][:3])),
            "the same first dimension, the number of examples; got",
        ),
        (data(train=(torch.zeros(0, 2), torch.zeros(0))), "has no examples"),
        (data(train={"x": 1}), "contains dict; pass tensors or arrays"),
    ],
)
def test_invalid_descriptions_are_errors(function: Callable[[Any], None], message: str) -> None:
    with pytest.raises(TaskError, match=message):
        build(function)


def test_a_confirmation_needs_test_data() -> None:
    build(without_test)
    with pytest.raises(TaskError, match="required for a confirmation, not with confirm=0"):
        build(without_test, Stage.CONFIRM)


@pytest.mark.parametrize(
    ("loss", "message"),
    [
        (lambda m, x, y: F.cross_entropy(m(x), y, reduction="none"), r"\(16,\)"),
        (lambda m, x, y: 3.0, "float"),
        (lambda m, x, y: F.cross_entropy(m(x), y).detach(), "a loss without a gradient"),
    ],
)
def test_invalid_loss_names_its_function(loss: Any, message: str) -> None:
    problem = build(lambda run: linear(run, loss=loss))
    with pytest.raises(TaskError, match=rf"test_own_problem\.py, line \d+\) (returned )?{message}"):
        problem.closure(0)


def test_a_score_of_another_shape_names_its_function() -> None:
    problem = build(lambda run: linear(run, score=lambda m, x, y: torch.ones(2, 3)))
    with pytest.raises(TaskError, match=r"returned shape \(2, 3\) for 16 examples"):
        problem.evaluate("val")


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"metric": "top 5"}, "must be one word"),
        ({"direction": "up"}, 'must be "minimize" or "maximize"'),
        ({"metric": "loss"}, "a loss is minimized"),
        ({"epochs": 0}, "must be a whole number, >= 1"),
    ],
)
def test_the_decorator_checks_what_it_is_given(given: dict[str, Any], message: str) -> None:
    with pytest.raises(TaskError, match=message):
        et.task(**{"metric": "accuracy", "direction": "maximize", "epochs": 1, **given})


@pytest.mark.parametrize("training", [{"memory_format": "channels_last"}, {"compile": True}])
def test_the_training_table_reaches_the_model(
    training: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    """It has a network that can be compiled, or given images in another memory format."""
    compiled: list[nn.Module] = []
    monkeypatch.setattr(nn.Module, "compile", lambda self: compiled.append(self))
    problem = build(linear)
    prepare_network(problem, TrainingSpec.model_validate(training))
    assert isinstance(problem, NetworkProblem)
    assert (compiled == [problem.network]) == ("compile" in training)
    assert problem.closure(0).isfinite()


def test_non_numeric_score_names_its_function() -> None:
    problem = build(lambda run: linear(run, score=lambda model, x, y: "good"))
    with pytest.raises(TaskError, match=r"run\.score: .*test_own_problem\.py.* returned str"):
        problem.evaluate("val")
