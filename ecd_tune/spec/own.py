"""The study of a user task, with defaults for everything."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from ecd_tune.errors import SpecError, hint
from ecd_tune.references import is_reference, short_reference
from ecd_tune.registry import TASKS
from ecd_tune.spec.files import merge_tables, read_table
from ecd_tune.spec.find import studies_folder

__all__ = ["OWN_OPTIMIZERS", "own_study"]

OWN_OPTIMIZERS = ("ecdsep", "adamw")
"""Optimizers that are compared by default."""

_TRIALS = 20
_CONFIRM = 6
_SELECT = 3
"""Best trials of a search that run again, only with the clean protocol."""


def own_study(
    reference: str,
    optimizers: Sequence[str] | Mapping[str, Any] = OWN_OPTIMIZERS,
    **given: Any,
) -> dict[str, Any]:
    """Return the table of a study of one task.

    Args:
        reference: Of the task; or its name, where it is registered.
        optimizers: Keys, with the spaces of ``studies/_own.toml``; or key to the table of
            ``[optimizers.KEY]``, of which ``space`` may be left out.
        **given: Tables and keys of the study file; they override the defaults.

    Returns:
        As read from a study file.

    Raises:
        SpecError: There is no space for an optimizer, and none is given.
    """
    steps = TASKS.get(reference).steps
    named = is_reference(reference)
    name = short_reference(reference).rpartition(":")[2] if named else reference
    defaults = {
        "name": name,
        "task": {"name": reference},
        "budget": {"trials": _TRIALS, **({} if steps is None else {"steps": steps})},
        "confirmation": {"runs": _CONFIRM},
        "selection": {"top": 0 if given.get("protocol") == "paper" else _SELECT},
    }
    tables = optimizers if isinstance(optimizers, Mapping) else {key: {} for key in optimizers}
    known = read_table(studies_folder() / "_own.toml")["optimizers"]
    spaces = {key: _optimizer(key, table, known) for key, table in tables.items()}
    return {**merge_tables(defaults, given), "optimizers": spaces}


def _optimizer(key: str, table: Mapping[str, Any], known: Mapping[str, Any]) -> dict[str, Any]:
    if "space" in table:
        return dict(table)  # a user's space, without the default first trials
    name = str(table.get("optimizer", key))
    if name not in known:
        raise SpecError(
            f"optimizer {name!r}: has no default space; define one, or use a known one"
            f"{hint(name, known)}"
        )
    return merge_tables(known[name], table)
