"""Checks by id: the built-in ones, and those of other packages.

Other packages add theirs through the entry-point group ``ecd_tune.checks``; each entry point is
named after the check's id and is a :class:`~ecd_tune.analysis.checks.model.Check`.
"""

from __future__ import annotations

from ecd_tune.analysis.checks.model import Check
from ecd_tune.registry import Registry

__all__ = ["CHECKS"]

CHECKS: Registry[Check] = Registry(
    "check", "ecd_tune.checks", "ecd_tune.analysis.checks.built_in:BUILT_IN"
)
