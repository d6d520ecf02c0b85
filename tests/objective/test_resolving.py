"""Trials with derived hyperparameters, run by run and as a batch."""

import math
from types import SimpleNamespace

import pytest
import torch

from ecd_tune.errors import TaskError
from ecd_tune.objective import Objective
from ecd_tune.objective.resolving import Resolving
from ecd_tune.records import RunRequest, Stage, Status
from ecd_tune.registry import OPTIMIZERS, load_attribute
from ecd_tune.spec import parse_study
from ecd_tune.tasks.digits import make as make_digits


def objective(task, optimizer="ecdsep", **options):
    return Objective(
        parse_study(
            {
                "name": "resolving",
                "task": {"name": task, **options},
                "budget": {"trials": 2, "steps": 5},
                "optimizers": {optimizer: {"space": {"eta": 1} if "ecd" in optimizer else {}}},
            }
        ),
        optimizer,
    )


def test_nu_sqrt_n_is_converted_to_nu_and_recorded():
    digits = objective("digits", model="logistic")
    n = 64 * 10 + 10
    nu = 2.0 / math.sqrt(n)
    searched, given = digits.evaluate(
        [RunRequest({"eta": 1.0, "nu_sqrt_n": 2.0}, 3), RunRequest({"eta": 1.0, "nu": nu}, 3)]
    )
    assert searched.metrics["resolved_nu"] == nu
    assert "resolved_nu" not in given.metrics
    assert searched.curve == given.curve
    assert searched.status is Status.COMPLETE


@pytest.mark.parametrize("optimizer", ["ecdsep", "ecdsep_f0", "ecdq1", "sgd"])
def test_searched_scale_is_applied_to_its_group(optimizer):
    own = {"eta": 3, "nu": 0.0} if optimizer != "sgd" else {}
    digits = objective("digits", optimizer, model="logistic")
    params = {**own, "lr": 0.05, "scale.matrices": 3.0}
    (outcome,) = digits.evaluate([RunRequest(params, 3)])
    assert outcome.status is Status.COMPLETE
    problem = make_digits(model="logistic").build(3, Stage.SEARCH)
    weight, bias = problem.parameters
    groups = [{"params": [weight], "scale": 3.0}, {"params": [bias]}]
    made = load_attribute(OPTIMIZERS.get(optimizer).factory)(groups, 3, **own, lr=0.05)
    steps = range(5 * problem.steps_per_epoch)
    losses = [made.step(lambda step=step: problem.closure(step)).item() for step in steps]
    last = losses[-problem.steps_per_epoch :]
    assert outcome.curves["train_loss"].values[-1] == pytest.approx(sum(last) / len(last), rel=1e-9)


def test_task_without_groups_is_an_error():
    bare = SimpleNamespace(parameters=[torch.zeros(1)], steps_per_epoch=1, metric=None)
    spec = objective("digits")._spec.optimizers["ecdsep"]
    with pytest.raises(TaskError, match=r"scale\.matrices: the task has no parameter groups"):
        Resolving(spec, None).single(bare, 0, **{"eta": 1.0, "scale.matrices": 2.0})


def test_each_row_of_a_batch_has_its_own():
    zakharov = objective("zakharov", n=4)
    rows = [
        RunRequest({"eta": 1.5, "lr": 0.1, "nu_sqrt_n": 1.0}, 1),
        RunRequest({"eta": 1.5, "lr": 0.1, "nu": 0.5}, 1),
        RunRequest({"eta_eff": 4.0, "lr": 0.1, "nu": 0.0}, 1),
    ]
    outcomes = zakharov.evaluate(rows)
    found = [outcome.metrics.get("resolved_nu") for outcome in outcomes]
    assert found == [0.5, None, None]
    # ν = 0 never turns Π, so that η_eff is η.
    assert outcomes[2].metrics["resolved_eta"] == pytest.approx(4.0)
    assert outcomes[0].curve == outcomes[1].curve
    assert zakharov.evaluate(rows[:1])[0].metrics["resolved_nu"] == 0.5


def test_searched_schedule_equals_that_of_the_training_table():
    request = RunRequest({"lr": 0.5, "schedule": "linear", "schedule_final": 0.5}, 7)
    searched = objective("digits", "sgd", model="logistic")
    table = {"schedule": {"name": "linear", "final": 0.5}}
    named = Objective(
        parse_study(
            {
                "name": "named",
                "task": {"name": "digits", "model": "logistic"},
                "budget": {"trials": 2, "steps": 5},
                "training": table,
                "optimizers": {"sgd": {"space": {}}},
            }
        ),
        "sgd",
    )
    (one,) = searched.evaluate([request])
    (other,) = named.evaluate([RunRequest({"lr": 0.5}, 7)])
    (constant,) = searched.evaluate([RunRequest({"lr": 0.5}, 7)])
    assert one.curve == other.curve
    assert (
        one.metrics["train_loss"] == other.metrics["train_loss"] != constant.metrics["train_loss"]
    )


def test_value_below_the_threshold_is_zero_and_recorded():
    table = {
        "name": "zero",
        "task": {"name": "digits", "model": "logistic"},
        "budget": {"trials": 2, "steps": 3},
        "optimizers": {
            "sgd": {
                "space": {
                    "lr": 0.1,
                    "weight_decay": {"low": 0.1, "high": 10.0, "zero": {"below": 1.0}},
                }
            }
        },
    }
    sgd = Objective(parse_study(table), "sgd")
    none, small, large = sgd.evaluate(
        [RunRequest({"lr": 0.1, "weight_decay": wd}, 3) for wd in (0.0, 0.99, 1.0)]
    )
    assert small.curves == none.curves
    assert small.metrics["resolved_weight_decay"] == 0.0
    assert not any(name.startswith("resolved") for name in (*none.metrics, *large.metrics))
    assert large.curves != none.curves
