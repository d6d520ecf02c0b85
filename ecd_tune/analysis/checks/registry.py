"""Checks by id: the built-in ones, and those of other packages.

Other packages add theirs through the entry-point group ``ecd_tune.checks``; each entry point is
named after the check's id and is a :class:`~ecd_tune.analysis.checks.model.Check`.
"""

from __future__ import annotations

from typing import cast

from ecd_tune import registry
from ecd_tune.analysis.checks.model import Check

__all__ = ["CHECKS"]

CHECKS = cast("registry.Registry[Check]", registry.CHECKS)
"""The registry that study files are checked with, whose entries are checks that can run."""
