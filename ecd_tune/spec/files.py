"""Read study files as plain tables: what one extends, and its smoke form."""

from __future__ import annotations

import errno
import stat
import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from ecd_tune.errors import SpecError, TaskError, did_you_mean
from ecd_tune.references import is_reference, place_reference

__all__ = ["apply_smoke", "merge_tables", "read_table"]

_MOST_BYTES = 2**20
_MOST_DEPTH = 20
_TOO_DEEP = f"nested deeper than {_MOST_DEPTH} tables or lists, which is not supported"


def read_table(path: Path, seen: tuple[Path, ...] = ()) -> dict[str, Any]:
    """Read a TOML file and, below it, the file that its key ``extends`` names.

    Args:
        path: The file; ``extends`` is relative to its folder.
        seen: Files that led here.

    Returns:
        The merged table, without ``extends``; a user task is relative to the working folder.

    Raises:
        SpecError: A file cannot be read, is not TOML, or extends itself.
    """
    here = path.resolve()
    if here in seen:
        chain = " extends ".join(part.name for part in (*seen, here))
        raise SpecError(f"{path}: extends itself: {chain}")
    try:
        table = tomllib.loads(_read_text(here))
    except OSError as error:
        by = f" (extended by {seen[-1].name})" if seen else ""
        close = did_you_mean(path.name, (other.name for other in here.parent.glob("*.toml")))
        raise SpecError(f"{path}: cannot be read{by} ({error.strerror}){close}") from None
    except RecursionError:
        raise SpecError(f"{path}: {_TOO_DEEP}") from None
    except ValueError as error:  # not TOML, not UTF-8, or a number of thousands of digits
        raise SpecError(f"{path}: is not valid TOML: {error}") from None
    if _depth_exceeds(table, _MOST_DEPTH):
        raise SpecError(f"{path}: {_TOO_DEEP}")
    _place_task(path, table)
    base = table.pop("extends", None)
    if base is None:
        return table
    if not isinstance(base, str) or "\0" in base:
        raise SpecError(f"{path}: extends = {base!r}; expected the path of a study file")
    return merge_tables(read_table(path.parent / base, (*seen, here)), table)


def _place_task(path: Path, table: dict[str, Any]) -> None:
    task = table.get("task")
    if not isinstance(task, dict):
        return
    name = task.get("name")
    if isinstance(name, str) and is_reference(name):
        try:
            table["task"] = {**task, "name": place_reference(name, path.parent)}
        except TaskError as error:
            raise SpecError(f"{path} [task]: name: {error}") from None


def _read_text(path: Path) -> str:
    # Looked at before it is opened: a pipe waits for a writer, and a device never ends.
    if not stat.S_ISREG(path.stat().st_mode):
        raise OSError(errno.EINVAL, "not a regular file")
    with path.open("rb") as file:
        data = file.read(_MOST_BYTES + 1)
    if len(data) > _MOST_BYTES:
        raise OSError(errno.EFBIG, f"larger than {_MOST_BYTES} bytes")
    return data.decode("utf-8")


def _depth_exceeds(value: Any, depth: int) -> bool:
    own = value.values() if isinstance(value, Mapping) else value if isinstance(value, list) else ()
    return depth == 0 or any(_depth_exceeds(part, depth - 1) for part in own)


def merge_tables(base: Mapping[str, Any], changes: Mapping[str, Any]) -> dict[str, Any]:
    """Lay one table over another.

    Args:
        base: The defaults.
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
    """Remove ``[smoke]`` from a study's table, and override the table with it if requested.

    Args:
        table: A study's table.
        smoke: Return the smoke form, a separate study named ``NAME-smoke``.
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
        raise SpecError(f"{where} [smoke]: note: is missing; describe the substitute data")
    merged = merge_tables(rest, {k: v for k, v in changes.items() if k != "note"})
    return {**merged, "name": f"{rest.get('name', '')}-smoke", "smoke": note.strip()}
