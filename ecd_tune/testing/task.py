"""Contract of every task, as tests to inherit.

::

    from ecd_tune.testing.task import TaskContract  # or BatchedTaskContract

    class TestMyTask(TaskContract):
        definition = MY_TASK_DEF
        options = {"n": 3}
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar

import pytest
import torch
from torch import Tensor

from ecd_tune.errors import TaskError
from ecd_tune.records import Direction, Scalar, Stage
from ecd_tune.registry import TaskDef, load_attribute
from ecd_tune.tasks import BatchedTask, GroupedProblem, Problem, Task, differentiate

__all__ = ["BatchedTaskContract", "TaskContract", "assert_same", "evaluate_step"]

_SEEDS = (0, 1, 2)
_REPEATED = (
    "closure(step) must give the same loss and gradient whenever that step is asked for; choose "
    "examples, dropout and augmentation by a generator made from the seed and the step, not by one "
    "that continues from step to step"
)
_SEEDED = (
    "build(seed, stage) must decide everything random by its seed, whatever the global generators "
    "hold; make a generator of your own from it"
)


class TaskContract:
    """Subclass it in a test file and set the attributes.

    Attributes:
        definition: The task's definition.
        options: Options to make it with.
        seeded: False for a task whose problems are the same for all seeds.
        difference: Step of the finite difference that checks the gradient, relative to the
            size of the parameters; larger for float32.
        tolerance: Largest relative error of that check.
    """

    definition: ClassVar[TaskDef]
    options: ClassVar[Mapping[str, Scalar]] = {}
    seeded: ClassVar[bool] = True
    difference: ClassVar[float] = 1e-6
    tolerance: ClassVar[float] = 1e-5

    def make(self) -> Any:
        """Return the task."""
        return load_attribute(self.definition.factory)(**self.options)

    def build(self, seed: int = 0, stage: Stage = Stage.SEARCH) -> Problem:
        """Return one problem of the task."""
        task: Task = self.make()
        return task.build(seed, stage)

    # ------------------------------------------------------------------ definition

    def test_defaults_are_allowed(self) -> None:
        """Each option's default passes its own check."""
        for name, option in self.definition.options.items():
            assert option.problem(option.default) is None, f"{name} = {option.default!r}"

    def test_unknown_option_is_refused_by_name(self) -> None:
        """A misspelt option is an error that names it."""
        with pytest.raises(TaskError, match="no_such_option"):
            load_attribute(self.definition.factory)(no_such_option=1)

    def test_kind_matches_definition(self) -> None:
        """The factory makes what the definition announces."""
        task = self.make()
        assert isinstance(task, Task)
        assert isinstance(task, BatchedTask) == self.definition.batched

    def test_task_whose_metric_is_the_loss_is_minimized(self) -> None:
        """A task without a metric cannot be maximized."""
        if self.build().metric is None:
            assert self.definition.direction is Direction.MINIMIZE

    # --------------------------------------------------------------------- problem

    def test_parameters_are_finite_leaves(self) -> None:
        """An optimizer can take them as they are."""
        problem = self.build()
        assert isinstance(problem, Problem)
        assert problem.parameters
        for parameter in problem.parameters:
            assert parameter.is_leaf
            assert parameter.requires_grad
            assert parameter.isfinite().all()

    def test_groups_are_those_of_the_definition(self) -> None:
        """Each parameter is in one of the groups that the definition names, if it names any."""
        problem = self.build()
        groups = problem.groups if isinstance(problem, GroupedProblem) else {}
        assert tuple(groups) == self.definition.groups
        grouped = sorted(id(p) for group in groups.values() for p in group)
        assert not groups or grouped == sorted(map(id, problem.parameters))

    def test_problems_share_no_state(self) -> None:
        """Changing one problem does not change a second one of the same task."""
        task: Task = self.make()
        first, second = (task.build(0, Stage.SEARCH) for _ in range(2))
        before = [p.detach().clone() for p in second.parameters]
        with torch.no_grad():
            for parameter in first.parameters:
                parameter.add_(1)
        assert_same(second.parameters, before, "build must create new parameters for each problem")

    def test_same_seed_gives_the_same_problem(self) -> None:
        """The same seed gives the same numbers, with other global random state too."""
        traces = []
        for disturbance in (1, 2):
            torch.manual_seed(disturbance)
            traces.append(_trace(self.build(7)))
        assert_same(traces[0], traces[1], _SEEDED)

    def test_other_seed_gives_another_problem(self) -> None:
        """Different seeds give different problems, unless the task is unseeded."""
        pairs = zip(_trace(self.build(0)), _trace(self.build(1)), strict=True)
        assert any(not torch.equal(a, b) for a, b in pairs) == self.seeded

    def test_closure_can_be_repeated(self) -> None:
        """The same step gives the same loss and gradient, independently of steps in between."""
        problem = self.build()
        first = evaluate_step(problem, 0)
        problem.closure(problem.steps_per_epoch)
        problem.evaluate("val")
        assert_same(first, evaluate_step(problem, 0), _REPEATED)

    def test_loss_is_a_detached_number(self) -> None:
        """The loss is 0-d, finite and outside of any graph."""
        loss = self.build().closure(0)
        assert loss.dim() == 0, f"closure(step) must return one number, got {tuple(loss.shape)}"
        assert loss.isfinite(), f"the loss of the first step is {loss}"
        assert not loss.requires_grad, "closure(step) must return loss.detach()"

    def test_gradient_matches_finite_difference(self) -> None:
        """The slope along the gradient is the gradient's norm."""
        problem = self.build()
        _, *gradient = evaluate_step(problem, 0)
        norm = _norm(gradient)
        assert norm > 0
        reach = self.difference * max(1.0, _norm(problem.parameters)) / norm
        ends = []
        for sign in (1, -2):
            with torch.no_grad():
                for parameter, direction in zip(problem.parameters, gradient, strict=True):
                    parameter.add_(direction, alpha=sign * reach)
            ends.append(float(problem.closure(0)))
        slope = (ends[0] - ends[1]) / (2 * reach * norm)
        assert abs(slope - norm) <= self.tolerance * norm, f"slope {slope}, norm {norm}"

    # ------------------------------------------------------------------ evaluation

    def test_evaluate_names_loss_and_metric(self) -> None:
        """The metric of a trial is among the numbers."""
        problem = self.build()
        for split in ("train", "val"):
            numbers = problem.evaluate(split)
            assert "loss" in numbers
            assert problem.metric is None or problem.metric in numbers

    def test_evaluate_changes_nothing(self) -> None:
        """Evaluation does not train."""
        problem = self.build()
        problem.closure(0)
        before = _state(problem)
        problem.evaluate("val")
        assert_same(_state(problem), before, "evaluate(split) must change nothing")

    def test_test_split_is_not_available_in_a_search(self) -> None:
        """A task with data opens its test split in the confirmation only."""
        if self.build().metric is None:
            pytest.skip("no data, so no test split")
        assert "loss" in self.build(stage=Stage.CONFIRM).evaluate("test")
        with pytest.raises(TaskError, match="test"):
            self.build(stage=Stage.SEARCH).evaluate("test")


class BatchedTaskContract(TaskContract):
    """The same for a task whose trials run as rows of one tensor."""

    def test_batch_rows_equal_single_problems(self) -> None:
        """Row b starts where the problem of its seed starts, with the same loss."""
        task: BatchedTask = self.make()
        theta = task.start(_SEEDS)
        loss, gradient = task.loss_and_gradient(theta)
        for row, seed in enumerate(_SEEDS):
            problem = task.build(seed, Stage.SEARCH)
            own_loss, own_gradient = evaluate_step(problem, 0)
            assert torch.equal(theta[row], problem.parameters[0])
            assert torch.equal(loss[row], own_loss)
            assert torch.equal(gradient[row], own_gradient)

    def test_batch_gradient_matches_automatic_differentiation(self) -> None:
        """A gradient in closed form is that of the loss."""
        task: BatchedTask = self.make()
        theta = task.start(_SEEDS)
        theta = theta + 0.3 * torch.linspace(-1, 1, theta.numel(), dtype=theta.dtype).view_as(theta)
        for own, automatic in zip(
            task.loss_and_gradient(theta), differentiate(task.loss, theta), strict=True
        ):
            torch.testing.assert_close(own, automatic)

    def test_batch_rows_are_independent(self) -> None:
        """A row of NaN does not change the others' numbers."""
        task: BatchedTask = self.make()
        theta = task.start(_SEEDS)
        whole = task.loss_and_gradient(theta)
        spoilt = theta.clone()
        spoilt[1] = torch.nan
        for a, b in zip(task.loss_and_gradient(spoilt), whole, strict=True):
            assert torch.equal(a[[0, 2]], b[[0, 2]])
            assert a[1].isnan().all()


def _norm(tensors: list[Tensor]) -> float:
    return float(torch.stack([t.detach().double().norm() for t in tensors]).norm())


def _state(problem: Problem) -> list[Tensor]:
    grads = [p.grad for p in problem.parameters if p.grad is not None]
    return [t.detach().clone() for t in (*problem.parameters, *grads)]


def evaluate_step(problem: Problem, step: int) -> list[Tensor]:
    """Return the loss of a step, and the gradient of each parameter."""
    loss = problem.closure(step).clone()
    grads = []
    for parameter in problem.parameters:
        assert parameter.grad is not None, "closure left a parameter without a gradient"
        grads.append(parameter.grad.clone())
    return [loss, *grads]


def _trace(problem: Problem) -> list[Tensor]:
    steps = (0, 1, problem.steps_per_epoch)
    return [*_state(problem), *(t for step in steps for t in evaluate_step(problem, step))]


def assert_same(a: list[Tensor], b: list[Tensor], wanted: str = "must be equal") -> None:
    """Fail where tensors are not equal bit for bit.

    Args:
        a: Tensors.
        b: As many.
        wanted: Prefix of the message: the expectation, and how to meet it.
    """
    assert len(a) == len(b), f"{wanted}: {len(a)} and {len(b)} tensors"
    for x, y in zip(a, b, strict=True):
        assert torch.equal(x, y), f"{wanted}: {x} differs from {y}"
