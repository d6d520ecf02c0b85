"""Read spaces from the plain values of a study file.

========================================  ============================================
in TOML                                   dimension
========================================  ============================================
``lr = { low = 1e-4, high = 1, log = true }``  :class:`Float`; :class:`Int` when both ends
                                          are whole numbers and ``type = "int"`` is given
``nu = [1e-4, 1e-5]``                     :class:`Choice`
``s = 1``                                 :class:`Fixed`
``beta = { low = …, when = { s = [0] } }``  any of them, only where ``s`` is 0
``x = { value = 1, when = { s = [0] } }``  :class:`Fixed` with a condition
``x = { choices = [1, 2], when = … }``    :class:`Choice` with a condition
``x = { …, zero = { below = 1e-6 } }``    :class:`Float` whose lower end means 0
``x = { low = 0, high = 1, prior = 0.2 }``  a range with a :class:`Prior`; its spread by
                                          ``prior = { center = 0.2, spread = 0.1 }``
``x = { choices = [1, 2], prior = [3, 1] }``  :class:`Choice`, a weight for each value
``scale.embeddings = …``                  any of them, for one group of parameters
========================================  ============================================
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from ecd_tune.errors import SpaceError, hint
from ecd_tune.records import Scalar
from ecd_tune.space.conditions import Condition, Zero
from ecd_tune.space.dimensions import Choice, Dimension, Fixed, Float, Int
from ecd_tune.space.priors import Prior
from ecd_tune.space.space import Space

__all__ = ["parse_dimension", "parse_space"]

_RANGE_KEYS = {"low", "high", "log", "type", "when", "zero", "prior"}
_KEYS = _RANGE_KEYS | {"value", "choices"}
_FORMS = "a value, a list of values, or { low = …, high = …, log = true }"


def parse_space(table: Mapping[str, Any]) -> Space:
    """Read a whole space.

    Args:
        table: Parameter name to the forms of the module's table.

    Returns:
        The space, dimensions in the table's order.

    Raises:
        SpaceError: A dimension is not valid; the message has a line for each of them, which
            begins with its name.
    """
    if not isinstance(table, Mapping):
        raise SpaceError(f"{table!r}: must be a table, parameter by parameter")
    dimensions, problems = {}, []
    for name, value in _flat(table):
        try:
            dimensions[name] = parse_dimension(value)
        except SpaceError as error:
            problems.append(f"{name}: {error}")
    if problems:
        raise SpaceError("\n".join(problems))
    return Space(dimensions)


def _flat(table: Mapping[str, Any]) -> Iterator[tuple[str, Any]]:
    # TOML makes a table of scale.embeddings.
    for name, value in table.items():
        if isinstance(value, Mapping) and value and not _KEYS & set(value):
            yield from ((f"{name}.{group}", own) for group, own in value.items())
        else:
            yield name, value


def parse_dimension(value: Any) -> Dimension:
    """Read one dimension.

    Args:
        value: One of the forms of the module's table.

    Returns:
        The dimension.

    Raises:
        SpaceError: None of the forms fits.
    """
    if isinstance(value, (bool, int, float, str)):
        return Fixed(value)
    if isinstance(value, list):
        return Choice(_scalars(value))
    if isinstance(value, Mapping):
        return _parse_table(value)
    raise SpaceError(f"{value!r}: expected {_FORMS}")


def _parse_table(table: Mapping[str, Any]) -> Dimension:
    when = _parse_condition(table.get("when", {}))
    keys = set(table) - {"when"}
    if keys == {"value"}:
        return Fixed(_scalars([table["value"]])[0], when)
    if keys == {"value", "prior"}:
        raise SpaceError("prior: a fixed value has none; leave it out, or give a range")
    if {"choices"} <= keys <= {"choices", "prior"}:
        weights = _parse_weights(table["prior"]) if "prior" in keys else None
        return Choice(_scalars(table["choices"]), when, weights)
    unknown = set(table) - _RANGE_KEYS
    if unknown:
        key = sorted(unknown)[0]
        raise SpaceError(f"unknown key {key!r}{hint(key, sorted(_RANGE_KEYS))}")
    missing = {"low", "high"} - keys
    if missing:
        raise SpaceError(f"{sorted(missing)[0]} is missing; expected {_FORMS}")
    return _parse_range(table, when)


def _parse_range(table: Mapping[str, Any], when: Condition) -> Dimension:
    low, high, log = table["low"], table["high"], table.get("log", False)
    kind = table.get("type", "float")
    if kind not in ("float", "int"):
        raise SpaceError(f"type = {kind!r}; allowed: 'float', 'int'")
    if not isinstance(log, bool):
        raise SpaceError(f"log = {log!r}; must be true or false")
    for end, number in (("low", low), ("high", high)):
        wanted = (int,) if kind == "int" else (int, float)
        if isinstance(number, bool) or not isinstance(number, wanted):
            raise SpaceError(f"{end} = {number!r}; must be a {'whole ' * (kind == 'int')}number")
    zero = _parse_zero(table["zero"]) if "zero" in table else None
    prior = _parse_prior(table["prior"]) if "prior" in table else None
    if kind == "int":
        if zero is not None:
            raise SpaceError("zero: not for integers: their range can include 0")
        return Int(low, high, log, when, prior)
    return Float(float(low), float(high), log, when, zero, prior)


def _parse_zero(table: Any) -> Zero:
    form = "zero = { below = 1e-6 }, and optionally when = { name = [values] }"
    if not isinstance(table, Mapping) or not {"below"} <= set(table) <= {"below", "when"}:
        raise SpaceError(f"zero = {table!r}; expected {form}")
    below = table["below"]
    if not _is_number(below):
        raise SpaceError(f"zero: below = {below!r}; must be a number")
    return Zero(float(below), _parse_condition(table.get("when", {})))


def _parse_prior(value: Any) -> Prior:
    table = value if isinstance(value, Mapping) else {"center": value}
    numbers = all(_is_number(number) for number in table.values())
    if not {"center"} <= set(table) <= {"center", "spread"} or not numbers:
        form = "prior = 0.1, or prior = { center = 0.1, spread = 3.0 }"
        raise SpaceError(f"prior = {value!r}; expected {form}")
    spread = table.get("spread")
    return Prior(float(table["center"]), None if spread is None else float(spread))


def _parse_weights(values: Any) -> tuple[float, ...]:
    if not isinstance(values, list) or not all(_is_number(value) for value in values):
        raise SpaceError(f"prior = {values!r}; expected a weight for each choice, such as [3, 1]")
    return tuple(float(value) for value in values)


def _is_number(value: Any) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool)


def _parse_condition(table: Any) -> Condition:
    if not isinstance(table, Mapping):
        raise SpaceError(f"when = {table!r}; expected {{ name = [values] }}")
    return {
        name: _scalars(values if isinstance(values, list) else [values])
        for name, values in table.items()
    }


def _scalars(values: Any) -> tuple[Scalar, ...]:
    if not isinstance(values, list):
        raise SpaceError(f"{values!r}; expected a list of values")
    for value in values:
        if not isinstance(value, (bool, int, float, str)):
            raise SpaceError(f"{value!r} in a list; only numbers, strings and true/false")
    return tuple(values)
