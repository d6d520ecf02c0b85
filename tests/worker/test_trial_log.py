"""One line per trial, as Optuna logs them."""

from __future__ import annotations

import logging

import pytest

from ecd_tune.records import Cause, Direction, Lease, Outcome, RunRequest, Stage, Status, StudyKey
from ecd_tune.worker.trial_log import TrialLog

KEY = StudyKey("s", "ecdsep")
SEARCHED = {"ecdsep": ("lr", "on", "absent")}


def lease(number: int, key: StudyKey = KEY) -> Lease:
    request = RunRequest({"lr": 0.25, "eta": 2, "on": True}, seed=7, stage=key.stage)
    return Lease(key, number, number, 1, 1, request)


def value(number: float) -> Outcome:
    return Outcome(Status.COMPLETE, number)


@pytest.fixture
def lines(caplog):
    caplog.set_level(logging.INFO, logger="ecd_tune.worker.trial_log")
    return lambda: [record.getMessage() for record in caplog.records]


@pytest.mark.parametrize(
    ("direction", "best"),
    [(Direction.MINIMIZE, [0.5, 0.5, 0.125]), (Direction.MAXIMIZE, [0.5, 0.75, 0.75])],
)
def test_best_so_far_follows_the_direction(lines, direction, best) -> None:
    log = TrialLog(direction, lambda key: None, SEARCHED)
    for number, found in enumerate((0.5, 0.75, 0.125)):
        log.add(lease(number), value(found))
    assert lines() == [
        f"s/ecdsep #{n}: {v:g}; best so far {b:g}; lr = 0.25, on = True"
        for n, (v, b) in enumerate(zip((0.5, 0.75, 0.125), best, strict=True))
    ]


def test_best_includes_other_workers(lines) -> None:
    log = TrialLog(Direction.MINIMIZE, lambda key: 0.01, SEARCHED)
    log.add(lease(0), value(0.5))
    assert "best so far 0.01;" in lines()[0]


def test_a_diverged_value_is_no_best_and_its_reason_is_said(lines) -> None:
    log = TrialLog(Direction.MINIMIZE, lambda key: None, SEARCHED)
    log.add(lease(0), Outcome(Status.DIVERGED, 0.1, reason="loss is nan", cause=Cause.DIVERGED))
    log.add(lease(1), Outcome(Status.FAILED, reason="no disk"))
    assert "#0: 0.1, diverged (loss is nan); no complete trial yet;" in lines()[0]
    assert "#1: no value, exception (no disk); no complete trial yet;" in lines()[1]


def test_runs_of_a_confirmation_have_seeds_and_no_best(lines) -> None:
    log = TrialLog(Direction.MINIMIZE, lambda key: 1 / 0, SEARCHED)
    log.add(lease(3, StudyKey("s", "ecdsep", Stage.CONFIRM)), value(0.5))
    assert lines()[0].startswith("s/ecdsep/confirm #3: 0.5; seed 7; lr = 0.25")


def test_no_query_without_logging(caplog) -> None:
    caplog.set_level(logging.WARNING, logger="ecd_tune.worker.trial_log")
    TrialLog(Direction.MINIMIZE, lambda key: 1 / 0, SEARCHED).add(lease(0), value(0.5))
