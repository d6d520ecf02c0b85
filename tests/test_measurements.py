"""Measurements survive storage in a trial's metrics."""

from __future__ import annotations

from dataclasses import MISSING, asdict, fields, replace

import pytest

from ecd_tune.measurements import RunMeasurements

MEASURED = RunMeasurements(
    n=20,
    steps=5000,
    log_energy=1.4,
    loss_init=4.0,
    F0=0.5,
    s=0,
    delta_energy=1.0,
    weight_decay=0.0,
    conserve_energy=1,
    sync=1,
    cos_bounce=0.7,
    max_step_over_lr=2.5,
    share_hazard=0.0,
    tail_loss=1.5,
    tail_inverse_gap=1.01,
    tail_inverse_gap_se=0.02,
    tail_virial=0.99,
    tail_w=0.1,
    tail_log_gap_1=0.25,
    tail_log_gap_2=-0.5,
    tail_log_gap_3=0.125,
)


REQUIRED = [f.name for f in fields(RunMeasurements) if f.default is MISSING]


def test_measurements_round_trip() -> None:
    others = {"best": 1.0, "measured_elsewhere": 2.0}
    read = RunMeasurements.from_metrics({**others, **MEASURED.to_metrics()})
    assert read == MEASURED
    assert {k: type(v) for k, v in asdict(read).items()} == {
        k: type(v) for k, v in asdict(MEASURED).items()
    }


@pytest.mark.parametrize("missing", REQUIRED)
def test_a_trial_without_all_of_them_was_not_measured(missing: str) -> None:
    metrics = MEASURED.to_metrics()
    del metrics[f"measured_{missing}"]
    assert RunMeasurements.from_metrics(metrics) is None


def test_older_measurements_belong_to_ecdsep() -> None:
    metrics = replace(MEASURED, unit_speed=1).to_metrics()
    assert RunMeasurements.from_metrics(metrics) == replace(MEASURED, unit_speed=1)
    del metrics["measured_unit_speed"]
    assert RunMeasurements.from_metrics(metrics) == MEASURED


def test_drift_is_the_range_of_the_three_means() -> None:
    assert MEASURED.drift == 0.75
    assert replace(MEASURED, tail_log_gap_3=1.0).drift == 1.5
