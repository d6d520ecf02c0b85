"""Diagnostics of the optimizer, stored per epoch on request."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from ecd_tune.objective import Objective
from ecd_tune.optim import ECDSep
from ecd_tune.records import Outcome, RunRequest
from ecd_tune.spec import StudySpec, parse_study

PARAMS = {"lr": 0.3, "eta": 2.0, "nu": 1e-3, "s": 1}


def digits(**training: Any) -> StudySpec:
    spaces = {"ecdsep": PARAMS, "ecdsep_f0": {**PARAMS, "eta": 1}, "sgd": {"lr": 0.1}}
    return parse_study(
        {
            "name": "test",
            "task": {"name": "digits", "model": "logistic", "batch_size": 512},
            "budget": {"trials": 1, "steps": 3},
            "training": training,
            "optimizers": {key: {"space": space} for key, space in spaces.items()},
        }
    )


def evaluate(spec: StudySpec, optimizer: str) -> Outcome:
    params = {name: d.value for name, d in spec.optimizers[optimizer].space.dimensions.items()}
    return Objective(spec, optimizer).evaluate([RunRequest(params, 0)])[0]


@pytest.mark.parametrize("optimizer", ["ecdsep", "ecdsep_f0"])
def test_each_epoch_has_its_numbers(optimizer: str) -> None:
    outcome = evaluate(digits(diagnostics=True), optimizer)
    speed = outcome.curves["speed"]
    assert speed.steps == (1, 2, 3)
    assert all(0 < value <= 1 for value in speed.values)
    assert set(outcome.curves) == {
        *("metric", "train_loss", "share_held", "energy_drift", "bounce_angle", "gap", "speed"),
        *("step_over_bound", "share_rescaled", "share_unreachable", "implied_minimum"),
    }
    # F0 is 0 and there is no weight decay, so the mean gap of an epoch is its mean loss.
    gap, loss = (outcome.curves[name].values for name in ("gap", "train_loss"))
    assert gap == pytest.approx(loss, rel=1e-6)


def test_diagnostics_are_optional_and_change_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    asked = evaluate(digits(diagnostics=True), "ecdsep")

    def refuse(*args: object, **kwargs: object) -> None:
        raise AssertionError("nobody asked")

    monkeypatch.setattr(ECDSep, "diagnostics", refuse)
    plain = evaluate(digits(), "ecdsep")
    assert set(plain.curves) == {"metric", "train_loss"}
    assert plain.curve == asked.curve
    assert replace(plain, curves={}, metrics={}, cost=asked.cost) == replace(
        asked, curves={}, metrics={}
    )


def test_optimizer_without_diagnostics_has_no_curves() -> None:
    assert set(evaluate(digits(diagnostics=True), "sgd").curves) == {"metric", "train_loss"}
