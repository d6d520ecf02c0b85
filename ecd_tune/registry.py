"""Names of tasks, optimizers, checks and launchers, and what they declare without torch.

Study files refer to them by name. The information for checking such a file (hyperparameters,
options, metric, direction) is declared here in plain values; the code behind a name is a
``"module:attribute"`` string that is imported when a trial runs, so that reading a study, a report
or ``--help`` never imports torch.

Packages add their own through the entry-point groups ``ecd_tune.tasks``,
``ecd_tune.optimizers``, ``ecd_tune.checks`` and ``ecd_tune.launchers``; each entry point is a
:class:`TaskDef`, an :class:`OptimizerDef`, a :class:`CheckDef` or a :class:`LauncherDef`. A task
needs no package: ``FILE.py:NAME`` and ``package.module:NAME`` name one that
:func:`ecd_tune.task` made.
"""

from __future__ import annotations

import logging
import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from importlib import import_module
from importlib.metadata import EntryPoint, entry_points
from operator import attrgetter
from typing import Any, Generic, Protocol, TypeVar

from ecd_tune.errors import PluginError, TaskError, UnknownNameError
from ecd_tune.records import Direction, Scalar
from ecd_tune.references import is_reference, load_reference

__all__ = [
    "CHECKS",
    "LAUNCHERS",
    "OPTIMIZERS",
    "TASKS",
    "CheckDef",
    "Hyperparameter",
    "LauncherDef",
    "OptimizerDef",
    "Option",
    "Registry",
    "TaskDef",
    "load_attribute",
]


_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Hyperparameter:
    """Declaration of one hyperparameter of an optimizer.

    Attributes:
        kind: ``float``, ``int``, ``bool`` or ``str``.
        doc: One line, with the paper's symbol.
        low: Smallest allowed number.
        high: Largest allowed number.
        low_open: The bound ``low`` itself is not allowed.
        high_open: The bound ``high`` itself is not allowed.
        choices: If not empty, the only allowed values.
        words: Words allowed in place of a number, for example ``"auto"``.
        only_with: Another hyperparameter and the value that it must have for this one to mean
            anything.
        default: Value used when a study does not name it; None means that the optimizer
            decides.
        required: A study must name it, and so must a call of the optimizer.
        by_group: Parameter groups may have their own values, ``NAME.GROUP`` in a study.
    """

    kind: type
    doc: str
    low: float = -math.inf
    high: float = math.inf
    low_open: bool = False
    high_open: bool = False
    choices: tuple[Scalar, ...] = ()
    words: tuple[str, ...] = ()
    only_with: tuple[str, Scalar] | None = None
    default: Scalar | None = None
    required: bool = False
    by_group: bool = False

    def problem(self, value: object) -> str | None:
        """Return why ``value`` is not allowed, or return None when it is.

        Returns:
            A phrase such as ``"must be >= 1"``, or None.
        """
        if self.kind is bool:
            return None if isinstance(value, bool) else "must be true or false"
        if self.choices and value not in self.choices:
            return f"must be one of {', '.join(map(repr, self.choices))}"
        if self.kind is str:
            return None if isinstance(value, str) else "must be a string"
        if value in self.words:
            return None
        if isinstance(value, bool) or not isinstance(value, (int, float)):
            number = "must be a whole number" if self.kind is int else "must be a number"
            return " or ".join([number, *map(repr, self.words)])
        if not math.isfinite(value):
            bounded = self.low > -math.inf or self.high < math.inf
            return f"must be finite and {self.allowed}" if bounded else f"must be {self.allowed}"
        if self.kind is int and float(value) != int(value):
            return "must be a whole number"
        inside_low = value > self.low if self.low_open else value >= self.low
        inside_high = value < self.high if self.high_open else value <= self.high
        return None if inside_low and inside_high else f"must be {self.allowed}"

    @property
    def allowed(self) -> str:
        """The allowed values in words, for messages and tables."""
        if self.kind is bool:
            return "true or false"
        if self.choices:
            return "one of " + ", ".join(map(repr, self.choices))
        parts = []
        if self.low > -math.inf:
            parts.append(f"{'>' if self.low_open else '>='} {self.low:g}")
        if self.high < math.inf:
            parts.append(f"{'<' if self.high_open else '<='} {self.high:g}")
        return " or ".join([" and ".join(parts) or "a finite number", *map(repr, self.words)])

    def read(self, value: object) -> Any:
        """Return an allowed value as the declared kind; words are unchanged."""
        return value if value in self.words else self.kind(value)


@dataclass(frozen=True)
class OptimizerDef:
    """An optimizer by name.

    Attributes:
        name: Registry name, for example ``"ecdsep"``.
        title: As reports print it, for example ``"ECDSep"``.
        factory: ``"module:attr"`` of ``make(params, seed, **hyperparameters) -> Optimizer``.
        batched: ``"module:attr"`` of
            ``make(theta, seeds, hyperparameters) -> BatchedOptimizer``, or None.
        hyperparameters: Hyperparameters that a study may set or search, by name.
        needs_loss: True when ``step`` must be given the loss value.
    """

    name: str
    title: str
    factory: str
    hyperparameters: Mapping[str, Hyperparameter]
    batched: str | None = None
    needs_loss: bool = False


@dataclass(frozen=True)
class Option:
    """One option of a task.

    Attributes:
        kind: ``float``, ``int``, ``bool`` or ``str``.
        default: Used when the study file does not name the option.
        doc: One line.
        choices: If not empty, the only allowed values.
        low: Smallest allowed number.
    """

    kind: type
    default: Scalar
    doc: str
    choices: tuple[Scalar, ...] = ()
    low: float = -math.inf

    def problem(self, value: object) -> str | None:
        """Return why ``value`` is not allowed, or return None when it is."""
        return Hyperparameter(self.kind, self.doc, low=self.low, choices=self.choices).problem(
            value
        )


@dataclass(frozen=True)
class TaskDef:
    """A task by name.

    Attributes:
        name: Registry name, for example ``"zakharov"``.
        title: Title in reports.
        factory: ``"module:attr"`` of ``make(**options) -> Task``.
        metric: Description of a trial's value, for example ``"minimum of F"``.
        direction: Whether to minimize or maximize it.
        budget_unit: ``"iterations"`` or ``"epochs"``.
        options: Options under ``[task]`` in a study file.
        batched: True when whole batches of trials run at once.
        confirm_metric: Name of the confirmation's number (a key of ``Outcome.metrics``, or
            ``"value"``), for example ``"test_accuracy"``.
        source: Equation, section or data set that it comes from.
        groups: Names of the groups of its parameters, as its problems have them in ``groups``.
        steps: Default length of a trial; None: it must.
    """

    name: str
    title: str
    factory: str
    metric: str
    direction: Direction
    budget_unit: str
    options: Mapping[str, Option] = field(default_factory=dict)
    batched: bool = False
    confirm_metric: str = "value"
    source: str = ""
    groups: tuple[str, ...] = ()
    steps: int | None = None


@dataclass(frozen=True)
class LauncherDef:
    """An engine that starts workers, by name.

    Attributes:
        name: Registry name, for example ``"slurm"``.
        title: One line.
        factory: ``"module:attr"`` of a :class:`ecd_tune.launch.Launcher`, a class.
    """

    name: str
    title: str
    factory: str


class CheckDef(Protocol):
    """Declaration of a check for study files; :class:`ecd_tune.analysis.checks.Check` is one."""

    @property
    def id(self) -> str:
        """Its name."""

    @property
    def is_for_studies(self) -> bool:
        """Whether it applies to the trials of a study, and is allowed in a study file."""

    @property
    def needs(self) -> tuple[str, ...]:
        """Hyperparameters that an optimizer must have for the check to apply."""

    @property
    def measured(self) -> bool:
        """Whether runs have to be measured for it."""

    @property
    def several(self) -> bool:
        """Whether it compares the study with others."""

    @property
    def options(self) -> Mapping[str, Hyperparameter]:
        """Its options in a study file."""


def load_attribute(path: str) -> Any:
    """Import ``"module:attribute"``, or what a reference to a file names.

    Returns:
        The attribute.
    """
    module, _, attribute = path.rpartition(":")
    if module.endswith(".py"):
        return load_reference(path)
    return attrgetter(attribute)(import_module(module))


Def = TypeVar("Def")


class Registry(Generic[Def]):
    """Names to definitions: built-in ones first, then entry points.

    Args:
        kind: For messages, for example ``"task"``.
        group: Entry-point group for other packages' definitions.
        builtin: ``"module:attr"`` of a mapping from name to definition.
        type: Class of a definition; None if it is a protocol, which is not checked.
    """

    def __init__(self, kind: str, group: str, builtin: str, type: type[Def] | None = None) -> None:
        self.kind, self.group, self._builtin, self._type = kind, group, builtin, type

    def names(self) -> list[str]:
        """Return all names, sorted."""
        return sorted({*load_attribute(self._builtin), *(e.name for e in self._entry_points())})

    def get(self, name: str) -> Def:
        """Return a definition.

        Raises:
            UnknownNameError: The name is not registered.
            PluginError: The package that registered it fails when it is imported, or registers
                something else.
        """
        builtin: Mapping[str, Def] = load_attribute(self._builtin)
        if name in builtin:
            return builtin[name]
        for entry in self._entry_points():
            if entry.name == name:
                return self._load(entry)
        raise UnknownNameError(self.kind, name, self.names())

    def __iter__(self) -> Iterator[Def]:
        for name in self.names():
            try:
                yield self.get(name)
            except PluginError as error:
                # One broken package must not hide what all others offer.
                _log.warning("left out: %s", error)

    def _load(self, entry: EntryPoint) -> Def:
        package = entry.dist.name if entry.dist else entry.module
        failed = f"{self.kind} {entry.name!r} of the package {package} cannot be loaded: "
        try:
            found: Def = entry.load()
        except Exception as error:
            raise PluginError(
                f"{failed}{type(error).__name__}: {error}; fix or uninstall the package"
            ) from error
        if self._type is not None and not isinstance(found, self._type):
            raise PluginError(
                f"{failed}{entry.value} is a {type(found).__name__}; expected a "
                f"{self._type.__name__} of ecd_tune.registry"
            )
        return found

    def _entry_points(self) -> Any:
        return entry_points(group=self.group)


class _Tasks(Registry[TaskDef]):
    """Tasks by name, and by reference."""

    def get(self, name: str) -> TaskDef:
        """Return a definition, for a reference that of the task it names.

        Raises:
            UnknownNameError: The name is not registered.
            PluginError: The package that registered it fails when it is imported.
            TaskError: The reference names nothing, or no task.
        """
        if not is_reference(name):
            return super().get(name)
        found = load_reference(name)
        define = getattr(found, "define", None)
        if define is None:
            raise TaskError(
                f"{name}: is a {type(found).__name__}, not a task; write "
                '@ecd_tune.task(metric="accuracy", direction="maximize", epochs=8) above the '
                "function"
            )
        definition: TaskDef = define(name)
        return definition


TASKS: Registry[TaskDef] = _Tasks(
    "task", "ecd_tune.tasks", "ecd_tune.tasks.definitions:TASK_DEFS", TaskDef
)
OPTIMIZERS: Registry[OptimizerDef] = Registry(
    "optimizer", "ecd_tune.optimizers", "ecd_tune.optim.definitions:OPTIMIZER_DEFS", OptimizerDef
)
CHECKS: Registry[CheckDef] = Registry(
    "check", "ecd_tune.checks", "ecd_tune.analysis.checks.built_in:BUILT_IN"
)
LAUNCHERS: Registry[LauncherDef] = Registry(
    "launcher", "ecd_tune.launchers", "ecd_tune.launch.definitions:LAUNCHER_DEFS", LauncherDef
)
