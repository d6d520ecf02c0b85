"""The plain forms of our tables' cells: strict JSON, and times as Optuna stores them."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

__all__ = ["dump", "load", "utc_now"]


def dump(value: Any) -> str:
    """Return plain values as strict JSON; NaN and infinities become strings."""
    return json.dumps(_pack(value), separators=(",", ":"), allow_nan=False)


def load(text: str | None) -> Any:
    """Read what :func:`dump` wrote; None gives an empty dictionary."""
    return {} if text is None else json.loads(text)


def utc_now() -> datetime:
    """Return this machine's time as Optuna stores it: UTC without a zone."""
    return datetime.now(UTC).replace(tzinfo=None)


def _pack(value: Any) -> Any:
    if isinstance(value, float):
        return float(value) if math.isfinite(value) else str(value)
    if isinstance(value, Mapping):
        return {key: _pack(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [_pack(item) for item in value]
    return value
