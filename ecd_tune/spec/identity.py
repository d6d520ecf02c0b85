"""The identity of a study, compared by meaning: 10 and 10.0 are one number, 1 and true are not."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Mapping
from typing import Any

__all__ = ["differences", "fingerprint_of"]

_EXACT = 2**53
"""Below it every integer is exactly a float."""


def fingerprint_of(identity: Mapping[str, Any]) -> str:
    """Return the SHA-256 (64 hex digits) of plain values, equal if they mean the same.

    Args:
        identity: Tables, lists, texts, numbers, booleans and None.
    """
    return hashlib.sha256(_write(identity).encode()).hexdigest()


def differences(before: Mapping[str, Any], after: Mapping[str, Any]) -> list[str]:
    """Name what differs; not empty where the fingerprints differ.

    Args:
        before: As stored.
        after: As given now.

    Returns:
        Lines ``KEY: BEFORE -> AFTER``, by dotted key.
    """
    return [f"{path}: {_show(old)} -> {_show(new)}" for path, old, new in _walk(before, after, "")]


def _walk(
    before: Mapping[str, Any], after: Mapping[str, Any], path: str
) -> Iterator[tuple[str, Any, Any]]:
    for name in sorted({*before, *after}):
        old, new = before.get(name, _ABSENT), after.get(name, _ABSENT)
        if isinstance(old, Mapping) and isinstance(new, Mapping):
            yield from _walk(old, new, f"{path}{name}.")
        elif old is _ABSENT or new is _ABSENT or _write(old) != _write(new):
            yield f"{path}{name}", old, new


_ABSENT = object()


def _show(value: Any) -> str:
    return "(not there)" if value is _ABSENT else json.dumps(value, ensure_ascii=False)


def _write(value: Any) -> str:
    return json.dumps(_plain(value), sort_keys=True, separators=(",", ":"))


def _plain(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {key: _plain(own) for key, own in value.items()}
    if isinstance(value, (list, tuple)):
        return [_plain(own) for own in value]
    if isinstance(value, float) and value.is_integer() and abs(value) <= _EXACT:
        return int(value)
    return value
