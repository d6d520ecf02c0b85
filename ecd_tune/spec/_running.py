"""Checks of ``[training]``, ``[pruning]``, ``[search]`` and ``[selection]``."""

from __future__ import annotations

from ecd_tune.records import Stage
from ecd_tune.spec.model import StudySpec
from ecd_tune.spec.searches import MOST_TRIALS_OF_EACH

__all__ = ["check_pruning", "check_searches", "check_training"]


def check_training(spec: StudySpec, optimizer: str) -> list[str]:
    """Check the training of one optimizer.

    Args:
        spec: The study.
        optimizer: Key of the optimizer.

    Returns:
        The problems, one sentence each.
    """
    training, problems = spec.training_for(optimizer), []
    for key in ("averaging", "precision", "memory_format", "compile", "accumulate", "device"):
        changed = key in spec.optimizers[optimizer].training
        if (changed or key in spec.training.model_fields_set) and not spec.learns:
            where = _table(spec, optimizer, key)
            problems.append(f"[{where}]: {key}: task {spec.task.name!r} does not train by epochs")
    where = _table(spec, optimizer, "device")
    if training.device not in ("auto", "cpu") and "device" not in spec.task_def.options:
        problems.append(
            f"[{where}]: device = {training.device!r}: task {spec.task.name!r} runs on the CPU; "
            "remove the key"
        )
    if training.device != "auto" and "device" in spec.task.options:
        problems.append(f"[{where}]: device: also set in [task]; set it only here")
    if training.averaging is not None and spec.learns:
        problems += _late_starts(spec, optimizer)
    return problems


def _table(spec: StudySpec, optimizer: str, key: str) -> str:
    own = key in spec.optimizers[optimizer].training
    return f"optimizers.{optimizer}.training" if own else "training"


def _late_starts(spec: StudySpec, optimizer: str) -> list[str]:
    averaging = spec.training_for(optimizer).averaging
    assert averaging is not None  # the caller has looked
    shortest = min(spec.steps(stage) for stage in spec.stages)
    given = averaging.start if isinstance(averaging.start, tuple) else (averaging.start or 1,)
    where = _table(spec, optimizer, "averaging")
    return [
        f"[{where}.averaging]: start = {start}: a run has {shortest} epochs"
        for start in given
        if start > shortest
    ]


def check_pruning(spec: StudySpec) -> list[str]:
    """Check that trials of this study can be pruned, if it has ``[pruning]``.

    Args:
        spec: The study.

    Returns:
        The problems, one sentence each.
    """
    kind = spec.pruning.kind
    if kind == "none":
        return []
    if not spec.learns:
        return [
            f"[pruning]: kind = {kind!r}: task {spec.task.name!r} has no epochs to prune after; "
            "only learning tasks have"
        ]
    if spec.protocol == "paper":
        return [
            f"[pruning]: kind = {kind!r}: the paper ran every trial to its end, and pruning would "
            "select on the test split; remove [pruning], or use protocol = 'clean'"
        ]
    if kind != "median" and spec.pruning.least_epochs > spec.steps(Stage.SEARCH):
        return [
            f"[pruning]: least_epochs = {spec.pruning.least_epochs}: a trial has "
            f"{spec.steps(Stage.SEARCH)} epochs"
        ]
    if spec.pruning.resume and spec.checkpoints.place == "none":
        return [
            "[pruning]: resume = true: trials continue from their checkpoints, and [checkpoints] "
            "place is 'none'; name a place that all workers reach, or leave it out"
        ]
    return []


def check_searches(spec: StudySpec) -> list[str]:
    """Check the first trials of searches, and that there are enough seeds for several.

    Args:
        spec: The study.

    Returns:
        The problems, one sentence each.
    """
    problems = []
    if spec.search.from_study == spec.name:
        problems.append(f"[search]: from_study = {spec.name!r}: must be another study")
    if spec.search.repeats > 1 and (spec.budget.trials or 0) > MOST_TRIALS_OF_EACH:
        problems.append(
            f"[search]: repeats = {spec.search.repeats}: each of several searches has at most "
            f"{MOST_TRIALS_OF_EACH} trials, and [budget] gives {spec.budget.trials}"
        )
    several = spec.search.repeats > 1 or spec.selection.top
    if several and spec.confirmation.runs > MOST_TRIALS_OF_EACH:
        problems.append(
            f"[confirmation]: runs = {spec.confirmation.runs}: at most {MOST_TRIALS_OF_EACH} with "
            "several searches or a selection"
        )
    name, options = spec.sampler.name, spec.sampler.options
    fixed = name == "grid" or (name == "qmc" and not options.get("scramble", False))
    if fixed and spec.search.repeats > 1:
        remedy = "scramble = true under [sampler]" if name == "qmc" else "another sampler"
        problems.append(
            f"[search]: repeats = {spec.search.repeats}: {name!r} draws the same points every "
            f"time; use {remedy}, or remove the key"
        )
    return problems
