"""Thinning of curves, and kept entries of an optimizer's report."""

from itertools import pairwise

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from ecd_tune.errors import NonFiniteLossError
from ecd_tune.objective.outcomes import failure, optimizer_metrics, thin_steps, trajectory_outcome
from ecd_tune.records import Cause, Outcome, RunCost, Status


@given(st.integers(1, 10**6))
def test_thinned_steps_increase_from_the_first_to_the_last(count):
    steps = thin_steps(count)
    assert (steps[0], steps[-1]) == (0, count - 1)
    assert all(a < b for a, b in pairwise(steps))
    assert len(steps) <= 90


@pytest.mark.parametrize("count", [250, 2000, 3500])
def test_long_curves_have_60_to_80_points(count):
    assert 60 <= len(thin_steps(count)) <= 80


def test_short_curves_are_kept_whole():
    assert thin_steps(70) == tuple(range(70))


def test_curve_holds_the_running_loss_and_metrics_its_minimum():
    values = np.array([3.0, 1.0, 2.0])
    outcome = trajectory_outcome(values, None, RunCost())
    assert outcome.curve.values == (3.0, 1.0, 2.0)
    assert outcome.value == 1.0
    assert outcome.metrics == {"start": 3.0, "final": 2.0, "best": 1.0, "best_step": 1.0}


def test_run_without_values_fails_with_a_reason():
    outcome = trajectory_outcome(np.array([]), "loss became non-finite", RunCost())
    assert (outcome.status, outcome.value) == (Status.FAILED, None)
    assert outcome.reason == "loss became non-finite"
    assert outcome.cause is Cause.NON_FINITE


@pytest.mark.parametrize(
    ("error", "cause"),
    [
        (ValueError("the input is non-finite"), Cause.EXCEPTION),
        (ValueError("out of memory, said a task"), Cause.EXCEPTION),
        (NonFiniteLossError("loss is nan"), Cause.NON_FINITE),
        (MemoryError(), Cause.OUT_OF_MEMORY),
        (torch.OutOfMemoryError("CUDA out of memory"), Cause.OUT_OF_MEMORY),
        (
            RuntimeError("DefaultCPUAllocator: can't allocate memory: you tried …"),
            Cause.OUT_OF_MEMORY,
        ),
        (RuntimeError("CUDA error: out of memory"), Cause.OUT_OF_MEMORY),
        (RuntimeError("mat1 and mat2 shapes cannot be multiplied"), Cause.EXCEPTION),
    ],
)
def test_the_type_of_an_exception_tells_the_cause(error, cause):
    outcome = failure(error, RunCost())
    assert outcome.cause is cause
    assert outcome.reason == f"{type(error).__name__}: {error}"


def test_cause_matches_its_status():
    assert [Outcome(status, 1.0).cause.value for status in Status] == [
        "complete",
        "diverged",
        "pruned",
        "exception",
    ]
    with pytest.raises(ValueError, match="allows diverged"):
        Outcome(Status.DIVERGED, 1.0, cause=Cause.LOST)


def test_only_finite_known_counters_are_kept():
    report = {"held": 2, "updates": float("nan"), "log_energy": 1.0}
    assert optimizer_metrics(report) == {"held": 2.0}
