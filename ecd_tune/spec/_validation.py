"""Create a study from plain values, or collect all validation errors of pydantic.

Invalid values are replaced by placeholders, so that all other values are validated too, here and in
:mod:`ecd_tune.spec.load`. Problems of placeholders are dropped.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from copy import deepcopy
from dataclasses import dataclass
from types import NoneType, UnionType
from typing import Annotated, Any, Union, get_args, get_origin

from pydantic import BaseModel, ValidationError

from ecd_tune.errors import did_you_mean, hint
from ecd_tune.spec.model import StudySpec

__all__ = ["Validated", "explain", "validate"]

_ROUNDS = 50
_PHRASES = {
    "greater_than": "must be above {gt}",
    "greater_than_equal": "must be at least {ge}",
    "less_than": "must be below {lt}",
    "less_than_equal": "must be at most {le}",
    "int_type": "must be a whole number",
    "int_parsing": "must be a whole number",
    "int_from_float": "must be a whole number",
    "float_type": "must be a number",
    "float_parsing": "must be a number",
    "bool_type": "must be true or false",
    "bool_parsing": "must be true or false",
    "string_type": "must be a text",
    "dict_type": "must be a table",
    "model_type": "must be a table",
    "list_type": "must be a list",
    "tuple_type": "must be a list",
    "literal_error": "must be one of {expected}",
}
"""Messages for pydantic's types of errors."""
_STAND_INS: Mapping[tuple[str, ...], Any] = {
    ("name",): "study",
    ("task",): {"name": ""},
    ("task", "name"): "",
    ("budget",): {"steps": 10**9},
    ("budget", "steps"): 10**9,
    ("optimizers",): {"sgd": {"space": {"lr": 1.0}}},
}
"""Placeholders of required keys; no other setting needs more steps than these."""
_DECIDE = {("task", "name"), ("sampler", "name"), ("pruning", "kind")}
"""Keys on which the other keys of their tables depend."""

Path = tuple[str | int, ...]


@dataclass(frozen=True)
class Validated:
    """A validated study, possibly with placeholders.

    Attributes:
        spec: The study, with placeholders for invalid values; None if it could not be created.
        problems: The problems, one sentence each.
        replaced: Paths of the placeholders.
    """

    spec: StudySpec | None
    problems: tuple[str, ...] = ()
    replaced: frozenset[Path] = frozenset()

    def concerns(self, problem: str) -> bool:
        """Return whether a problem is one of the study and not of a placeholder.

        Args:
            problem: A sentence that begins with its table and, if it concerns a key, the key.
        """
        if problem.startswith("[checks") and any("optimizers" in path for path in self.replaced):
            return False
        return not any(re.match(_begins(path), problem) for path in self.replaced)


def validate(table: Mapping[str, Any]) -> Validated:
    """Create a study from plain values.

    Args:
        table: Content of a study file.

    Returns:
        The study and all problems that pydantic finds.
    """
    rest = deepcopy(dict(table))
    problems: list[str] = []
    replaced: set[Path] = set()
    for _ in range(_ROUNDS):
        try:
            return Validated(StudySpec.model_validate(rest), tuple(problems), frozenset(replaced))
        except ValidationError as error:
            before, changed = deepcopy(rest), set[Path]()
            for item in error.errors():
                if not _is_within(item["loc"], replaced | changed):
                    problems += _sentences(item, StudySpec, "")
                # Of several errors in one place, the first has changed that already.
                if not any(item["loc"][: len(path)] == path for path in changed):
                    changed |= _replace(rest, item)
            replaced |= changed
            if rest == before:
                break
    return Validated(None, tuple(problems), frozenset(replaced))


def explain(error: ValidationError, model: type[BaseModel], table: str = "") -> list[str]:
    """Describe an error of pydantic in our words.

    Args:
        error: The error.
        model: The model that was validated.
        table: Name of the model's table; empty for a whole study.

    Returns:
        One sentence per problem, which begins with table and key.
    """
    return [line for item in error.errors() for line in _sentences(item, model, table)]


def _sentences(item: Any, model: type[BaseModel], table: str) -> list[str]:
    path = [str(part) for part in item["loc"]] or ["study"]
    # The error of a space has one line per invalid dimension.
    own = str(item["ctx"]["error"]).splitlines() if _is_space(item) else []
    place = ".".join(filter(None, (table, *(path if own else path[:-1]))))
    begin = f"[{place}]: " if place else ""
    if own:
        return [f"{begin}{line}" for line in own]
    return [f"{begin}{path[-1]}: {_phrase(item, model)}"]


def _is_space(item: Any) -> bool:
    return bool(item["type"] == "value_error" and item["loc"] and item["loc"][-1] == "space")


def _phrase(item: Any, model: type[BaseModel]) -> str:
    context = item.get("ctx", {})
    match item["type"]:
        case "extra_forbidden":
            *table, key = item["loc"]
            return f"unknown key{hint(str(key), _keys(model, table))}"
        case "missing":
            return "is missing"
        case "value_error":
            return str(context["error"])
        case "literal_error":
            allowed = re.findall(r"'([^']*)'", context["expected"])
            guess = did_you_mean(str(item["input"]), allowed)
            return f"{item['input']!r}: must be one of {context['expected']}{guess}"
        case kind if kind in _PHRASES:
            return f"{item['input']!r}: {_PHRASES[kind].format(**context)}"
        case _:
            message = item["msg"][0].lower() + item["msg"][1:]
            return f"{item['input']!r}: {message}"


def _keys(model: Any, path: list[str | int]) -> list[str]:
    """Return the allowed keys of a table; empty if they are not known."""
    for part in path:
        if isinstance(model, type) and issubclass(model, BaseModel):
            field = model.model_fields.get(str(part))
            model = None if field is None else _plain(field.annotation)
        else:
            values = [kind for kind in get_args(model) if kind is not Ellipsis]
            model = _plain(values[-1]) if values else None
    is_model = isinstance(model, type) and issubclass(model, BaseModel)
    return list(model.model_fields) if is_model else []


def _plain(annotation: Any) -> Any:
    """Return a type without Annotated and None."""
    if get_origin(annotation) is Annotated:
        return _plain(get_args(annotation)[0])
    if get_origin(annotation) in (Union, UnionType):
        return _plain(next(a for a in get_args(annotation) if a is not NoneType))
    return annotation


def _is_within(path: Path, replaced: set[Path]) -> bool:
    return any(path[: len(one)] == one or one[: len(path)] == path for one in replaced)


def _replace(rest: dict[str, Any], item: Any) -> set[Path]:
    """Replace an invalid value by a placeholder, or delete an optional one; return its path."""
    path: Path = item["loc"]
    if _is_space(item) and isinstance(table := _value_at(rest, path), dict):
        names = [line.partition(":")[0] for line in str(item["ctx"]["error"]).splitlines()]
        return {(*path, name) for name in names if _fix_dimension(table, name)}
    if item["type"] == "missing" and isinstance(parent := _value_at(rest, path[:-1]), dict):
        stand_in = {} if path[-1] == "space" else _STAND_INS.get(path)  # type: ignore[arg-type]
        if stand_in is not None:
            parent[path[-1]] = deepcopy(stand_in)
            return {path}
    return _delete_deepest(rest, path)


def _value_at(place: Any, path: Path) -> Any:
    for part in path:
        place = place.get(part) if isinstance(place, dict) else None
    return place


def _fix_dimension(table: dict[str, Any], name: str) -> bool:
    base, _, group = name.partition(".")
    if name in table:
        table[name] = 0
    elif isinstance(table.get(base), dict):
        table[base][group] = 0
    else:
        return False
    return True


def _delete_deepest(rest: dict[str, Any], path: Path) -> set[Path]:
    """Delete the deepest existing key of a path; return its path."""
    place: Any = rest
    for depth, part in enumerate(path):
        below = place.get(part)
        if below is None or depth + 1 == len(path) or not isinstance(below, dict):
            found: Path = path[: depth + 1] if below is not None else path[:depth]
            parent = _value_at(rest, found[:-1])
            if found and isinstance(parent, dict):
                parent.pop(found[-1], None)
                return {found[:-1] if found in _DECIDE else found}
            return set()
        place = below
    return set()


def _begins(path: Path) -> str:
    """Return the pattern of sentences about a path: its table and all below it, or its key."""
    *table, key = map(str, path)
    inside = rf"\[{re.escape('.'.join(map(str, path)))}[.\]]"
    named = rf"\[{re.escape('.'.join(table))}\]:? {re.escape(key)}\b" if table else rf"{key}\b"
    return f"{inside}|{named}"
