"""A study of ECDq1, from its runs to the verdicts of its checks."""

from __future__ import annotations

import math

import numpy as np
import pytest

from ecd_tune.analysis.checks import CheckedRun, Verdict, check_study
from ecd_tune.errors import SpecError
from ecd_tune.objective import Objective
from ecd_tune.records import RunRequest, TrialRecord, TrialState
from ecd_tune.spec import parse_study
from ecd_tune.theory import bounce_cosine

N, STEPS, TRIALS = 24, 4000, 40


def study(*checks):
    space = {
        "lr": {"low": 0.1, "high": 0.3},
        "eta": {"low": 1.5, "high": 6.0},
        "nu": {"low": 0.3, "high": 2.0},
    }
    return parse_study(
        {
            "name": "bowl",
            "task": {"name": "quadratic", "n": N, "condition": 4.0, "spread": 0.2},
            "budget": {"trials": TRIALS, "steps": STEPS, "batch": TRIALS},
            "checks": [{"name": name, "optimizer": "ecdq1"} for name in checks],
            "optimizers": {"ecdq1": {"space": space}},
        }
    )


@pytest.fixture(scope="module")
def records():
    """The trials of a random search, run as a worker runs them."""
    spec, rng = study("S2"), np.random.default_rng(3)
    low, high = np.array([[0.1, 1.5, 0.3], [0.3, 6.0, 2.0]])
    points = [
        dict(zip(("lr", "eta", "nu"), row, strict=True))
        for row in rng.uniform(low, high, (TRIALS, 3)).tolist()
    ]
    requests = [RunRequest(point, seed) for seed, point in enumerate(points)]
    outcomes = Objective(spec, "ecdq1").evaluate(requests)
    return [
        TrialRecord(
            spec.key("ecdq1"), number, TrialState.COMPLETE, o.value, point, metrics=o.metrics
        )
        for number, (o, point) in enumerate(zip(outcomes, points, strict=True))
    ]


@pytest.mark.parametrize("check", ["S1", "S2", "S3", "S6", "S7"])
def test_the_laws_of_its_own_exponent_are_supported(records, check):
    spec = study(check)
    (entry,) = check_study(spec, {spec.key("ecdq1"): records}, {})
    assert entry.result.verdict is Verdict.SUPPORTED, entry.result


def test_a_trial_knows_its_nu_and_its_exponent(records):
    run = CheckedRun(records[0], records[0].params, STEPS)
    root, eta = records[0].params["nu"], records[0].params["eta"]
    assert run.measured.unit_speed == 1
    assert run.nu == pytest.approx(root / math.sqrt(N))
    cosine = bounce_cosine(N, root / math.sqrt(N))
    assert (run.cosine, run.eta_eff) == pytest.approx((cosine, 2 * eta / (1 + cosine)))


@pytest.mark.parametrize("check", ["S5", "S8", "S9", "S11"])
def test_checks_of_missing_hyperparameters_are_refused(check):
    with pytest.raises(SpecError, match=f"'ecdq1': has no s, which {check} needs"):
        study(check)
