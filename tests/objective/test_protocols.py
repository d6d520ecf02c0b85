"""The data that trains and the split that is evaluated, under both protocols."""

from __future__ import annotations

from typing import Any

import pytest

from ecd_tune.objective import Objective
from ecd_tune.objective.training.protocols import builder
from ecd_tune.records import RunRequest, Stage
from ecd_tune.spec import StudySpec, parse_study
from ecd_tune.tasks import PublishedTask
from ecd_tune.tasks.digits import DigitsProblem, make

PARAMS = {"lr": 0.1, "momentum": 0.9}


def study(protocol: str) -> StudySpec:
    return parse_study(
        {
            "name": "test",
            "protocol": protocol,
            "task": {"name": "digits", "hidden": 8, "batch_size": 128},
            "budget": {"steps": 4},
            "sampler": {"name": "grid"},
            "optimizers": {"sgd": {"space": {"lr": [0.1, 0.01], "momentum": 0.9}}},
        }
    )


@pytest.fixture
def evaluated_splits(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The splits that were evaluated, in order."""
    seen: list[str] = []
    evaluate = DigitsProblem.evaluate

    def record(self: DigitsProblem, split: Any) -> Any:
        seen.append(split)
        return evaluate(self, split)

    monkeypatch.setattr(DigitsProblem, "evaluate", record)
    return seen


def run(protocol: str, stage: Stage) -> Any:
    (outcome,) = Objective(study(protocol), "sgd").evaluate([RunRequest(PARAMS, 3, stage)])
    return outcome


@pytest.mark.parametrize("stage", list(Stage))
def test_paper_protocol_evaluates_every_epoch_on_the_test_split(
    stage: Stage, evaluated_splits: list[str]
) -> None:
    outcome = run("paper", stage)
    assert evaluated_splits == ["test"] * 5
    assert outcome.value == outcome.metrics["test_accuracy"] == max(outcome.curve.values)
    assert not any(name.startswith("val_") for name in outcome.metrics)


def test_the_clean_protocol_reads_the_test_split_once_and_at_the_end(
    evaluated_splits: list[str],
) -> None:
    run("clean", Stage.SEARCH)
    assert evaluated_splits == ["val"] * 5
    evaluated_splits.clear()
    outcome = run("clean", Stage.CONFIRM)
    assert evaluated_splits == ["val"] * 5 + ["test"]
    assert outcome.value == outcome.metrics["val_accuracy"]


def test_the_steps_of_both_protocols_are_the_same_where_the_data_are() -> None:
    paper, clean = run("paper", Stage.SEARCH), run("clean", Stage.SEARCH)
    assert paper.metrics["train_loss"] == clean.metrics["train_loss"]
    assert paper.curve != clean.curve


class Published:
    """A task that says how it was built."""

    def build(self, seed: int, stage: Stage) -> Any:
        return ("own", seed, stage)

    def build_published(self, seed: int) -> Any:
        return ("published", seed)


def test_published_training_data_are_the_papers_alone() -> None:
    task: Any = Published()
    assert isinstance(task, PublishedTask)
    assert builder(task, "clean")(4, Stage.SEARCH) == ("own", 4, Stage.SEARCH)
    assert builder(task, "paper")(4, Stage.SEARCH) == ("published", 4)
    problem = builder(make(), "paper")(4, Stage.SEARCH)
    assert "loss" in problem.evaluate("test")
