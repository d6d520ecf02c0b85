"""Lanes at different positions of their epochs, interrupted lanes, and delayed losses."""

from __future__ import annotations

import io
from collections.abc import Sequence
from typing import Any

import pytest
import torch

from ecd_tune.objective import Callbacks, Interrupted, Job, Objective
from ecd_tune.objective.lanes import lanes
from ecd_tune.objective.training import stepping
from ecd_tune.records import Outcome, RunRequest, Stage, Status
from ecd_tune.tasks.digits_stack import StackedDigits
from tests.objective.memory_checkpoint import MemoryCheckpoint
from tests.objective.test_lanes import PARAMS, assert_alike, make_spec, run_together


def requests_of(optimizer: str, seeds: Sequence[int] = (0, 7)) -> list[RunRequest]:
    return [RunRequest(params, seed) for seed in seeds for params in PARAMS[optimizer]]


class Stops:
    """Says stop at one of its questions."""

    def __init__(self, at: int) -> None:
        self._left = at

    def __call__(self) -> bool:
        self._left -= 1
        return self._left == 0


def same(first: Outcome, second: Outcome) -> None:
    """Fail where two outcomes differ in more than what a clock says."""
    assert (first.status, first.value, first.reason) == (second.status, second.value, second.reason)
    assert first.curves == second.curves


@pytest.mark.parametrize("optimizer", PARAMS)
def test_stopped_lanes_resume_bit_equal(optimizer: str) -> None:
    objective, requests = Objective(make_spec(optimizer), optimizer), requests_of(optimizer)
    whole = run_together(objective, requests, len(requests))
    slots = [MemoryCheckpoint() for _ in requests]
    for at in (5, 12):  # within the first epoch of nine steps, and within the second
        with pytest.raises(Interrupted):
            run_together(objective, requests, len(requests), stop=Stops(at), slots=slots)
        assert all(handle.saves for handle in slots)
    state = torch.load(io.BytesIO(slots[0].data or b""), weights_only=True)
    assert state["state"]["run"]["stepper"]["number"] == 4 + 11
    resumed = run_together(objective, requests, len(requests), slots=slots)
    for outcome, expected in zip(resumed, whole, strict=True):
        same(outcome, expected)


@pytest.mark.parametrize("optimizer", ["ecdsep", "sgd", "adam"])
def test_killed_lanes_resume_from_their_checkpoints(
    optimizer: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(lanes, "_SAVING_SHARE", 1.0)
    monkeypatch.setattr(lanes, "_SAVING_LOOK_SECONDS", 0.0)
    objective, requests = Objective(make_spec(optimizer), optimizer), requests_of(optimizer)
    slots = [MemoryCheckpoint(range(1, 1000)) for _ in requests]
    run_together(objective, requests, len(requests), slots=slots)
    kept = [handle.data for handle in slots]
    assert all(kept), "a lane was never saved"
    numbers = []
    for handle, data in zip(slots, kept, strict=True):
        handle.data = data
        state = torch.load(io.BytesIO(data or b""), weights_only=True)["state"]
        numbers.append(state["run"]["stepper"]["number"])
    assert len(set(numbers)) > 1  # so that lanes are at different places
    resumed = run_together(objective, requests, len(requests), slots=slots)
    for outcome, request in zip(resumed, requests, strict=True):
        assert_alike(outcome, objective.evaluate([request])[0])


@pytest.mark.parametrize("optimizer", PARAMS)
def test_lanes_and_single_runs_share_checkpoints(optimizer: str) -> None:
    objective, requests = Objective(make_spec(optimizer), optimizer), requests_of(optimizer)
    slots = [MemoryCheckpoint() for _ in requests]
    with pytest.raises(Interrupted):
        run_together(objective, requests, 8, stop=Stops(12), slots=slots)
    alone = objective.evaluate(requests, checkpoints=slots)
    for handle, request in zip(slots, requests, strict=True):
        handle.data = None
        with pytest.raises(Interrupted):
            objective.evaluate([request], checkpoints=[handle], stop=Stops(14))
    together = run_together(objective, requests, 8, slots=slots)
    for first, second, request in zip(alone, together, requests, strict=True):
        expected = objective.evaluate([request])[0]
        assert_alike(first, expected)
        assert_alike(second, expected)


def test_mismatched_checkpoint_affects_its_lane_only(
    caplog: pytest.LogCaptureFixture,
) -> None:
    objective, requests = Objective(make_spec("adam"), "adam"), requests_of("adam")
    slots = [MemoryCheckpoint() for _ in requests]
    with pytest.raises(Interrupted):
        run_together(objective, requests, 8, stop=Stops(12), slots=slots)
    held = torch.load(io.BytesIO(slots[1].data or b""), weights_only=True)
    held["state"]["run"]["stepper"]["optimizer"]["state"][0].pop("exp_avg")
    buffer = io.BytesIO()
    torch.save(held, buffer)
    slots[1].data = buffer.getvalue()
    resumed = run_together(objective, requests, 8, slots=slots)
    assert "restarting the run" in caplog.text
    for outcome, request in zip(resumed, requests, strict=True):
        assert_alike(outcome, objective.evaluate([request])[0])


@pytest.mark.parametrize(("wait", "longest"), [(0, 1), (64, 9)])
def test_a_lane_that_diverges_gets_the_next_trial_before_the_epoch_ends(
    wait: int, longest: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """At once where the end of the others' epoch is far, else at that end: nine steps here."""
    monkeypatch.setattr(lanes, "_WAIT_STEPS", wait)
    objective = Objective(make_spec("sgd"), "sgd")
    wild, calm = {"lr": 1e30, "momentum": 0.9}, PARAMS["sgd"][0]
    requests = [RunRequest(params, 3) for params in (calm, wild, calm, calm)]
    steps, ended = 0, 0
    closure = StackedDigits.closure

    def count(self: StackedDigits, *arguments: Any) -> torch.Tensor:
        nonlocal steps
        steps += 1
        return closure(self, *arguments)

    monkeypatch.setattr(StackedDigits, "closure", count)
    waiting, outcomes = list(enumerate(requests)), {}
    begun: list[int] = []

    def jobs(number: int) -> list[Job]:
        taken, waiting[:] = waiting[:number], waiting[number:]
        begun.extend(steps for _ in taken)

        def finish(row: int, outcome: Outcome) -> None:
            nonlocal ended
            outcomes[row] = outcome
            ended = steps if row == 1 else ended

        return [
            Job(request, lambda outcome, row=row: finish(row, outcome)) for row, request in taken
        ]

    objective.run_lanes(Stage.SEARCH, jobs, 2)
    assert outcomes[1].status is Status.DIVERGED
    assert begun[2] - ended < longest
    assert (begun[2] == 9) == (wait == 64)
    monkeypatch.undo()
    for row, request in enumerate(requests):
        assert_alike(outcomes[row], objective.evaluate([request])[0])


@pytest.mark.parametrize("optimizer", ["ecdsep", "sgd", "adamw"])
def test_delayed_losses_change_no_outcome(optimizer: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """As on a GPU, where they are looked at every 16 steps."""
    objective = Objective(make_spec(optimizer), optimizer)
    wild = {**PARAMS[optimizer][0], "lr": 1e4}
    requests = [*requests_of(optimizer), RunRequest(wild, 0)]
    alone = [objective.evaluate([request])[0] for request in requests]
    looks = []
    see = lanes._Lanes._see
    monkeypatch.setattr(
        lanes._Lanes, "_see", lambda own: looks.append(len(own._unseen)) or see(own)
    )
    for module in (lanes, stepping):
        monkeypatch.setattr(module, "steps_between_checks", lambda device: 16)
    slots = [MemoryCheckpoint() for _ in requests]
    with pytest.raises(Interrupted):
        run_together(objective, requests, 3, stop=Stops(12), slots=slots)
    together = run_together(objective, requests, 3, slots=slots)
    assert max(looks) > 4
    for outcome, expected in zip(together, alone, strict=True):
        if expected.status is Status.DIVERGED:
            assert outcome.reason == expected.reason
            assert outcome.value == pytest.approx(expected.value)
        else:
            assert_alike(outcome, expected)


def test_reports_of_a_resumed_lane_begin_with_its_earlier_epochs() -> None:
    objective, requests = Objective(make_spec("sgd"), "sgd"), requests_of("sgd", [0])[:2]
    slots = [MemoryCheckpoint() for _ in requests]
    with pytest.raises(Interrupted):
        run_together(objective, requests, 2, stop=Stops(22), slots=slots)
    told: list[dict[int, float]] = [{}, {}]
    outcomes = run_together(
        objective, requests, 2, lambda number: Callbacks(told[number].__setitem__), slots=slots
    )
    for points, outcome in zip(told, outcomes, strict=True):
        assert tuple(points) == (0, 1, 2, 3)
        assert tuple(points.values()) == outcome.curve.values
