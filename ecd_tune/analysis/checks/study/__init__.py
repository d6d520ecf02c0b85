"""Checks of the theory on the trials of a study.

Names are imported on first use: a check's module needs :class:`StudyTrials`, and
:func:`judge_study` needs all checks.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from ecd_tune.analysis.checks.study.judge import Declared, Judged, judge_study, reservations
    from ecd_tune.analysis.checks.study.runs import Run, Sample, StudyTrials

__all__ = ["Declared", "Judged", "Run", "Sample", "StudyTrials", "judge_study", "reservations"]

_MODULES = {
    "judge": ("Declared", "Judged", "judge_study", "reservations"),
    "runs": ("Run", "Sample", "StudyTrials"),
}
_HOME = {name: module for module, names in _MODULES.items() for name in names}


def __getattr__(name: str) -> Any:
    if name not in _HOME:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"{__name__}.{_HOME[name]}"), name)
