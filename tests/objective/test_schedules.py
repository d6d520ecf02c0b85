"""The learning rate's factor against torch's own schedulers and its closed form."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch.optim import lr_scheduler

from ecd_tune.objective import Objective
from ecd_tune.objective.training.schedules import lr_factor
from ecd_tune.objective.training.stepping import Stepper
from ecd_tune.records import RunRequest, Status
from ecd_tune.spec import Schedule, StudySpec, parse_study

STEPS = 40


def torch_factors(make) -> list[float]:  # type: ignore[no-untyped-def]
    parameter = torch.nn.Parameter(torch.zeros(1))
    optimizer = torch.optim.SGD([parameter], lr=1.0)
    scheduler = make(optimizer)
    factors = []
    for _ in range(STEPS):
        factors.append(optimizer.param_groups[0]["lr"])
        optimizer.step()
        scheduler.step()
    return factors


def ours(schedule: Schedule, steps_per_epoch: int = 1) -> list[float]:
    return [lr_factor(schedule, step, STEPS, steps_per_epoch) for step in range(STEPS)]


def test_linear_and_cosine_are_torchs() -> None:
    linear = torch_factors(lambda o: lr_scheduler.LinearLR(o, 1.0, 0.25, total_iters=STEPS))
    assert ours(Schedule(name="linear", final=0.25)) == pytest.approx(linear, abs=1e-12)
    cosine = torch_factors(lambda o: lr_scheduler.CosineAnnealingLR(o, STEPS, eta_min=0.1))
    assert ours(Schedule(name="cosine", final=0.1)) == pytest.approx(cosine, abs=1e-9)


def test_step_drops_at_epochs() -> None:
    stepped = torch_factors(lambda o: lr_scheduler.StepLR(o, step_size=15, gamma=0.5))
    schedule = Schedule(name="step", every=3, factor=0.5)
    assert ours(schedule, steps_per_epoch=5) == pytest.approx(stepped)


def test_constant_is_one() -> None:
    assert set(ours(Schedule())) == {1.0}


def test_linear_with_warmup_rises_then_falls_to_its_end() -> None:
    factors = ours(Schedule(name="linear", warmup=0.25))
    assert factors[:10] == pytest.approx([(k + 1) / 11 for k in range(10)])
    assert factors[10] == 1.0
    assert factors[-1] == pytest.approx(1 / 30)
    assert factors[10:] == sorted(factors[10:], reverse=True)


@given(
    st.sampled_from(["constant", "linear", "cosine", "step"]),
    st.floats(0, 0.9),
    st.floats(0, 1),
    st.integers(1, 300),
)
def test_factors_stay_in_range_and_never_vanish(
    name: str, warmup: float, final: float, steps: int
) -> None:
    schedule = Schedule(name=name, warmup=warmup, final=final)  # type: ignore[arg-type]
    for step in range(steps):
        assert 0 < lr_factor(schedule, step, steps, 3) <= 1


def digits_study(**training: object) -> StudySpec:
    return parse_study(
        {
            "name": "small",
            "task": {"name": "digits"},
            "budget": {"trials": 1, "steps": 5},
            "training": training,
            "optimizers": {"sgd": {"space": {"lr": 0.1}}, "ecdsep": {"space": {"eta": 1.0}}},
        }
    )


@pytest.mark.parametrize("optimizer", ["sgd", "ecdsep"])
def test_a_schedule_reaches_the_optimizer(optimizer: str, monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[float] = []
    step = Stepper.step

    def spy(self: Stepper) -> None:
        step(self)
        seen.append(self._optimizer.param_groups[0]["lr"])

    monkeypatch.setattr(Stepper, "step", spy)
    spec = digits_study(schedule={"name": "linear"})
    outcome = Objective(spec, optimizer).evaluate([RunRequest({"lr": 0.1, **ETA[optimizer]}, 1)])[0]
    assert outcome.status is Status.COMPLETE
    count = len(seen)
    assert count == 5 * 17
    assert seen == pytest.approx([0.1 * (1 - k / count) for k in range(count)])


ETA: dict[str, dict[str, float]] = {"sgd": {}, "ecdsep": {"eta": 1.0}}


def test_clip_bounds_the_step() -> None:
    request = RunRequest({"lr": 0.1}, 1)
    free, clipped = (
        Objective(digits_study(**settings), "sgd").evaluate([request])[0]
        for settings in ({}, {"clip": 1e-6})
    )
    assert free.value is not None
    assert clipped.value is not None
    # A gradient of norm 1e-6 moves nothing that could be seen in the accuracy.
    assert clipped.curve.values == (clipped.curve.values[0],) * 6
    assert free.value > clipped.value


def test_eval_every_includes_the_last_epoch() -> None:
    request = RunRequest({"lr": 0.1}, 1)
    every, some = (
        Objective(digits_study(eval_every=k), "sgd").evaluate([request])[0] for k in (1, 2)
    )
    assert every.curve.steps == (0, 1, 2, 3, 4, 5)
    assert some.curve.steps == (0, 2, 4, 5)
    by_epoch = dict(zip(every.curve.steps, every.curve.values, strict=True))
    assert some.curve.values == tuple(by_epoch[k] for k in some.curve.steps)
