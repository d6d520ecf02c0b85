"""Runs of user tasks, interrupted at random steps and resumed."""

from __future__ import annotations

import gc
import multiprocessing
from types import MappingProxyType

import pytest
import torch
from torch import nn

from ecd_tune.objective.loops.kept import Kept
from ecd_tune.tasks.own.problem import ModelProblem
from ecd_tune.testing.contracts import InterruptionContract
from tests.tasks.own import own_tasks

HOME = own_tasks.__name__


class TestTensors(InterruptionContract):
    task = f"{HOME}:tensors"
    optimizers = ("ecdsep", "ecdq1", "sgd", "adamw")


class TestDataSet(InterruptionContract):
    task = f"{HOME}:dataset"


class TestDataSetReadByProcesses(InterruptionContract):
    task = f"{HOME}:workers"
    optimizers = ("ecdsep",)


class TestLoop(InterruptionContract):
    task = f"{HOME}:loop"
    optimizers = ("ecdsep", "ecdq1", "sgd", "adamw")
    epochs = 3


class TestLoopOfAnAverage(InterruptionContract):
    task = f"{HOME}:loop"
    optimizers = MappingProxyType({"schedule_free": {"space": {"lr": 0.01}}})
    epochs = 3


class TestLoopWithProcesses(InterruptionContract):
    task = f"{HOME}:loop_workers"
    optimizers = ("adamw",)
    epochs = 3


def test_prefetching_processes_end_with_the_run() -> None:
    gc.disable()  # it would end them, later and slowly
    try:
        TestDataSetReadByProcesses().test_resumed_confirmation_run_is_bit_equal()
        assert multiprocessing.active_children() == []
    finally:
        gc.enable()


def test_a_problem_that_forgets_its_buffers_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ModelProblem, "state_dict", lambda self: {})
    monkeypatch.setattr(ModelProblem, "load_state_dict", lambda self, state: None)
    with pytest.raises(AssertionError, match="something that steps change is not saved"):
        TestTensors().test_resumed_search_run_is_bit_equal()


def test_a_loop_that_forgets_its_state_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Kept, "load", lambda self, states: None)
    with pytest.raises(AssertionError, match="something that steps change is not saved"):
        TestLoop().test_resumed_search_run_is_bit_equal()


def test_buffers_that_are_not_persistent_are_kept_too() -> None:
    model = own_tasks.Network()
    kept = Kept()
    kept.add(model)
    model(torch.zeros(4, own_tasks.WIDTH))
    before = kept.copy()
    model(torch.ones(4, own_tasks.WIDTH))
    kept.load(before)
    assert float(model.calls) == 1
    assert isinstance(model.layers[1], nn.BatchNorm1d)
    assert int(model.layers[1].num_batches_tracked) == 1
