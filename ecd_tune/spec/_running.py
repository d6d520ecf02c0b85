"""What ``[training]`` and ``[pruning]`` may say depends on task, protocol and length of a run."""

from __future__ import annotations

from ecd_tune.records import Stage
from ecd_tune.spec.model import StudySpec

__all__ = ["check_pruning", "check_training"]


def check_training(spec: StudySpec, optimizer: str) -> list[str]:
    """Check the training of one optimizer.

    Args:
        spec: The study.
        optimizer: Key of the optimizer.

    Returns:
        What is wrong, one sentence each.
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
            "leave it out"
        )
    if training.device != "auto" and "device" in spec.task.options:
        problems.append(f"[{where}]: device: [task] gives one too; give it here alone")
    if training.averaging is not None and spec.learns:
        problems += _late_starts(spec, optimizer)
    return problems


def _table(spec: StudySpec, optimizer: str, key: str) -> str:
    own = key in spec.optimizers[optimizer].training
    return f"optimizers.{optimizer}.training" if own else "training"


def _late_starts(spec: StudySpec, optimizer: str) -> list[str]:
    averaging = spec.training_for(optimizer).averaging
    assert averaging is not None  # the caller has looked
    shortest = min(spec.steps(stage) for stage in Stage)
    given = averaging.start if isinstance(averaging.start, tuple) else (averaging.start or 1,)
    where = _table(spec, optimizer, "averaging")
    return [
        f"[{where}.averaging]: start = {start}: a run has {shortest} epochs"
        for start in given
        if start > shortest
    ]


def check_pruning(spec: StudySpec) -> list[str]:
    """Check that trials of this study may be pruned, where it asks for it.

    Args:
        spec: The study.

    Returns:
        What is wrong, one sentence each.
    """
    kind = spec.pruning.kind
    if kind == "none":
        return []
    if not spec.learns:
        return [
            f"[pruning]: kind = {kind!r}: task {spec.task.name!r} has no epochs to prune after; "
            "only tasks that learn do"
        ]
    if spec.protocol == "paper":
        return [
            f"[pruning]: kind = {kind!r}: the paper ran every trial to its end, and what is "
            "pruned here would be chosen on the test split; leave [pruning] out, or use protocol "
            "= 'clean'"
        ]
    if kind == "hyperband" and spec.pruning.least_epochs > spec.steps(Stage.SEARCH):
        return [
            f"[pruning]: least_epochs = {spec.pruning.least_epochs}: a trial has "
            f"{spec.steps(Stage.SEARCH)} epochs"
        ]
    return []
