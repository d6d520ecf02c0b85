"""Load a study file, with messages that give the place, the problem and what is allowed."""

from __future__ import annotations

import sys
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from ecd_tune.errors import SpaceError, SpecError, TaskError, UnknownNameError, hint
from ecd_tune.records import Params, Scalar
from ecd_tune.registry import Hyperparameter, OptimizerDef, TaskDef
from ecd_tune.space import DERIVED, Choice, Dimension, Float
from ecd_tune.spec._running import check_pruning, check_searches, check_training
from ecd_tune.spec._validation import explain, validate
from ecd_tune.spec.auto import choose_sampler
from ecd_tune.spec.checks import check_checks
from ecd_tune.spec.files import apply_smoke, read_table
from ecd_tune.spec.model import StudySpec
from ecd_tune.spec.parts import MOST_TRIALS, FirstTrial, OptimizerSpec, Reference
from ecd_tune.spec.sampler import sampler_problems
from ecd_tune.spec.training import SEARCHABLE_SCHEDULE, TrainingSpec
from ecd_tune.text import find_unprintable

__all__ = ["load_study", "parse_study", "point_problems"]

_PROSE = ("summary", "note")
"""Keys whose texts may have several lines."""


def load_study(path: Path, smoke: bool = False) -> StudySpec:
    """Read and check a study file.

    Args:
        path: A TOML file.
        smoke: Load its smoke form: a short run, on substitute data if the data are missing.

    Returns:
        The study.

    Raises:
        SpecError: A file cannot be read, is not TOML, or is not a valid study.
    """
    return parse_study(read_table(path), str(path), smoke)


def parse_study(table: Mapping[str, Any], where: str = "study", smoke: bool = False) -> StudySpec:
    """Check a study given as plain values.

    Args:
        table: Content of the TOML file.
        where: Begins every message.
        smoke: Make its smoke form.

    Returns:
        The study.

    Raises:
        SpecError: The table is not a valid study; all problems are listed, one per line.
    """
    unprintable = [f"{where} {problem}" for problem in _plain_problems(table)]
    if unprintable:
        raise SpecError("\n".join(unprintable))
    table = apply_smoke(table, smoke, where)
    checked = validate(table)
    problems, spec = list(checked.problems), checked.spec
    if spec is not None and spec.sampler.name == "auto":
        spec = spec.model_copy(update={"sampler": choose_sampler(spec)})
    if spec is not None:
        problems += filter(checked.concerns, _problems(spec))
    if problems:
        # What all optimizers share is wrong once, not once for each of them.
        unique = dict.fromkeys(problems)
        raise SpecError("\n".join(f"{where}{' ' if p[0] == '[' else ': '}{p}" for p in unique))
    assert spec is not None  # without problems there is one
    return spec


def _plain_problems(value: Any, place: tuple[str, ...] = ()) -> Iterator[str]:
    """Report keys and texts with control characters, and numbers that no float can hold.

    Yields:
        One problem each.
    """
    if isinstance(value, Mapping):
        for key, own in value.items():
            yield from _plain_problems(str(key), (*place, "a key"))
            yield from _plain_problems(own, (*place, ascii(key)[1:-1]))
    elif isinstance(value, (list, tuple)):
        for own in value:
            yield from _plain_problems(own, place)
    elif isinstance(value, int) and abs(value) > sys.float_info.max:
        where = f"[{'.'.join(place[:-1])}]: " if place[:-1] else ""
        yield f"{where}{place[-1]}: a whole number of {len(str(value))} digits is too large"
    elif isinstance(value, str):
        prose = place[-1] in _PROSE
        bad = find_unprintable(value, lines=prose)
        if bad is not None:
            yield (
                f"[{'.'.join(place[:-1])}]: {place[-1]}: holds the character U+{ord(bad):04X}; "
                f"{'control characters are' if prose else 'a text is one line, without control'}"
                f"{' not allowed' if prose else ' characters'}"
            )


def _problems(spec: StudySpec) -> list[str]:
    problems, task = [], None
    try:
        task = spec.task_def
    except (UnknownNameError, TaskError) as error:
        problems.append(f"[task]: {error}")
    if task is not None:
        problems += _option_problems("[task]", task, spec.task.options)
        problems += _option_problems("[confirmation.task]", task, spec.confirmation.task)
        problems += _training_problems(spec)
        problems += check_pruning(spec)
    if spec.sampler.name == "grid":
        problems += _grid_problems(spec)
    elif spec.budget.trials is None:
        problems.append("[budget]: trials: is missing; it is optional only for a grid")
    problems += sampler_problems(spec.sampler)
    problems += check_searches(spec)
    wrong = [
        problem
        for key, optimizer in spec.optimizers.items()
        for problem in _optimizer_problems(f"[optimizers.{key}]", optimizer, task)
    ]
    # Whether a check applies can only be decided for known optimizers.
    return problems + (wrong or check_checks(spec.checks, spec.optimizers, spec.name))


def _training_problems(spec: StudySpec) -> list[str]:
    problems = []
    for key in spec.optimizers:
        try:
            spec.training_for(key)
        except ValidationError as error:
            problems += explain(error, TrainingSpec, f"optimizers.{key}.training")
            continue
        problems += check_training(spec, key)
    return problems


def _grid_problems(spec: StudySpec) -> list[str]:
    problems = []
    for key, optimizer in spec.optimizers.items():
        if optimizer.space.has_prior:
            problems.append(
                f"[optimizers.{key}.space]: prior: a grid runs all points and uses none; leave "
                "it out, or choose another sampler"
            )
        try:
            next(optimizer.space.grid())
        except SpaceError as error:
            problems.append(f"[optimizers.{key}.space]: {error}")
            continue
        size = optimizer.space.grid_size()
        if spec.budget.trials is None and size > MOST_TRIALS:
            problems.append(
                f"[budget]: trials: is missing; the grid of {key} has {size} points, and a search "
                f"at most {MOST_TRIALS} trials"
            )
    return problems


def _option_problems(where: str, task: TaskDef, options: Mapping[str, Scalar]) -> list[str]:
    problems = []
    for name, value in options.items():
        option = task.options.get(name)
        if option is None:
            known = hint(name, task.options)
            problems.append(f"{where}: {name}: task {task.name!r} has no such option{known}")
        elif reason := option.problem(value):
            problems.append(f"{where}: {name} = {value!r}: {reason}")
    return problems


def _optimizer_problems(where: str, spec: OptimizerSpec, task: TaskDef | None) -> list[str]:
    try:
        definition = spec.definition
    except UnknownNameError as error:
        return [f"{where}: {error}"]
    problems, known = [], spec.searchable
    for name, dimension in spec.space.dimensions.items():
        problems += _dimension_problems(f"{where[:-1]}.space]: {name}", spec, name, dimension)
    problems += _group_problems(f"{where[:-1]}.space]", spec.space.dimensions, definition, task)
    problems += _missing(f"{where[:-1]}.space]", definition, spec.space.dimensions)
    values = {name: dimension.bounds() for name, dimension in spec.space.dimensions.items()}
    problems += _combination_problems(f"{where[:-1]}.space]", definition, values)
    problems += _schedule_problems(f"{where[:-1]}.space]", spec, task)
    problems += _redundant_problems(f"{where[:-1]}.space]", spec)
    labels = [reference.label for reference in spec.references]
    if len(set(labels)) != len(labels) or "best" in labels:
        problems.append(
            f"{where}: references: labels {labels} must differ, and 'best' is not allowed"
        )
    firsts = [first.label for first in spec.first]
    if len(set(firsts)) != len(firsts):
        problems.append(f"{where}: first: labels {firsts} must differ")
    for kind, points in (("references", spec.references), ("first", spec.first)):
        for point in points:
            place = f"{where[:-1]}.{kind}.{point.label}]"
            problems += _point_problems(place, definition, known, point)
            problems += _group_problems(place, point.params, definition, task)
    return problems


def _dimension_problems(
    where: str, spec: OptimizerSpec, name: str, dimension: Dimension
) -> list[str]:
    declared = spec.searchable.get(name)
    if declared is None:
        if name.partition(".")[0] in spec.definition.hyperparameters and "." in name:
            return []  # see _group_problems
        known = hint(name, spec.definition.hyperparameters)
        return [f"{where}: {spec.definition.name!r} has no such hyperparameter{known}"]
    # The ends of a range represent all values between them.
    bad = [(v, reason) for v in dimension.bounds() if (reason := declared.problem(v))]
    if isinstance(dimension, Float) and dimension.zero and (reason := declared.problem(0.0)):
        bad.append((0.0, reason))
    label = "choice" if isinstance(dimension, Choice) else "value"
    return [f"{where}: {label} {value!r} {reason}" for value, reason in bad]


def _group_problems(
    where: str, names: Iterable[str], definition: OptimizerDef, task: TaskDef | None
) -> list[str]:
    """Report each ``NAME.GROUP`` whose hyperparameter or group does not support it."""
    own, problems = definition.hyperparameters, []
    by_group = [name for name, declared in own.items() if declared.by_group]
    for name in names:
        base, dot, group = name.partition(".")
        if not dot or base not in own:
            continue
        if base not in by_group:
            which = ", ".join(by_group) or "none of its hyperparameters"
            problems.append(f"{where}: {name}: of {definition.name!r}, {which} may differ by group")
        elif task is not None and group not in task.groups:
            problems.append(
                f"{where}: {name}: task {task.name!r} has no group {group!r} of parameters"
                f"{hint(group, task.groups)}"
            )
    return problems


def _schedule_problems(where: str, spec: OptimizerSpec, task: TaskDef | None) -> list[str]:
    own = spec.definition.hyperparameters
    named = [k for k in SEARCHABLE_SCHEDULE if k in spec.space.dimensions and k not in own]
    if not named or task is None or task.budget_unit != "iterations":
        return []
    return [
        f"{where}: {', '.join(named)}: task {task.name!r} counts iterations and has no schedule"
    ]


def _redundant_problems(where: str, spec: OptimizerSpec) -> list[str]:
    """Refuse to search lr and delta_energy where s = 0, which is one search done twice."""
    own, space = spec.definition.hyperparameters, spec.space.dimensions
    names = ("lr", "delta_energy")
    if "s" not in own or not set(names) <= set(spec.space.searched):
        return []
    values = space["s"].bounds() if "s" in space else (own["s"].default,)
    both = all(0 in space[name].when.get("s", values) for name in names)
    decay = space.get("decoupled_weight_decay")  # is in units of lr, which breaks the symmetry
    if 0 not in values or not both or (decay is not None and True in decay.bounds()):
        return []
    remedy = "leave it out" if values == (0,) else "give it when = { s = [1] }"
    return [
        f"{where}: delta_energy: with s = 0, c·lr with c²·delta_energy is the same run as lr with "
        f"delta_energy, so only one of them can be searched; {remedy}; it is then 1"
    ]


def _missing(where: str, definition: OptimizerDef, given: Mapping[str, object]) -> list[str]:
    problems = []
    own = definition.hyperparameters
    replaced = {k: d.target for k, d in DERIVED.items() if k in given and k not in own}
    for name, declared in own.items():
        standing = [derived for derived, target in replaced.items() if target == name]
        if declared.required and name not in given and not standing:
            allowed = declared.allowed
            problems.append(
                f"{where}: {name}: is missing; {definition.name!r} requires it ({allowed})"
            )
        if name in given and standing:
            problems.append(
                f"{where}: {name} and {standing[0]}: give only one; the other is derived"
            )
    return problems


def _combination_problems(
    where: str, definition: OptimizerDef, given: Mapping[str, Sequence[Scalar]]
) -> list[str]:
    """Report values that cannot be combined: all of its values by hyperparameter."""
    problems, own = [], definition.hyperparameters
    for name in given:
        if name in own and (rule := own[name].only_with):
            other, value = rule
            if value not in given.get(other, ()):
                problems.append(f"{where}: {name}: only allowed with {other} = {value!r}")
        for read in DERIVED[name].reads if name in DERIVED and name not in own else ():
            words = [v for v in given.get(read, ()) if read in own and v in own[read].words]
            problems += [f"{where}: {name}: is derived from {read}, not from {v!r}" for v in words]
    return problems


def point_problems(optimizer: OptimizerSpec, params: Params) -> list[str]:
    """Check hyperparameters, which may be outside the space, for an optimizer.

    Args:
        optimizer: The optimizer.
        params: Full hyperparameters, from another study.

    Returns:
        The problems, one sentence each.
    """
    point = FirstTrial(label="point", params=dict(params))
    return _point_problems("", optimizer.definition, optimizer.searchable, point)


def _point_problems(
    place: str,
    definition: OptimizerDef,
    known: Mapping[str, Hyperparameter],
    point: Reference | FirstTrial,
) -> list[str]:
    problems = _missing(place, definition, point.params)
    problems += _combination_problems(place, definition, {k: (v,) for k, v in point.params.items()})
    for name, value in point.params.items():
        declared = known.get(name)
        if declared is None:
            known_ones = hint(name, definition.hyperparameters)
            problems.append(
                f"{place}: {name}: {definition.name!r} has no such hyperparameter{known_ones}"
            )
        elif reason := declared.problem(value):
            problems.append(f"{place}: {name} = {value!r} {reason}")
    return problems
