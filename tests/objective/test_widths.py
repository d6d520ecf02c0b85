"""The number of trials trained at once, with a simulated clock."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from types import SimpleNamespace
from typing import Any

import pytest
import torch

from ecd_tune.objective import Objective
from ecd_tune.objective.lanes.widths import choose_width
from ecd_tune.records import Stage
from tests.objective.test_lanes import make_spec


class Machine:
    """Steps of so many trials take so many seconds, and so many fit into memory."""

    def __init__(self, seconds: Callable[[int], float], fits: int = 10**9, size: int = 1) -> None:
        self._seconds, self._fits, self._size, self._now = seconds, fits, size, 0.0
        self.tried: list[int] = []

    def _step(self, count: int) -> None:
        if count > self._fits:
            raise torch.OutOfMemoryError("no room")
        self.tried = (
            [*self.tried[:-1], count] if self.tried[-1:] == [count] else [*self.tried, count]
        )
        self._now += self._seconds(count)

    def build(self, seed: int) -> Any:
        parameters = [torch.empty(self._size, device="meta")]
        return SimpleNamespace(parameters=parameters, closure=lambda step: self._step(1))

    def stack(self, problems: Sequence[Any]) -> Any:
        return SimpleNamespace(closure=lambda steps: self._step(len(steps)))

    def choose(self, bound: int) -> int:
        return choose_width(self.build, self.stack, bound, lambda: self._now)


def test_all_lanes_if_call_overhead_dominates() -> None:
    machine = Machine(lambda count: 1e-3)
    assert machine.choose(100) == 100
    assert machine.tried == [1, 4, 16, 64, 100]


def test_one_lane_if_more_are_not_faster() -> None:
    machine = Machine(lambda count: 1e-3 * count * (1 if count == 1 else 2))
    assert machine.choose(1000) == 1
    assert machine.tried == [1, 4]  # no wider one is tried


def test_smallest_nearly_fastest_width_is_chosen() -> None:
    # Rates 1, 2.3, 3.8, 4.7 and 4.9 per ms: 64 has nine tenths of what 256 has.
    machine = Machine(lambda count: 1e-3 * (0.96 + 0.2 * count if count > 1 else 1))
    assert machine.choose(256) == 64


@pytest.mark.parametrize(("fits", "expected"), [(1, 1), (3, 1), (20, 16), (70, 64)])
def test_width_beyond_memory_is_not_chosen(fits: int, expected: int) -> None:
    assert Machine(lambda count: 1e-3, fits).choose(100) == expected


def test_too_many_parameters_are_not_tried() -> None:
    machine = Machine(lambda count: 1e-3, size=2**38)
    assert machine.choose(100) == 1
    assert machine.tried == [1]


def test_task_beyond_memory_is_an_error() -> None:
    with pytest.raises(torch.OutOfMemoryError):
        Machine(lambda count: 1e-3, fits=0).choose(10)


def test_single_runs_are_not_measured(monkeypatch: pytest.MonkeyPatch) -> None:
    objective = Objective(make_spec("sgd", training={"accumulate": 2}), "sgd")
    monkeypatch.setattr(Objective, "task", lambda self, stage: object())
    assert objective.width(Stage.SEARCH, 8) == 1


def test_digits_are_measured_within_the_bound() -> None:
    objective = Objective(make_spec("sgd"), "sgd")
    assert objective.width(Stage.SEARCH, 1) == 1
    assert 1 <= objective.width(Stage.CONFIRM, 5) <= 5
