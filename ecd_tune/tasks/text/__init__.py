"""A small language model of the characters of GLUE's sentences."""

from __future__ import annotations

from ecd_tune.tasks.text.definitions import TEXT_DEFS

__all__ = ["TEXT_DEFS"]
