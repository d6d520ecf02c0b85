"""Contract of tasks whose problems are computed together, as tests to inherit.

::

    from ecd_tune.testing.stacking import StackableTaskContract

    class TestMyTask(StackableTaskContract):
        definition = MY_TASK_DEF
"""

from __future__ import annotations

from typing import ClassVar

import pytest
import torch
from torch import Tensor

from ecd_tune.records import Stage
from ecd_tune.tasks import StackableTask, StackedProblem
from ecd_tune.testing.task import TaskContract, assert_same, evaluate_step

__all__ = ["StackableTaskContract"]

_SEEDS = (0, 1, 2)


class StackableTaskContract(TaskContract):
    """The same for a task that learns, of which B problems compute together.

    Attributes:
        rounding: Largest relative error of a row's losses and gradients.
        padded: Whether a row's batch is padded to the longest of all rows, so that these change
            the rounding of its numbers.
    """

    rounding: ClassVar[float] = 1e-5
    padded: ClassVar[bool] = False

    def stack(self, *seeds: int, stage: Stage = Stage.SEARCH) -> StackedProblem:
        """Return problems of these seeds in a stack."""
        task: StackableTask = self.make()
        assert isinstance(task, StackableTask)
        assert task.why_not_stacked() is None
        return task.stack([task.build(seed, stage) for seed in seeds])

    def test_stacked_rows_equal_single_problems(self) -> None:
        """Row b has the start, losses, gradients and numbers of its single problem."""
        stack, length = self.stack(*_SEEDS), self.build().steps_per_epoch
        steps = [2 * length - 1, length - 1, length - 1]  # the last batch of an epoch may be short
        losses = stack.closure(steps)
        assert not losses.requires_grad
        numbers = stack.evaluate("val")
        for row, seed in enumerate(_SEEDS):
            alone = self.build(seed)
            expected = evaluate_step(alone, steps[row])
            assert_same(_row(stack.parameters, row), [p.detach() for p in alone.parameters])
            self._assert_close([losses[row], *_row(stack.gradients, row)], expected)
            own = alone.evaluate("val")
            assert dict(numbers[row]) == pytest.approx(dict(own), rel=self.rounding)

    def test_subset_of_rows_can_be_computed(self) -> None:
        """Rows at their own steps have the numbers of their problems; others stay as they are."""
        stack, length = self.stack(*_SEEDS), self.build().steps_per_epoch
        stack.closure([0, 0, 0])
        before = _row(stack.gradients, 1)
        (metrics,) = stack.evaluate("val", [1])
        losses = stack.closure([0, length], [0, 2])
        assert_same(_row(stack.gradients, 1), before)
        alone = [self.build(seed) for seed in _SEEDS]
        for problem in alone:
            problem.closure(0)
        assert dict(metrics) == pytest.approx(dict(alone[1].evaluate("val")), rel=self.rounding)
        for place, (row, step) in enumerate(((0, 0), (2, length))):
            expected = evaluate_step(alone[row], step)
            self._assert_close([losses[place], *_row(stack.gradients, row)], expected)
        again = stack.evaluate("val", [0, 2])
        for found, row in zip(again, (0, 2), strict=True):
            assert dict(found) == pytest.approx(dict(alone[row].evaluate("val")), rel=self.rounding)

    def test_row_shares_memory_with_its_problem(self) -> None:
        """Updating a row's problem updates the row, and the problem can be evaluated separately."""
        stack = self.stack(*_SEEDS)
        stack.closure([0, 0, 0])
        problem = stack.problems[1]
        assert all(p.is_leaf and p.requires_grad for p in problem.parameters)
        grads = [p.grad for p in problem.parameters if p.grad is not None]
        assert_same(grads, _row(stack.gradients, 1))
        with torch.no_grad():
            for parameter in problem.parameters:
                parameter.mul_(1.5)
        assert_same([p.detach() for p in problem.parameters], _row(stack.parameters, 1))
        metrics = dict(stack.evaluate("val")[1])
        assert metrics == pytest.approx(dict(problem.evaluate("val")), rel=self.rounding)

    def test_stacked_rows_are_independent(self) -> None:
        """A row has the same bits for any values in other rows, also NaN."""
        stack, other = self.stack(0, 1, 2), self.stack(5, 1, 6)
        with torch.no_grad():
            for parameter in other.problems[0].parameters:
                parameter.fill_(torch.nan)
        for step in (0, 1, 2):
            losses, beside = (s.closure([step] * 3) for s in (stack, other))
            assert not beside[0].isfinite()
            found = [losses[1], *_row(stack.gradients, 1)]
            expected = [beside[1], *_row(other.gradients, 1)]
            if self.padded:
                self._assert_close(found, expected)
            else:
                assert_same(found, expected)
        if not self.padded:
            assert stack.evaluate("val")[1] == other.evaluate("val")[1]

    def test_replaced_row_starts_from_its_own_state(self) -> None:
        """The new problem has the row to itself, and the others continue as they would."""
        stack, kept = self.stack(*_SEEDS), self.stack(*_SEEDS)
        for each in (stack, kept):
            each.closure([0, 0, 0])
        stack.replace(1, self.build(9))
        length = self.build().steps_per_epoch
        losses, beside = stack.closure([length, 0, length]), kept.closure([length] * 3)
        if self.padded:
            self._assert_close([losses[[0, 2]]], [beside[[0, 2]]])
        else:
            assert torch.equal(losses[[0, 2]], beside[[0, 2]])
        expected = evaluate_step(self.build(9), 0)
        self._assert_close([losses[1], *_row(stack.gradients, 1)], expected)

    def _assert_close(self, found: list[Tensor], expected: list[Tensor]) -> None:
        # Relative to the largest: gradients that are 0 up to rounding are equivalent.
        size = max(float(b.abs().max()) for b in expected)
        for a, b in zip(found, expected, strict=True):
            torch.testing.assert_close(a, b, rtol=self.rounding, atol=self.rounding * size)


def _row(blocks: list[Tensor], row: int) -> list[Tensor]:
    return [block[row] for block in blocks]
