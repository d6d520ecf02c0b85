"""BERT on the tasks of the GLUE benchmark (§4.4, B.5)."""

from __future__ import annotations

from ecd_tune.tasks.glue.definitions import GLUE_DEFS

__all__ = ["GLUE_DEFS"]
