"""Accumulated gradients are those of the large batch; precision and speed."""

from __future__ import annotations

from typing import Any

import pytest
import torch

from ecd_tune.objective import Objective
from ecd_tune.objective.training.batches import Batches
from ecd_tune.objective.training.stepping import Stepper
from ecd_tune.optim import ECDSep
from ecd_tune.records import RunRequest, Stage, Status
from ecd_tune.spec import parse_study
from ecd_tune.tasks.digits import DigitsProblem, make

SMALL, LARGE = 32, 128


def digits(batch_size: int) -> DigitsProblem:
    return make(hidden=8, batch_size=batch_size).build(3, Stage.SEARCH)


def gradients(problem: Any) -> list[torch.Tensor]:
    return [p.grad.clone() for p in problem.parameters]


def test_accumulated_step_equals_a_large_batch_step() -> None:
    small, large = digits(SMALL), digits(LARGE)
    batches = Batches(small, LARGE // SMALL)
    assert batches.steps_per_epoch == large.steps_per_epoch == 9
    # Step 8 is the last of the epoch: 54 examples in batches of 32 and 22.
    for step in (0, 3, 8, 9):
        loss = batches.closure(step)
        torch.testing.assert_close(loss, large.closure(step), rtol=1e-6, atol=1e-7)
        for a, b in zip(gradients(small), gradients(large), strict=True):
            torch.testing.assert_close(a, b, rtol=1e-4, atol=1e-7)
        assert batches.examples(step) == large.examples(step)
    assert batches.examples(8) == 54


def test_batches_have_equal_weight_without_example_counts(monkeypatch: pytest.MonkeyPatch) -> None:
    problem = digits(LARGE)
    losses = [float(problem.closure(step)) for step in (0, 1)]
    monkeypatch.delattr(DigitsProblem, "examples")
    batches = Batches(problem, 2)
    assert float(batches.closure(0)) == pytest.approx(sum(losses) / 2, rel=1e-6)
    assert batches.examples(0) == 2


def test_one_batch_a_step_is_the_problems_own_closure() -> None:
    one, other = digits(LARGE), digits(LARGE)
    assert torch.equal(Batches(one).closure(4), other.closure(4))
    for a, b in zip(gradients(one), gradients(other), strict=True):
        assert torch.equal(a, b)


def run(
    optimizer: str, params: dict[str, Any], stage: Stage = Stage.SEARCH, **training: Any
) -> Any:
    spec = parse_study(
        {
            "name": "test",
            "task": {"name": "digits", "hidden": 8, "batch_size": training.pop("batch_size", 64)},
            "budget": {"trials": 1, "steps": 3},
            "training": training,
            "optimizers": {optimizer: {"space": params}},
        }
    )
    (outcome,) = Objective(spec, optimizer).evaluate([RunRequest(params, 3, stage)])
    return outcome


@pytest.mark.parametrize(
    ("optimizer", "params"),
    [("sgd", {"lr": 0.1, "momentum": 0.9}), ("ecdsep", {"lr": 0.3, "eta": 1.0, "nu": 1e-5})],
)
def test_accumulated_run_equals_a_large_batch_run(optimizer: str, params: dict[str, Any]) -> None:
    small = run(optimizer, params, batch_size=32, accumulate=4)
    large = run(optimizer, params, batch_size=128)
    assert small.metrics["train_loss"] == pytest.approx(large.metrics["train_loss"], rel=1e-3)
    assert small.curve.values == pytest.approx(large.curve.values, abs=0.01)


def test_half_precision_trains_similarly() -> None:
    half = run("sgd", {"lr": 0.1, "momentum": 0.9}, precision="bf16")
    full = run("sgd", {"lr": 0.1, "momentum": 0.9})
    assert half.status is Status.COMPLETE
    assert half.metrics["train_loss"] != full.metrics["train_loss"]
    assert half.metrics["train_loss"] == pytest.approx(full.metrics["train_loss"], rel=0.05)


def test_only_the_network_runs_in_half_precision() -> None:
    problem, seen = digits(LARGE), []
    logits = problem._logits
    problem._logits = lambda x: seen.append(logits(x)) or seen[-1]  # type: ignore[method-assign]
    batches = Batches(problem, 1, "bf16")
    batches.closure(0)
    with batches.precision():
        problem.evaluate("val")
    assert [x.dtype for x in seen] == [torch.bfloat16] * 2
    assert {p.dtype for p in problem.parameters} == {torch.float32}
    assert {p.grad.dtype for p in problem.parameters if p.grad is not None} == {torch.float32}


def test_speed_and_memory_are_recorded() -> None:
    metrics = run("sgd", {"lr": 0.1, "momentum": 0.9}).metrics
    assert metrics["examples_per_second"] > 100
    assert metrics["peak_memory_mib"] > 50


def test_ecdsep_uses_the_minibatch_loss(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    forward: list[int] = []
    logits = DigitsProblem._logits

    def count(self: DigitsProblem, x: torch.Tensor) -> torch.Tensor:
        forward.append(len(x))
        return logits(self, x)

    monkeypatch.setattr(DigitsProblem, "_logits", count)
    problem = digits(LARGE)
    optimizer = ECDSep(problem.parameters, lr=0.3, eta=1.5, seed=0)
    stepper = Stepper(problem, optimizer)
    for _ in range(2 * problem.steps_per_epoch):
        stepper.step()
    train = 1078
    assert forward == [*[128] * 8, train - 8 * 128] * 2
    assert optimizer.report()["updates"] == 18


class Forwards(DigitsProblem):
    """Writes down what was asked of it."""

    def __init__(self, inner: DigitsProblem) -> None:
        self.__dict__.update(inner.__dict__)
        self.asked: list[tuple[str, int]] = []

    def closure(self, step: int) -> torch.Tensor:
        self.asked.append(("closure", step))
        return super().closure(step)

    def pass_forward(self, step: int) -> None:
        self.asked.append(("forward", step))


def test_the_second_forward_pass_follows_the_step_over_all_its_batches() -> None:
    for again, forwards in ((True, [("forward", 2), ("forward", 3)]), (False, [])):
        problem = Forwards(digits(SMALL))
        batches = Batches(problem, 2, again=again)
        optimizer = torch.optim.SGD(problem.parameters, lr=0.1)
        stepper = Stepper(problem, optimizer, batches=batches)
        stepper.step()
        problem.asked.clear()
        before = [p.detach().clone() for p in problem.parameters]
        stepper.step()
        assert problem.asked == [("closure", 2), ("closure", 3), *forwards]
        assert not all(torch.equal(a, b) for a, b in zip(before, problem.parameters, strict=True))


def test_unsupported_second_forward_is_an_error() -> None:
    outcome = run("sgd", {"lr": 0.1}, second_forward=True)
    assert outcome.status is Status.FAILED
    assert "second_forward = true: this task does not" in (outcome.reason or "")
