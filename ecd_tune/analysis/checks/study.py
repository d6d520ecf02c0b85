"""Evaluate a study by the checks that it declares, with the time of their declaration."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from enum import StrEnum
from typing import Any, cast

from ecd_tune import registry
from ecd_tune.analysis.checks.model import Check, CheckResult, Verdict
from ecd_tune.analysis.checks.runs import StudyTrials
from ecd_tune.errors import SpecError
from ecd_tune.records import Trials
from ecd_tune.spec import CheckSpec, StudySpec

__all__ = ["CHECKS", "Declared", "StudyCheckResult", "check_study", "reservations"]

CHECKS = cast("registry.Registry[Check]", registry.CHECKS)
"""All checks that can run: those on studies, and other packages', by the id of each; these join
through the entry-point group ``ecd_tune.checks``."""

_INDEPENDENT = ("random", "qmc", "grid")
"""Samplers whose proposals do not depend on earlier results."""


class Declared(StrEnum):
    """When a study declared a check."""

    BEFORE = "declared before the run"
    AFTER = "declared after the run began"
    REMOVED = "declared before the run, removed from the file since"
    NEVER = "not declared before the run"


@dataclass(frozen=True)
class StudyCheckResult:
    """One check on one optimizer's trials.

    Attributes:
        check: As declared, naming the optimizer.
        title: The optimizer's, as reports print it.
        result: The result.
        declared: When it was declared.
        data: The trials used.
    """

    check: CheckSpec
    title: str
    result: CheckResult
    declared: Declared
    data: StudyTrials

    @property
    def failed(self) -> bool:
        """Whether the verdict counts and is not the expected one."""
        return not (self.result.as_expected or self.result.advisory)

    def to_json(self) -> dict[str, Any]:
        """Return it in plain values."""
        return {
            **self.result.to_json(),
            "optimizer": self.check.optimizer,
            "options": self.check.options,
            "studies": list(self.check.studies),
            "declared": self.declared.value,
            "advisory": self.result.advisory,
        }


def check_study(
    spec: StudySpec,
    trials: Trials,
    stored: Mapping[str, Sequence[CheckSpec]],
    *,
    only: Sequence[str] = (),
    others: Mapping[str, tuple[StudySpec, Trials]] | None = None,
) -> tuple[StudyCheckResult, ...]:
    """Run the checks on a study's trials.

    Args:
        spec: The study of the current file.
        trials: Records by study key.
        stored: By optimizer, the checks that were declared before the first trial.
        only: Ids of checks; undeclared ones are evaluated too. None at all means the declared ones.
        others: Further studies that declared checks name, by that name; those that are not there
            are left out.

    Returns:
        The results, optimizer by optimizer.

    Raises:
        SpecError: A check that is asked for fits no optimizer of the study.
        UnknownNameError: There is no such check of studies.
    """
    found = []
    for key, optimizer in spec.optimizers.items():
        chosen = list(_choose(spec, key, tuple(stored.get(key, ())), only))
        for check, declared in chosen:
            data = _gather(spec, key, check, trials, others or {})
            rule = replace(CHECKS.get(check.name), expects=Verdict(check.expects))
            title = optimizer.title or optimizer.definition.title
            found.append(StudyCheckResult(check, title, rule.run(data), declared, data))
    unfit = [name for name in only if all(result.check.name != name for result in found)]
    if unfit:
        needs = ", ".join(CHECKS.get(unfit[0]).needs)
        raise SpecError(f"{unfit[0]}: no optimizer of study {spec.name!r} has {needs}")
    return tuple(found)


def _choose(
    spec: StudySpec, key: str, stored: tuple[CheckSpec, ...], only: Sequence[str]
) -> Iterator[tuple[CheckSpec, Declared]]:
    """Yield the checks of one optimizer with when they were declared."""
    now = spec.checks_of(key)
    for check in now:
        if check.name in (only or [check.name]):
            yield check, Declared.BEFORE if check in stored else Declared.AFTER
    for check in stored:
        # A check of a package that is no longer installed cannot be evaluated.
        if (
            check not in now
            and check.name in CHECKS.names()
            and check.name in (only or [check.name])
        ):
            yield check, Declared.REMOVED
    for name in dict.fromkeys(only):
        check = CheckSpec(name=name, optimizer=None)
        if all(known.name != name for known in (*now, *stored)) and check.applies_to(
            key, spec.optimizers[key]
        ):
            yield check.model_copy(update={"optimizer": key}), Declared.NEVER


def _gather(
    spec: StudySpec,
    key: str,
    check: CheckSpec,
    trials: Trials,
    others: Mapping[str, tuple[StudySpec, Trials]],
) -> StudyTrials:
    registered = spec.optimizers[key].optimizer
    return StudyTrials(
        spec,
        key,
        trials.get(spec.key(key), ()),
        check.options,
        tuple(
            StudyTrials(
                other,
                other_key,
                records.get(other.key(other_key), ()),
                tuned=name in check.fine_tuned,
            )
            for name in check.studies
            for other, records in ([others[name]] if name in others else [])
            for other_key in _alike(other, key, registered)
        ),
        tuned=spec.name in check.fine_tuned,
    )


def _alike(spec: StudySpec, key: str, registered: str) -> list[str]:
    """Return the optimizer of a study that is the same registered one, of several that key's."""
    keys = [other for other, found in spec.optimizers.items() if found.optimizer == registered]
    return [key] if key in keys else keys[:1]


def reservations(spec: StudySpec, trials: Trials) -> Iterator[str]:
    """List the limitations of all verdicts on a study.

    Args:
        spec: The study.
        trials: Records by study key.

    Yields:
        Sentences.
    """
    for key, optimizer in spec.optimizers.items():
        done = sum(record.counts for record in trials.get(spec.key(key), ()))
        if done < spec.trials(key):
            title = optimizer.title or optimizer.definition.title
            yield f"{title}: {done} of {spec.trials(key)} trials are in; verdicts may change."
    if spec.sampler.name not in _INDEPENDENT:
        yield (
            f"The sampler {spec.sampler.name} proposes trials from earlier results: they are not "
            f"independent, and intervals may be too narrow. {', '.join(_INDEPENDENT)} do not have "
            "this problem."
        )
