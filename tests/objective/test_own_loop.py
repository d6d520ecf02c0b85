"""Tasks with their own loop: outcomes, and messages for invalid loops."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import nn

import ecd_tune as et
from ecd_tune.errors import TaskError
from ecd_tune.objective.checkpoints.checkpoint import Callbacks
from ecd_tune.objective.loops.loop import evaluate_loop
from ecd_tune.objective.loops.loop_steps import Trained
from ecd_tune.objective.single import RunPlan
from ecd_tune.optim import ECDSep
from ecd_tune.records import Cause, Direction, Outcome, RunRequest, Stage, Status
from ecd_tune.spec import TrainingSpec

EPOCHS = 4


def make(problem: Any, seed: int, lr: float = 0.1) -> torch.optim.Optimizer:
    return torch.optim.SGD(problem.parameters, lr=lr)


def run(
    function: Callable[[Any], object],
    stage: Stage = Stage.SEARCH,
    callbacks: Callbacks | None = None,
    plan: RunPlan | None = None,
) -> Outcome:
    """Run a function as a trial."""
    task = et.task(metric="score", direction="maximize", epochs=EPOCHS)(function).make()
    plan = plan or RunPlan(EPOCHS, Direction.MAXIMIZE)
    return evaluate_loop(task, make, RunRequest({}, 3, stage), plan, callbacks=callbacks)


def values(*scores: float, losses: tuple[float, ...] = (), tested: list[float] | None = None):
    """Return a loop that reports these, and counts its epochs in a parameter."""

    def loop(given: Any) -> None:
        model = given.keep(nn.Linear(1, 1, bias=False))
        optimizer = given.optimizer(model.parameters())
        with torch.no_grad():
            model.weight.zero_()
        for epoch in given.epochs():
            loss = -10 * model.weight.sum()  # a step of 0.1 adds 1
            optimizer.zero_grad()
            loss.backward()
            optimizer.step(loss=loss)
            given.report(scores[epoch - 1], loss=losses[epoch - 1] if losses else None)

        def test() -> float:
            if tested is not None:
                tested.append(float(model.weight.detach()))
            return 0.5

        given.test(test)

    return loop


def test_the_best_epoch_is_the_value_and_what_is_tested() -> None:
    tested: list[float] = []
    outcome = run(values(0.1, 0.7, 0.3, 0.2, tested=tested), Stage.CONFIRM)
    assert (outcome.status, outcome.value) == (Status.COMPLETE, 0.7)
    assert outcome.metrics["best_epoch"] == 2
    assert outcome.metrics["test_score"] == 0.5
    assert tested == [2.0]  # the weight after two epochs
    assert outcome.curve.steps == (1, 2, 3, 4)
    assert outcome.curve.values == (0.1, 0.7, 0.3, 0.2)


def test_the_search_does_not_test() -> None:
    tested: list[float] = []
    outcome = run(values(0.1, 0.7, 0.3, 0.2, tested=tested))
    assert tested == []
    assert "test_score" not in outcome.metrics


def test_equal_metrics_are_ordered_by_loss() -> None:
    outcome = run(values(0.7, 0.7, 0.7, 0.2, losses=(0.3, 0.1, 0.2, 0.0)))
    assert outcome.metrics["best_epoch"] == 2
    assert outcome.metrics["val_loss"] == 0.1


def test_divergence_keeps_the_best_value() -> None:
    outcome = run(values(0.1, 0.7, float("nan"), 0.2))
    assert (outcome.status, outcome.value) == (Status.DIVERGED, 0.7)
    assert outcome.reason == "validation score became non-finite (nan) after epoch 3"


def test_a_loss_that_is_not_finite_ends_the_run() -> None:
    def loop(given: Any) -> None:
        model = given.keep(nn.Linear(1, 1))
        optimizer = given.optimizer(model.parameters())
        for _ in given.epochs():
            optimizer.step(loss=torch.tensor(float("inf")))

    outcome = run(loop)
    assert (outcome.status, outcome.cause) == (Status.FAILED, Cause.NON_FINITE)
    assert outcome.reason == "loss became non-finite (inf) in epoch 1"


def test_pruner_ends_the_run_after_an_epoch() -> None:
    seen: list[tuple[int, float]] = []
    callbacks = Callbacks(
        report=lambda epoch, value: seen.append((epoch, value)),
        prune=lambda: "behind" if len(seen) == 2 else None,
    )
    outcome = run(values(0.1, 0.7, 0.3, 0.2), callbacks=callbacks)
    assert (outcome.status, outcome.reason) == (Status.PRUNED, "behind")
    assert seen == [(1, 0.1), (2, 0.7)]


def test_the_mean_loss_of_an_epoch_is_a_curve() -> None:
    outcome = run(values(0.1, 0.7, 0.3, 0.2))
    assert outcome.curves["train_loss"].values == (0.0, -10.0, -20.0, -30.0)


def test_torch_schedulers_accept_the_optimizer() -> None:
    rates: list[float] = []

    def loop(given: Any) -> None:
        model = given.keep(nn.Linear(1, 1))
        optimizer = given.optimizer(model.parameters())
        schedule = given.keep(torch.optim.lr_scheduler.ExponentialLR(optimizer, 0.5))
        for _ in given.epochs():
            loss = model(torch.ones(1, 1)).sum()
            loss.backward()
            optimizer.step(loss=loss)
            schedule.step()
            rates.append(schedule.get_last_lr()[0])
            given.report(0.1)

    run(loop)
    assert rates == pytest.approx([0.05, 0.025, 0.0125, 0.00625])


class Loops:
    """Loops with a fault, by what is said of it."""

    @staticmethod
    def unreported(given: Any) -> None:
        optimizer = given.optimizer(given.keep(nn.Linear(1, 1)).parameters())
        for _ in given.epochs():
            optimizer.step(loss=torch.tensor(1.0))

    @staticmethod
    def reported_twice(given: Any) -> None:
        given.optimizer(given.keep(nn.Linear(1, 1)).parameters())
        for _ in given.epochs():
            given.report(1.0)
            given.report(1.0)

    @staticmethod
    def reported_outside(given: Any) -> None:
        given.optimizer(given.keep(nn.Linear(1, 1)).parameters())
        given.report(1.0)

    @staticmethod
    def no_number(given: Any) -> None:
        given.optimizer(given.keep(nn.Linear(1, 1)).parameters())
        for _ in given.epochs():
            given.report(torch.zeros(2))

    @staticmethod
    def not_kept(given: Any) -> None:
        given.optimizer(nn.Linear(1, 3).parameters())
        for _ in given.epochs():
            given.report(1.0)

    @staticmethod
    def without_optimizer(given: Any) -> None:
        given.keep(nn.Linear(1, 1))
        for _ in given.epochs():
            given.report(1.0)

    @staticmethod
    def not_reported(given: Any) -> None:
        given.optimizer(given.keep(nn.Linear(1, 1)).parameters())

    @staticmethod
    def loss_missing(given: Any) -> None:
        optimizer = given.optimizer(given.keep(nn.Linear(1, 1)).parameters())
        for _ in given.epochs():
            optimizer.step()

    @staticmethod
    def groups(given: Any) -> None:
        given.optimizer([{"params": list(given.keep(nn.Linear(1, 1)).parameters())}])

    @staticmethod
    def both_forms(given: Any) -> None:
        given.model(nn.Linear(1, 1))

    @staticmethod
    def stateless(given: Any) -> None:
        given.keep(3)

    @staticmethod
    def tested_inside(given: Any) -> None:
        given.optimizer(given.keep(nn.Linear(1, 1)).parameters())
        for _ in given.epochs():
            given.test(lambda: 1.0)

    @staticmethod
    def foreign_buffers(given: Any) -> None:
        model, norm = given.keep(nn.Linear(1, 4)), nn.BatchNorm1d(4)
        given.optimizer(model.parameters())
        for _ in given.epochs():
            norm(model(torch.ones(3, 1)))
            given.report(1.0)


@pytest.mark.parametrize(
    ("loop", "message"),
    [
        (Loops.unreported, "epoch 1 ended without run.report"),
        (Loops.reported_twice, "must be called once per epoch"),
        (Loops.reported_outside, "must be called once per epoch"),
        (Loops.no_number, "run.report: needs a number; got Tensor"),
        (Loops.not_kept, r"2 trained parameters are not kept, of shape \(3, 1\)"),
        (Loops.without_optimizer, "create the optimizer first"),
        (lambda given: given.keep(nn.Linear(1, 1)), "the task created no optimizer"),
        (Loops.not_reported, r"ended without run\.report\(value\) in any epoch"),
        (Loops.loss_missing, r"optimizer.step\(loss=loss\); got NoneType"),
        (Loops.groups, "needs the tensors to train"),
        (Loops.both_forms, "either describes a model"),
        (Loops.stateless, "int has no state_dict"),
        (Loops.tested_inside, "called after the loop"),
        (Loops.foreign_buffers, "running_mean, running_var, num_batches_tracked of a BatchNorm1d"),
    ],
)
def test_a_loop_that_cannot_be_continued_is_refused(loop: Any, message: str) -> None:
    with pytest.raises(TaskError, match=message):
        run(loop)


def test_a_frozen_module_need_not_be_kept() -> None:
    def loop(given: Any) -> None:
        norm = nn.BatchNorm1d(4).eval()
        model = given.keep(nn.Linear(1, 4))
        given.optimizer(model.parameters())
        for _ in given.epochs():
            norm(model(torch.ones(3, 1)))
            given.report(1.0)

    assert run(loop).status is Status.COMPLETE


def test_confirmation_must_call_test() -> None:
    def loop(given: Any) -> None:
        given.optimizer(given.keep(nn.Linear(1, 1)).parameters())
        for _ in given.epochs():
            given.report(1.0)

    with pytest.raises(TaskError, match=r"call run\.test"):
        run(loop, Stage.CONFIRM)
    # The first trial of the search says so too, not the confirmation after all others.
    assert run(loop).status is Status.COMPLETE
    with pytest.raises(TaskError, match=r"call run\.test"):
        run(loop, plan=RunPlan(EPOCHS, Direction.MAXIMIZE, confirms=True))


def test_run_that_ends_early_need_not_call_test() -> None:
    plan = RunPlan(EPOCHS, Direction.MAXIMIZE, confirms=True)
    assert run(values(0.1, float("nan"), 0.3, 0.2), plan=plan).status is Status.DIVERGED


@pytest.mark.parametrize("value", ["0.9", None, [1.0, 2.0]])
def test_reported_values_must_be_numbers(value: Any) -> None:
    def loop(given: Any) -> None:
        given.optimizer(given.keep(nn.Linear(1, 1)).parameters())
        for _ in given.epochs():
            given.report(value)

    with pytest.raises(TaskError, match=r"run\.report: needs a number; got"):
        run(loop)


@pytest.mark.parametrize(
    ("plan", "message"),
    [
        (
            RunPlan(1, Direction.MAXIMIZE, training=TrainingSpec(clip=1.0, eval_every=2)),
            r"\[training\]: eval_every: needs a task that describes a model",
        ),
        (RunPlan(1, Direction.MAXIMIZE, "paper"), "use protocol 'clean'"),
    ],
)
def test_unsupported_options_of_a_loop_are_refused(plan: RunPlan, message: str) -> None:
    with pytest.raises(TaskError, match=message):
        run(values(0.1), plan=plan)


def test_the_gradient_of_a_step_is_clipped_where_the_study_says_so() -> None:
    tested: list[float] = []
    plan = RunPlan(EPOCHS, Direction.MAXIMIZE, training=TrainingSpec(clip=1.0))
    run(values(0.1, 0.2, 0.3, 0.4, tested=tested), Stage.CONFIRM, plan=plan)
    assert tested == pytest.approx([0.1 * EPOCHS])  # -10 became -1, times lr = 0.1


def squares(kind: str) -> Callable[[Any], object]:
    """Return a loop that tells the loss in one of three ways."""

    def loop(given: Any) -> None:
        model = given.keep(nn.Linear(2, 1))
        with torch.no_grad():
            model.weight.fill_(0.5)
        made = given.optimizer(model.parameters())

        def closure() -> torch.Tensor:
            made.zero_grad()
            loss = model(torch.ones(1, 2)).square().sum()
            loss.backward()
            return loss

        for _ in given.epochs():
            if kind == "closure":
                made.step(closure)
            elif kind == "loss":
                made.step(loss=closure())
            else:
                half = closure().detach() / 2
                made.add_loss(half)
                made.add_loss(half)
                made.step()
            given.report(float(model.weight.detach().sum()))

    return loop


@pytest.mark.parametrize(
    "make",
    [
        lambda problem, seed: torch.optim.SGD(problem.parameters, lr=0.01),
        lambda problem, seed: ECDSep(problem.parameters, lr=0.1, eta=2.0, seed=seed),
    ],
    ids=["sgd", "ecdsep"],
)
def test_loss_can_be_passed_in_three_ways(make: Any) -> None:
    found = []
    for kind in ("loss", "closure", "add_loss"):
        task = et.task(metric="sum", direction="minimize", epochs=EPOCHS)(squares(kind)).make()
        plan = RunPlan(EPOCHS, Direction.MINIMIZE)
        outcome = evaluate_loop(task, make, RunRequest({}, 3, Stage.SEARCH), plan)
        found.append((outcome.curves["train_loss"].values, outcome.curve.values))
    assert found[0] == found[1] == found[2]
    assert found[0][0][-1] < found[0][0][0]


class TestAnAverageOfTheWeights:
    """Schedule-Free, beside the same loop with the library's optimizer alone."""

    x = torch.linspace(-1, 1, 12).view(6, 2)

    def make(self, problem: Any, seed: int) -> torch.optim.Optimizer:
        from pytorch_optimizer import ScheduleFreeAdamW

        return ScheduleFreeAdamW(problem.parameters, lr=0.1)

    def loss(self, model: nn.Module) -> torch.Tensor:
        return (model(self.x) - self.x.sum(1, keepdim=True)).square().mean()

    def epoch(self, model: nn.Module, optimizer: Any, evaluates: bool = True) -> float:
        optimizer.train()
        for _ in range(3):
            optimizer.zero_grad()
            loss = self.loss(model)
            loss.backward()
            optimizer.step(loss=loss)
        if evaluates:
            optimizer.eval()
        return float(self.loss(model).detach())

    def evaluate(self, evaluates: bool = True) -> Outcome:
        def loop(given: Any) -> None:
            torch.manual_seed(0)
            model = given.keep(nn.Linear(2, 1))
            optimizer = given.optimizer(model.parameters())
            for _ in given.epochs():
                given.report(self.epoch(model, optimizer, evaluates))

        task = et.task(metric="error", direction="minimize", epochs=EPOCHS)(loop).make()
        plan = RunPlan(EPOCHS, Direction.MINIMIZE)
        return evaluate_loop(task, self.make, RunRequest({}, 3, Stage.SEARCH), plan)

    def test_loop_is_evaluated(self) -> None:
        torch.manual_seed(0)
        model = nn.Linear(2, 1)
        alone: Any = self.make(Trained(list(model.parameters())), 0)
        step = alone.step
        alone.step = lambda loss: step()
        expected = [self.epoch(model, alone) for _ in range(EPOCHS)]
        assert self.evaluate().curve.values == pytest.approx(expected, rel=1e-6)

    def test_loop_with_another_evaluation_is_an_error(self) -> None:
        with pytest.raises(TaskError, match=r"call optimizer\.eval\(\) before the evaluation"):
            self.evaluate(evaluates=False)
