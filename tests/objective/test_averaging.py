"""Means of weights: values, statistics, selection and resuming."""

from __future__ import annotations

import dataclasses
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
import torch

from ecd_tune.errors import SpecError
from ecd_tune.objective import Interrupted, Objective
from ecd_tune.objective.checkpoints.snapshots import Snapshots
from ecd_tune.objective.single import RunPlan, evaluate_single
from ecd_tune.objective.training.epoch_store import EpochStore
from ecd_tune.objective.training.means import Mean, Weights, mix
from ecd_tune.objective.training.speed import SPEED_METRICS
from ecd_tune.records import Direction, Outcome, RunCost, RunRequest, Stage, Status
from ecd_tune.spec import Averaging, StudySpec, TrainingSpec, parse_study
from ecd_tune.tasks.digits import DigitsProblem
from tests.objective.memory_checkpoint import MemoryCheckpoint

Table = Mapping[str, Any]


class Walk:
    """A parameter that is 1 after epoch 1, 2 after 2, …, with a statistic that follows it.

    Its loss is the distance of the *mean* from ``goal``; statistics of other parameters cost 1.
    """

    metric = "accuracy"
    steps_per_epoch = 1

    def __init__(self, goal: float) -> None:
        self.parameters = [torch.zeros(1, dtype=torch.float64, requires_grad=True)]
        self.statistic = torch.zeros(1, dtype=torch.float64)
        self.goal, self.renewed = goal, 0
        self.tested: list[float] = []

    def closure(self, step: int) -> torch.Tensor:
        self.parameters[0].grad = torch.tensor([-1.0], dtype=torch.float64)
        self.statistic = torch.tensor([step + 1.0], dtype=torch.float64)
        return torch.tensor(1.0)

    def evaluate(self, split: str) -> dict[str, float]:
        at = self.parameters[0].item()
        if split == "test":
            self.tested.append(at)
        stale = abs(at - self.statistic.item())
        return {"accuracy": -abs(at - self.goal) - stale, "loss": 1.0}

    def renew_statistics(self) -> None:
        self.renewed += 1
        self.statistic = self.parameters[0].detach().clone()

    def state_dict(self) -> dict[str, Any]:
        return {"statistic": self.statistic}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        self.statistic = state["statistic"].clone()


class Walks:
    def __init__(self, goal: float) -> None:
        self.goal = goal
        self.problems: list[Walk] = []

    def build(self, seed: int, stage: Stage) -> Any:
        self.problems.append(Walk(self.goal))
        return self.problems[-1]


@pytest.fixture
def temporary(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Return the folder in which temporary ones are made."""
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    return tmp_path


def walk(
    goal: float,
    averaging: Table,
    stage: Stage = Stage.CONFIRM,
    protocol: Any = "clean",
    epochs: int = 8,
) -> tuple[Outcome, Walk]:
    task: Any = Walks(goal)
    training = TrainingSpec(averaging=Averaging.model_validate(averaging))
    plan = RunPlan(epochs, Direction.MAXIMIZE, protocol, training.resolved(protocol == "paper"))
    outcome = evaluate_single(
        task,
        lambda problem, seed: torch.optim.SGD(problem.parameters, lr=1.0),
        RunRequest({}, 0, stage),
        plan,
    )
    return outcome, task.problems[0]


class TestSwa:
    def test_the_last_epochs_mean_gives_value_and_test_number(self) -> None:
        # Epochs 5 to 8: their mean is 6.5, and no epoch is as near to 6.4.
        outcome, problem = walk(6.4, {"kind": "swa", "start": 5})
        assert outcome.value == pytest.approx(-0.1)
        assert outcome.metrics["test_accuracy"] == pytest.approx(-0.1)
        assert (outcome.metrics["averaged_from"], outcome.metrics["averaged_to"]) == (5, 8)
        assert outcome.metrics["single_val_accuracy"] == pytest.approx(-0.4)
        assert outcome.metrics["single_test_accuracy"] == pytest.approx(-0.4)
        assert outcome.metrics["last_val_accuracy"] == pytest.approx(-1.6)
        assert outcome.metrics["best_epoch"] == 6
        assert outcome.curve.values == pytest.approx([-abs(k - 6.4) for k in range(9)])
        assert sorted(problem.tested) == pytest.approx([6.0, 6.5])

    def test_the_validation_split_chooses_among_starts(self) -> None:
        outcome, problem = walk(7.5, {"kind": "swa", "start": [3, 7, 5]}, Stage.SEARCH)
        assert outcome.metrics["averaged_from"] == 7
        assert outcome.value == pytest.approx(0.0)
        assert problem.renewed == 3
        assert problem.tested == []

    def test_the_paper_takes_the_best_mean_over_the_epochs(self) -> None:
        # Means from epoch 3 on: 3, 3.5, 4, …: that of epochs 3 to 5 hits 4.
        outcome, problem = walk(4.0, {"kind": "swa", "start": 3}, Stage.SEARCH, "paper")
        assert outcome.value == outcome.metrics["test_accuracy"] == pytest.approx(0.0)
        assert (outcome.metrics["averaged_from"], outcome.metrics["averaged_to"]) == (3, 5)
        assert problem.renewed == 6

    def test_the_papers_means_leave_a_curve(self) -> None:
        outcome, problem = walk(4.0, {"kind": "swa", "start": 3}, Stage.SEARCH, "paper")
        curve = outcome.curves["averaged_metric"]
        assert curve.steps == (3, 4, 5, 6, 7, 8)
        assert curve.values == pytest.approx([-abs((3 + k) / 2 - 4) for k in curve.steps])
        assert outcome.curves["metric"].steps == tuple(range(9))
        sparse, problem = walk(4.0, {"kind": "swa", "start": 3, "every": 3}, Stage.SEARCH, "paper")
        assert sparse.curves["averaged_metric"].steps == (3, 6, 8)
        assert sparse.value == pytest.approx(
            -0.5
        )  # the mean of 3 to 6; that to 5 was not evaluated
        assert problem.renewed == 3

    def test_a_clean_run_leaves_a_curve_where_asked_and_chooses_as_without(self) -> None:
        table = {"kind": "swa", "start": [3, 7]}
        plain, _ = walk(4.5, table, Stage.SEARCH)
        assert set(plain.curves) == {"metric", "train_loss"}
        traced, problem = walk(4.5, {**table, "every": 2}, Stage.SEARCH)
        assert (traced.value, traced.metrics["averaged_from"]) == (plain.value, 3)
        # The mean of epochs 3 to 6 is the best of all, and yet no candidate.
        assert traced.curves["averaged_metric"].steps == (4, 6, 8)
        assert traced.curves["averaged_metric"].values == pytest.approx([-1.0, 0.0, -1.0])
        assert problem.renewed == 4
        assert problem.parameters[0].item() == 8.0

    def test_statistics_may_be_averaged_instead(self) -> None:
        table = {"kind": "swa", "start": 5, "statistics": "average"}
        outcome, problem = walk(6.5, table, Stage.SEARCH)
        assert problem.renewed == 0
        assert outcome.value == pytest.approx(0.0)

    def test_averaging_does_not_change_training(self) -> None:
        _, problem = walk(4.0, {"kind": "swa", "start": 2}, Stage.SEARCH, "paper")
        assert problem.parameters[0].item() == 8.0
        assert problem.statistic.item() == 8.0


class TestPostHoc:
    def test_the_best_k_of_the_second_half_is_chosen(self) -> None:
        # Means of the last 1, 2, 3, 4 of 8 epochs: 8, 7.5, 7, 6.5.
        for goal, first in ((8.2, 8), (7.4, 7), (6.9, 6), (6.0, 5), (1.0, 5)):
            outcome, problem = walk(goal, {"kind": "post_hoc"}, Stage.SEARCH)
            assert outcome.metrics["averaged_from"] == first
            assert outcome.metrics["averaged_to"] == 8
            assert outcome.value == pytest.approx(-abs(goal - (first + 8) / 2))
            assert problem.renewed == 4

    def test_start_can_be_given(self) -> None:
        outcome, _ = walk(4.4, {"kind": "post_hoc", "start": 1}, Stage.SEARCH)
        assert outcome.metrics["averaged_from"] == 1

    def test_the_paper_averages_the_statistics(self) -> None:
        outcome, problem = walk(7.5, {"kind": "post_hoc"}, Stage.SEARCH, "paper")
        assert problem.renewed == 0
        assert outcome.value == outcome.metrics["test_accuracy"] == pytest.approx(0.0)

    def test_the_test_sees_the_chosen_mean(self) -> None:
        outcome, problem = walk(7.0, {"kind": "post_hoc"})
        assert outcome.metrics["test_accuracy"] == pytest.approx(0.0)
        assert sorted(problem.tested) == pytest.approx([7.0, 7.0])

    def test_temporary_files_are_removed(self, temporary: Path) -> None:
        walk(7.0, {"kind": "post_hoc"})
        assert list(temporary.iterdir()) == []

    def test_too_much_for_the_disk_is_refused_before_anything_is_written(
        self, temporary: Path
    ) -> None:
        with pytest.raises(Exception, match=r"weights of 4 epochs need .* max_gib = 1e-09"):
            walk(7.0, {"kind": "post_hoc", "max_gib": 1e-9})
        assert list(temporary.iterdir()) == []


def test_mean_of_weights() -> None:
    torch.manual_seed(0)
    rows = [[torch.randn(4, 3), torch.randn(2)] for _ in range(5)]
    mean = Mean()
    for number, row in enumerate(rows):
        mean.include(
            Weights([t.clone() for t in row], {"s": [row[1]], "count": torch.tensor(number)})
        )
    assert mean.weights is not None
    for index, tensor in enumerate(mean.weights.parameters):
        torch.testing.assert_close(tensor, torch.stack([row[index] for row in rows]).mean(0))
    expected = torch.stack([row[1] for row in rows]).mean(0)
    torch.testing.assert_close(mean.weights.state["s"][0], expected)  # type: ignore[index]
    assert int(mean.weights.state["count"]) == 4  # type: ignore[index]
    assert mix(1.0, 3.0, 0.25) == 1.5


def test_saved_weights_are_validated(temporary: Path) -> None:
    problem: Any = Walk(0.0)
    store = EpochStore(1.0, 2)
    store.keep(3, Weights.of(problem))
    store.check([3])
    with pytest.raises(ValueError, match="epoch 4 are missing"):
        store.check([3, 4])
    (path,) = temporary.glob("*/*")
    torch.save({"parameters": [torch.zeros(2)], "state": None}, path)
    with pytest.raises(ValueError, match="the parameters have"):
        store.take(3, problem)


# ---------------------------------------------------------- digits, stopped in the middle

EPOCHS, LENGTH = 6, 5


def study(protocol: str = "clean", **training: Any) -> StudySpec:
    return parse_study(
        {
            "name": "test",
            "protocol": protocol,
            "task": {"name": "digits", "hidden": 8, "batch_size": 128},
            "budget": {"trials": 1, "steps": EPOCHS},
            "training": training,
            "optimizers": {"ecdsep": {"space": PARAMS}},
        }
    )


PARAMS = {"lr": 0.3, "eta": 1.5, "nu": 1e-3}
SETTINGS: dict[str, Table] = {
    "swa": {"averaging": {"kind": "swa", "start": [2, 4], "every": 2}},
    "post_hoc": {"averaging": {"kind": "post_hoc"}},
    "all": {
        "averaging": {"kind": "post_hoc", "start": 3},
        "accumulate": 2,
        "clip": 0.5,
        "eval_every": 4,
        "schedule": {"name": "cosine", "warmup": 0.2},
    },
    "bf16": {"averaging": {"kind": "swa", "start": 3}, "accumulate": 2, "precision": "bf16"},
}


def held(handle: MemoryCheckpoint) -> list[int]:
    """Return the epochs whose weights a handle holds."""
    names = [name for name, part in handle.parts.items() if part.data is not None]
    return [int(name.rpartition("/")[2]) for name in names]


def run(
    spec: StudySpec,
    handle: Any = None,
    stop_at: int | None = None,
    stage: Stage = Stage.CONFIRM,
) -> Outcome:
    polls = iter(range(10**6))
    (outcome,) = Objective(spec, "ecdsep").evaluate(
        [RunRequest(PARAMS, 5, stage)],
        stop=None if stop_at is None else lambda: next(polls) == stop_at,
        checkpoints=[handle],
    )
    metrics = {k: v for k, v in outcome.metrics.items() if k not in SPEED_METRICS}
    return dataclasses.replace(outcome, cost=RunCost(), metrics=metrics)


SHORT = {("swa", "paper"), ("post_hoc", "clean")}
SLOW = pytest.mark.slow


@pytest.mark.parametrize(
    ("settings", "protocol"),
    [
        # Each kind of averaging in every test run, all combinations in the long one.
        pytest.param(settings, protocol, marks=() if (settings, protocol) in SHORT else SLOW)
        for settings in SETTINGS
        for protocol in ("clean", "paper")
    ],
)
def test_a_run_that_was_stopped_has_the_same_numbers(
    settings: str, protocol: str, temporary: Path
) -> None:
    spec = study(protocol, **SETTINGS[settings])
    plain = run(spec)
    assert plain.status is Status.COMPLETE
    assert "averaged_from" in plain.metrics
    length = LENGTH if "accumulate" in SETTINGS[settings] else 9
    for stop_at in (1, 3 * length + 2, 4 * length, EPOCHS * length - 1):
        handle = MemoryCheckpoint()
        with pytest.raises(Interrupted):
            run(spec, handle, stop_at)
        assert handle.data is not None
        assert run(spec, handle) == plain
    assert list(temporary.iterdir()) == []


def test_run_can_stop_between_two_candidates() -> None:
    spec, handle = study(**SETTINGS["post_hoc"]), MemoryCheckpoint()
    with pytest.raises(Interrupted):
        run(spec, handle, EPOCHS * 9 + 1)
    assert held(handle) == [4, 5, 6]
    assert run(spec, handle) == run(spec)


@pytest.mark.parametrize("stop_at", [4 * 9 + 2, EPOCHS * 9 - 1, EPOCHS * 9 + 1])
def test_weights_are_found_beside_the_checkpoint(
    stop_at: int, caplog: pytest.LogCaptureFixture
) -> None:
    spec, handle = study(**SETTINGS["post_hoc"]), MemoryCheckpoint()
    with pytest.raises(Interrupted):
        run(spec, handle, stop_at)
    done = stop_at // 9
    assert held(handle) == list(range(4, done + 1))
    assert run(spec, handle) == run(spec)
    assert "restarting" not in caplog.text
    assert held(handle) == []


def test_missing_epoch_weights_restart_the_run(caplog: pytest.LogCaptureFixture) -> None:
    spec, handle = study(**SETTINGS["post_hoc"]), MemoryCheckpoint()
    with pytest.raises(Interrupted):
        run(spec, handle, 5 * 9 + 1)
    next(part for name, part in handle.parts.items() if name.endswith("/4")).clear()
    assert run(spec, handle) == run(spec)
    assert "epoch 4 are missing" in caplog.text


def test_a_run_that_diverges_before_the_mean_begins_has_its_best_epoch(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    closure = DigitsProblem.closure
    monkeypatch.setattr(
        DigitsProblem,
        "closure",
        lambda self, step: closure(self, step) * (torch.inf if step == 12 else 1.0),
    )
    outcome = run(study(**SETTINGS["post_hoc"]))
    assert outcome.status is Status.DIVERGED
    assert outcome.value == outcome.metrics["val_accuracy"] == max(outcome.curve.values)
    assert "averaged_from" not in outcome.metrics


@pytest.mark.parametrize(
    ("averaging", "message"),
    [
        ({"kind": "swa"}, "swa needs start"),
        ({"kind": "swa", "start": 7}, "start = 7: a run has 6 epochs"),
        ({"kind": "swa", "start": [2, 9]}, "start = 9: a run has 6 epochs"),
        ({"kind": "post_hoc", "start": [2, 3]}, "post_hoc tries all starts"),
        ({"kind": "post_hoc", "every": 2}, "every is only for swa"),
        ({"kind": "swa", "start": 2, "every": 0}, "every: 0"),
        ({"kind": "ema", "start": 2}, "swa"),
    ],
)
def test_unsupported_averaging_is_refused(averaging: Table, message: str) -> None:
    with pytest.raises(SpecError, match=message):
        study(averaging=averaging)


def test_checkpoint_with_other_averaging_is_refused() -> None:
    one, other = study(**SETTINGS["swa"]), study(**SETTINGS["post_hoc"])
    handle = MemoryCheckpoint()
    with pytest.raises(Interrupted):
        run(one, handle, 30)
    held: Any = Snapshots(
        handle, Objective(other, "ecdsep")._identity(RunRequest(PARAMS, 5))
    ).load()
    assert held is None
