"""Optimizers of another library, as studies run them."""

from __future__ import annotations

import sys

import pytest
import torch

from ecd_tune.errors import HyperparameterError
from ecd_tune.objective import Objective
from ecd_tune.objective.training.stepping import Stepper
from ecd_tune.optim.definitions import OPTIMIZER_DEFS
from ecd_tune.optim.peers import make_muon, make_schedule_free
from ecd_tune.records import RunRequest, Stage, Status
from ecd_tune.registry import load_attribute
from ecd_tune.spec import parse_study
from ecd_tune.tasks.digits import make

PEERS = {"muon": {"lr": 0.02}, "soap": {"lr": 0.01}, "prodigy": {}, "schedule_free": {"lr": 0.02}}


def study(name, steps=4):
    return parse_study(
        {
            "name": "peers",
            "task": {"name": "digits", "hidden": 16},
            "budget": {"trials": 1, "steps": steps},
            "optimizers": {
                name: {"space": {"lr": OPTIMIZER_DEFS[name].hyperparameters["lr"].default}}
            },
        }
    )


@pytest.mark.parametrize("name", PEERS)
def test_peer_trains_digits(name):
    objective = Objective(study(name, 8), name)
    (outcome,) = objective.evaluate([RunRequest(PEERS[name], 3, Stage.CONFIRM)])
    assert outcome.status is Status.COMPLETE
    assert outcome.value > 0.8


@pytest.mark.parametrize("name", PEERS)
def test_the_declared_defaults_are_those_of_the_library(name):
    """They are the papers'; what is declared here must not drift from what is run."""
    declared = OPTIMIZER_DEFS[name].hyperparameters
    p = [torch.nn.Parameter(torch.ones(3, 3)), torch.nn.Parameter(torch.ones(3))]
    group = load_attribute(OPTIMIZER_DEFS[name].factory)(p, 0).param_groups[0]
    assert group["lr"] == declared["lr"].default
    assert group["weight_decay"] == declared["weight_decay"].default
    if "beta1" in declared:
        assert tuple(group["betas"]) == (declared["beta1"].default, declared["beta2"].default)


def test_muon_leaves_vectors_to_adamw():
    p = [torch.nn.Parameter(torch.ones(3, 3)), torch.nn.Parameter(torch.ones(3))]
    groups = make_muon(p, 0, lr=0.1, adamw_lr_ratio=0.5).param_groups
    assert [
        (g["use_muon"], g["lr"], g["params"][0] is q) for g, q in zip(groups, p, strict=True)
    ] == [
        (True, 0.1, True),
        (False, 0.05, True),
    ]


def test_schedule_free_evaluates_its_average_and_continues():
    problem = make(hidden=8).build(3, Stage.SEARCH)
    stepper = Stepper(problem, make_schedule_free(problem.parameters, 0, lr=0.05))
    for _ in range(20):
        stepper.step()
    before = [p.detach().clone() for p in problem.parameters]
    with stepper.evaluating():
        within = [p.detach().clone() for p in problem.parameters]
    assert not torch.allclose(before[0], within[0])
    for p, q in zip(problem.parameters, before, strict=True):
        torch.testing.assert_close(p.detach(), q, rtol=1e-4, atol=1e-6)


def test_missing_extra_is_named(monkeypatch):
    monkeypatch.setitem(sys.modules, "pytorch_optimizer", None)
    with pytest.raises(HyperparameterError, match=r"pip install 'ecd_tune\[peers\]'"):
        make_muon([torch.nn.Parameter(torch.ones(2, 2))], 0)
