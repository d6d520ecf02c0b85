"""``[[checks]]``: checks of the theory on the study's trials."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Annotated, Any, Literal

from pydantic import BeforeValidator, ConfigDict

from ecd_tune.errors import UnknownNameError, hint
from ecd_tune.registry import CHECKS, CheckDef
from ecd_tune.spec._table import SpecModel
from ecd_tune.spec.parts import OptimizerSpec

__all__ = ["CheckSpec", "Checks", "check_checks", "find_study_check"]


class CheckSpec(SpecModel):
    """One ``[[checks]]`` table: a check that is declared before the run.

    Attributes:
        name: Id of the check.
        optimizer: Key of the optimizer whose trials are checked; by default every optimizer with
            the check's hyperparameters.
        expects: The verdict that is expected; ``refuted`` for a study made as a control.
        studies: Names or paths of further studies, for a check that compares several.
        fine_tuned: Those of them, or this study, that fine-tune a trained network.
    """

    model_config = ConfigDict(extra="allow", frozen=True)
    name: str
    optimizer: str | None = None
    expects: Literal["supported", "refuted"] = "supported"
    studies: tuple[str, ...] = ()
    fine_tuned: tuple[str, ...] = ()

    @property
    def options(self) -> dict[str, Any]:
        """Further options of the check."""
        return dict(self.__pydantic_extra__ or {})

    @property
    def definition(self) -> CheckDef:
        """The registered check.

        Raises:
            UnknownNameError: There is no check on studies of that name.
        """
        return find_study_check(self.name)

    def describe(self) -> str:
        """Return name and options in print, such as ``"S1 (F_min = 1.0, to be refuted)"``."""
        words = [f"{name} = {value}" for name, value in self.options.items()]
        words += [f"with {', '.join(self.studies)}"] if self.studies else []
        words += ["to be refuted"] if self.expects == "refuted" else []
        return f"{self.name} ({', '.join(words)})" if words else self.name

    def applies_to(self, key: str, optimizer: OptimizerSpec) -> bool:
        """Return whether it applies to an optimizer's trials.

        Args:
            key: The optimizer's key.
            optimizer: The optimizer.

        Returns:
            True for the one that it names, or for any that it fits where it names none.
        """
        return (
            self.optimizer == key
            if self.optimizer
            else not _missing_hyperparameters(self.definition, optimizer)
        )


def _require_tables(value: Any) -> Any:
    if isinstance(value, Mapping):
        raise ValueError("is a single table; write [[checks]], in double brackets, for each check")
    return value


Checks = Annotated[tuple[CheckSpec, ...], BeforeValidator(_require_tables)]
"""All ``[[checks]]`` tables of a study file."""


def find_study_check(name: str) -> CheckDef:
    """Return a check on studies.

    Args:
        name: Its id.

    Returns:
        Its declaration.

    Raises:
        UnknownNameError: There is no check of that name, or it is for exact systems.
    """
    if name in CHECKS.names():
        found = CHECKS.get(name)
        if found.is_for_studies:
            return found
    raise UnknownNameError("check of studies", name, [c.id for c in CHECKS if c.is_for_studies])


def _missing_hyperparameters(check: CheckDef, optimizer: OptimizerSpec) -> list[str]:
    return [name for name in check.needs if name not in optimizer.definition.hyperparameters]


def check_checks(
    checks: Sequence[CheckSpec], optimizers: Mapping[str, OptimizerSpec], study: str
) -> list[str]:
    """Check the tables ``[[checks]]``.

    Args:
        checks: The tables.
        optimizers: Those of the study, known to be registered.
        study: Name of the study.

    Returns:
        The problems, one sentence each.
    """
    problems = []
    for number, check in enumerate(checks):
        where = f"[checks.{number}]"
        if check in checks[:number]:
            problems.append(f"{where}: {check.name}: declared twice")
        try:
            definition = check.definition
        except UnknownNameError as error:
            problems.append(f"{where}: name: {error}")
            continue
        problems += (f"{where}: {text}" for text in _problems(check, definition, optimizers, study))
    return problems


def _problems(
    check: CheckSpec, definition: CheckDef, optimizers: Mapping[str, OptimizerSpec], study: str
) -> Iterator[str]:
    if check.optimizer is not None and check.optimizer not in optimizers:
        known = hint(check.optimizer, optimizers)
        yield f"optimizer = {check.optimizer!r}: the study has no such optimizer{known}"
    elif not any(check.applies_to(key, optimizer) for key, optimizer in optimizers.items()):
        needs = ", ".join(definition.needs)
        yield f"no optimizer of the study has {needs}, which {check.name} needs"
    elif check.optimizer and (
        lacking := _missing_hyperparameters(definition, optimizers[check.optimizer])
    ):
        yield f"optimizer = {check.optimizer!r}: has no {lacking[0]}, which {check.name} needs"
    for name, value in check.options.items():
        declared = definition.options.get(name)
        if declared is None:
            known = hint(name, ("name", "optimizer", "expects", *definition.options))
            yield f"{name}: unknown key of {check.name}{known}"
        elif reason := declared.problem(value):
            yield f"{name} = {value!r}: {reason}"
    if check.studies and not definition.several:
        yield f"studies: {check.name} uses only one study"
    for name in check.fine_tuned:
        if name not in (study, *check.studies):
            yield f"fine_tuned: {name!r} is neither this study nor one of its studies"
