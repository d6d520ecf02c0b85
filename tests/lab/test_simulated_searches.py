"""S1 to S4, S6 and S7 on random searches that are run with the optimizers' own step."""

from __future__ import annotations

import math

import pytest

from ecd_tune.analysis.checks import CHECKS, Verdict
from ecd_tune.lab.searches import Bowl, simulated_search, take

S, R = Verdict.SUPPORTED, Verdict.REFUTED
SMALL = {"trials": 48, "n": 10, "steps": 500, "lr": (0.5, 3.0), "eta": (1.5, 4.0)}
SEED = 1

SLOPES = {
    ("sync", "S1"): [(-0.686, 0.034)],
    ("algorithm1", "S1"): [(-0.497, 0.032)],
    ("sync", "S2"): [(-0.996, 0.004)],
    ("algorithm1", "S2"): [(-0.995, 0.003)],
    ("sync", "S3"): [(-0.980, 0.014)],
    ("algorithm1", "S3"): [(-0.965, 0.012)],
    ("algorithm1", "S4"): [(-0.125, 0.015), (0.016, 0.007)],
}
"""Statistics and their standard errors from simulations by other code, of 160 trials."""


def run(check, data, **options):
    return CHECKS.get(check).run(take(data, range(len(data.records)), **options))


def test_a_small_search_supports_the_laws_and_its_control_refutes():
    data = simulated_search(Bowl("sync", **SMALL), SEED)
    for check, options in (("S1", {"F_min": 1.0}), ("S2", {}), ("S7", {})):
        assert run(check, data, **options).verdict is S, check
    control = simulated_search(Bowl("sync", F0=1.0, **SMALL), SEED)
    assert run("S1", control, F_min=1.0).verdict is R


@pytest.mark.slow
@pytest.mark.parametrize("integrator", ["sync", "algorithm1"])
def test_the_slopes_are_those_of_other_simulations(integrator):
    data = simulated_search(Bowl(integrator), SEED)
    for (other, check), slopes in SLOPES.items():
        if other == integrator:
            result = run(check, data)
            assert result.verdict is S, check
            for finding, (value, error) in zip(result.findings, slopes, strict=True):
                own = (finding.high - finding.low) / 3.92
                distance = abs(finding.measured - value)
                assert distance < 3 * math.hypot(own, error), (check, finding.measured)
    for check in ("S6", "S7"):
        assert run(check, data).verdict is S, check


@pytest.mark.slow
@pytest.mark.parametrize("integrator", ["sync", "algorithm1"])
def test_without_a_plateau_s1_is_refuted(integrator):
    data = simulated_search(Bowl(integrator, F0=1.0), SEED)
    result = run("S1", data, F_min=1.0)
    assert result.verdict is R
    assert result.findings[0].measured == pytest.approx(7.7, abs=3.0)
