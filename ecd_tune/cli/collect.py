"""Fetch the input of a report: the trials of a study, its checks, and the machine."""

from __future__ import annotations

import os
import platform
from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import TYPE_CHECKING

from ecd_tune.errors import StudyNotFoundError
from ecd_tune.records import StudyKey, TrialRecord
from ecd_tune.spec import CheckSpec, StudySpec, find_study, load_study

if TYPE_CHECKING:
    from ecd_tune.analysis.checks import StudyCheckResult
    from ecd_tune.store import Store

__all__ = ["describe_environment", "fetch_trials", "check_trials"]

_PACKAGES = ("ecd_tune", "torch", "optuna", "numpy", "scipy", "sqlalchemy")


def fetch_trials(
    store: Store, spec: StudySpec, curves: bool = True
) -> dict[StudyKey, Sequence[TrialRecord]]:
    """Read all trials of all stages of every search of a study.

    Args:
        store: The open database.
        spec: The study.
        curves: Read the curves too; they are the larger part.

    Returns:
        Study key to its trials, by number. A selection or a further search that was asked for
        after the study began, and has not begun itself, has none.
    """
    found: dict[StudyKey, Sequence[TrialRecord]] = {}
    for optimizer in spec.optimizers:
        first = spec.key(optimizer)
        found[first] = store.trials(first, curves=curves)
        for search in spec.searches(optimizer):
            for key in (spec.key(search, stage) for stage in spec.stages):
                if key not in found:
                    with suppress(StudyNotFoundError):
                        found[key] = store.trials(key, curves=curves)
    return found


def check_trials(
    store: Store,
    spec: StudySpec,
    trials: Mapping[StudyKey, Sequence[TrialRecord]],
    only: Sequence[str] = (),
) -> tuple[StudyCheckResult, ...]:
    """Run the checks of a study on its trials.

    Args:
        store: The open database.
        spec: The study.
        trials: Its records.
        only: Ids of checks, declared or not; none at all means the declared ones.

    Returns:
        Results of the checks; empty if none is declared.

    Raises:
        SpecError: A check that is asked for fits no optimizer, or a further study that a check
            names cannot be read.
    """
    stored = {key: store.declared(spec.key(key)) for key in spec.optimizers}
    declared = [*spec.checks, *(check for checks in stored.values() for check in checks)]
    if not (declared or only):
        return ()
    from ecd_tune.analysis.checks import check_study  # loads scipy

    others = _fetch_compared(store, declared)
    return check_study(spec, trials, stored, only=only, others=others)


def _fetch_compared(
    store: Store, checks: Iterable[CheckSpec]
) -> dict[str, tuple[StudySpec, Mapping[StudyKey, Sequence[TrialRecord]]]]:
    """Read the further studies that checks compare a study with.

    Args:
        store: The open database.
        checks: The checks.

    Returns:
        By the name in the check, a study and its trials; one that has not been run here is left
        out.

    Raises:
        SpecError: A study file cannot be read.
    """
    found: dict[str, tuple[StudySpec, Mapping[StudyKey, Sequence[TrialRecord]]]] = {}
    for name in dict.fromkeys(name for check in checks for name in check.studies):
        other = load_study(find_study(name))
        # A study that has not been run here is skipped, and the check reports the number of tasks.
        with suppress(StudyNotFoundError):
            store.check(other)
            found[name] = (other, fetch_trials(store, other, curves=False))
    return found


def describe_environment() -> Mapping[str, str]:
    """Return host, processor and versions of a report."""
    found = {
        "host": platform.node(),
        "system": f"{platform.system()} {platform.machine()}",
        "processor": f"{_processor()}, {os.cpu_count()} cores",
        "python": platform.python_version(),
    }
    return {**found, **{name: _version(name) for name in _PACKAGES}}


def _version(package: str) -> str:
    try:
        return version(package)
    except PackageNotFoundError:
        return "not installed"


def _processor() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    except OSError:
        return platform.processor() or "unknown"
    names = (line.split(":", 1)[1].strip() for line in lines if line.startswith("model name"))
    return next(names, platform.processor() or "unknown")
