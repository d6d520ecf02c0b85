"""Make a few steps of an optimizer on a task before a search, and report errors."""

from __future__ import annotations

import math
import time
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor

from ecd_tune.errors import NonFiniteLossError, TaskError
from ecd_tune.objective.checkpoints.checkpoint import Callbacks
from ecd_tune.objective.checkpoints.snapshots import CheckpointTimer
from ecd_tune.objective.loops.loop import Loop, RunEndedError
from ecd_tune.objective.objective import Objective
from ecd_tune.objective.resolving import Resolving
from ecd_tune.objective.single import RunPlan
from ecd_tune.objective.training.protocols import Protocol, builder
from ecd_tune.objective.training.stepping import Stepper
from ecd_tune.records import Params, RunRequest, Stage
from ecd_tune.registry import load_attribute
from ecd_tune.spec import StudySpec

__all__ = ["DryRun", "dry_run"]

_STEPS = 3


@dataclass(frozen=True)
class DryRun:
    """Result of a few steps.

    Attributes:
        loss: Of the first step.
        parameters: Numbers that are trained.
        without_gradient: Tensors among them that the first step gives no gradient.
        step_seconds: Time of a step.
        run_seconds: Estimate of one search run; None for a loop, whose length is unknown.
        peak_bytes: Memory of the GPU at most; None on the CPU.
    """

    loss: float
    parameters: int
    without_gradient: int
    step_seconds: float
    run_seconds: float | None
    peak_bytes: int | None


def dry_run(spec: StudySpec, optimizer: str) -> DryRun:
    """Make a few steps with the first trial's hyperparameters.

    Args:
        spec: The study, of a task that learns.
        optimizer: Key of the optimizer.

    Returns:
        Its arguments.

    Raises:
        TaskError: A loss is not finite or not above F0, no gradient arrives, the same seed gives
            another loss, or the task lacks what a stage needs.
    """
    task = Objective(spec, optimizer).task(Stage.SEARCH)
    loops = bool(getattr(task, "loops", False))
    probe = _loop_steps if loops else _problem_steps
    try:
        first, second = (probe(spec, optimizer, task) for _ in range(2))
    except NonFiniteLossError as error:
        raise TaskError(_non_finite(spec, optimizer, str(error))) from error
    if first[0] != second[0]:
        raise TaskError(
            f"{optimizer}: two runs with the same seed have the losses {_list(first[0])} and "
            f"{_list(second[0])}; some random numbers do not depend on the seed: draw them from "
            "the global generators of torch, numpy or random, or from a generator seeded with "
            "run.seed"
        )
    if spec.confirmation.runs and not loops:
        # Only its presence is checked: the test data are not used yet.
        builder(task, _protocol(spec))(spec.confirm_seed(0), Stage.CONFIRM)
    _check_floor(spec, optimizer, first[0])
    return second[1]  # the first one also loads what every process loads once


def _problem_steps(spec: StudySpec, optimizer: str, task: Any) -> tuple[list[float], DryRun]:
    problem = builder(task, _protocol(spec))(spec.search_seed(0), Stage.SEARCH)
    made = _resolving(spec, optimizer).single(problem, 0, **_params(spec, optimizer))
    _, evaluation = _timed(lambda: problem.evaluate("test" if spec.oracle else "val"))
    stepper = Stepper(problem, made)
    times = []
    for number in range(_STEPS):
        _, seconds = _timed(stepper.step)
        times.append(seconds)
        if number == 0:
            without = _check_gradients(optimizer, problem.parameters)
    length = problem.steps_per_epoch
    step = min(times)
    run = spec.steps(Stage.SEARCH) * (length * step + evaluation)
    return list(stepper.losses), _result(stepper.losses[0], problem.parameters, without, step, run)


def _loop_steps(spec: StudySpec, optimizer: str, task: Any) -> tuple[list[float], DryRun]:
    request = RunRequest(_params(spec, optimizer), spec.search_seed(0))
    plan = RunPlan(spec.steps(Stage.SEARCH), spec.task_def.direction)
    probe = _Probe(
        task.metric,
        _resolving(spec, optimizer).single,
        request,
        plan,
        CheckpointTimer(None, None, time.perf_counter()),
        Callbacks(),
        False,
    )
    try:
        task.drive(request.seed, Stage.SEARCH, probe)
    except RunEndedError:
        pass
    finally:
        probe.kept.close()
    if not probe.losses:
        raise TaskError("the loop makes no steps: call optimizer.step(loss=loss) in each epoch")
    without = _check_gradients(optimizer, probe.parameters, probe.missing)
    seconds = min(np.diff(probe.times), default=math.nan)
    return probe.losses, _result(probe.losses[0], probe.parameters, without, float(seconds), None)


class _Probe(Loop):
    """Ends a loop after a few steps, and records their losses."""

    def __init__(self, *arguments: Any) -> None:
        super().__init__(*arguments)
        self.losses: list[float] = []
        self.times: list[float] = []
        self.parameters: list[Tensor] = []
        self.missing = 0

    def optimizer(self, parameters: Any) -> torch.optim.Optimizer:
        """Create the optimizer, and record the tensors that it trains."""
        made = super().optimizer(parameters)
        self.parameters += [p for group in made.param_groups for p in group["params"]]
        return made

    def before_step(self, loss: Tensor) -> None:
        """Record the loss; stop after enough steps.

        Args:
            loss: Detached, 0-d.

        Raises:
            RunEndedError: There are enough.
        """
        self.losses.append(float(loss))
        self.times.append(time.perf_counter())
        if len(self.losses) == 1:
            self.missing = sum(p.grad is None for p in self.parameters)
        if len(self.losses) > _STEPS:
            raise RunEndedError


def _check_gradients(optimizer: str, parameters: list[Tensor], missing: int | None = None) -> int:
    found = sum(p.grad is None for p in parameters) if missing is None else missing
    if found == len(parameters):
        raise TaskError(
            f"{optimizer}: no parameter has a gradient after backward(); does the loss depend on "
            "the model that is trained?"
        )
    return found


def _check_floor(spec: StudySpec, optimizer: str, losses: list[float]) -> None:
    bad = [loss for loss in losses if not math.isfinite(loss)]
    if bad:
        raise TaskError(_non_finite(spec, optimizer, f"the loss of the first steps is {bad[0]}"))
    declared = spec.optimizers[optimizer].definition.hyperparameters.get("F0")
    floor = _params(spec, optimizer).get("F0", declared.default if declared else None)
    if isinstance(floor, (int, float)) and min(losses) <= floor:
        raise TaskError(
            f"{optimizer}: the loss of the first steps is {min(losses):.4g}, and must stay above "
            f"F0 = {floor:g}; set F0 below the smallest possible loss, for example "
            f'space={{"{optimizer}": {{…, "F0": {math.floor(min(losses)) - 1}}}}}'
        )


def _non_finite(spec: StudySpec, optimizer: str, what: str) -> str:
    values = ", ".join(f"{name} = {value}" for name, value in _params(spec, optimizer).items())
    return (
        f"{optimizer}: {what} in the dry run, with {values}; look for NaN or infinite values in "
        "the data and in what the loss divides by or takes the logarithm of. If only these "
        "hyperparameters diverge, skip the dry run: check=False, or --no-check"
    )


def _params(spec: StudySpec, optimizer: str) -> Params:
    own = spec.optimizers[optimizer]
    return own.first[0].params if own.first else own.space.draw(np.random.default_rng(spec.seed))


def _resolving(spec: StudySpec, optimizer: str) -> Resolving:
    own = spec.optimizers[optimizer]
    return Resolving(own, load_attribute(own.definition.factory))


def _protocol(spec: StudySpec) -> Protocol:
    return "paper" if spec.oracle else "clean"


def _timed(call: Any) -> tuple[Any, float]:
    if torch.cuda.is_available():
        torch.cuda.synchronize()
    began = time.perf_counter()
    found = call()
    if torch.cuda.is_available():
        torch.cuda.synchronize()
    return found, time.perf_counter() - began


def _result(
    loss: float, parameters: list[Tensor], without: int, step: float, run: float | None
) -> DryRun:
    device = parameters[0].device
    peak = torch.cuda.max_memory_allocated(device) if device.type == "cuda" else None
    return DryRun(loss, sum(p.numel() for p in parameters), without, step, run, peak)


def _list(losses: list[float]) -> str:
    return ", ".join(f"{loss:.6g}" for loss in losses)
