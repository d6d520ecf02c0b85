"""Read study files as plain tables: what one extends, and its smoke form."""

from __future__ import annotations

import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from ecd_tune.errors import SpecError

__all__ = ["apply_smoke", "merge_tables", "read_table"]


def read_table(path: Path, seen: tuple[Path, ...] = ()) -> dict[str, Any]:
    """Read a TOML file and, below it, the file that its key ``extends`` names.

    Args:
        path: The file; ``extends`` is relative to its folder.
        seen: Files that led here.

    Returns:
        The merged table, without ``extends``.

    Raises:
        SpecError: A file cannot be read, is not TOML, or extends itself.
    """
    here = path.resolve()
    if here in seen:
        chain = " extends ".join(part.name for part in (*seen, here))
        raise SpecError(f"{path}: extends itself: {chain}")
    try:
        table = tomllib.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        by = f" (extended by {seen[-1].name})" if seen else ""
        raise SpecError(f"{path}: cannot be read{by} ({error.strerror})") from None
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise SpecError(f"{path}: is not valid TOML: {error}") from None
    base = table.pop("extends", None)
    if base is None:
        return table
    if not isinstance(base, str):
        raise SpecError(f"{path}: extends = {base!r}; expected the path of a study file")
    return merge_tables(read_table(path.parent / base, (*seen, here)), table)


def merge_tables(base: Mapping[str, Any], changes: Mapping[str, Any]) -> dict[str, Any]:
    """Lay one table over another.

    Args:
        base: What holds where nothing is said.
        changes: Tables are merged key by key; any other value replaces what was there.

    Returns:
        A new table, the base's keys first.
    """
    merged = dict(base)
    for key, value in changes.items():
        before = merged.get(key)
        both = isinstance(before, Mapping) and isinstance(value, Mapping)
        merged[key] = merge_tables(before, value) if both else value  # type: ignore[arg-type]
    return merged


def apply_smoke(table: Mapping[str, Any], smoke: bool, where: str) -> dict[str, Any]:
    """Take ``[smoke]`` out of a study's table, and lay it over the rest if it is asked for.

    Args:
        table: A study's table.
        smoke: Make the smoke form: a study of its own, named ``NAME-smoke``.
        where: Begins a message.

    Returns:
        The table without ``[smoke]``; in the smoke form ``smoke`` is its note.

    Raises:
        SpecError: ``smoke`` is no table, there is none, or it lacks the ``note`` that the report
            shows.
    """
    if not isinstance(table.get("smoke", {}), Mapping):
        raise SpecError(f"{where}: smoke: {table['smoke']!r}: expected a table, [smoke]")
    rest = {key: value for key, value in table.items() if key != "smoke"}
    if not smoke:
        return rest
    changes = table.get("smoke")
    if not isinstance(changes, Mapping):
        raise SpecError(f"{where}: has no [smoke] table; run it without --smoke")
    note = changes.get("note")
    if not isinstance(note, str) or not note.strip():
        raise SpecError(f"{where} [smoke]: note: is missing; say what stands in for what")
    merged = merge_tables(rest, {k: v for k, v in changes.items() if k != "note"})
    return {**merged, "name": f"{rest.get('name', '')}-smoke", "smoke": note.strip()}
