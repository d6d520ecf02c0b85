"""Write small tables as JSON, TOML or YAML without a library for the latter two.

The values are numbers, true or false, and text; one level of nesting is enough.
"""

from __future__ import annotations

import json
from collections.abc import Mapping

from ecd_tune.records import Scalar

__all__ = ["NamedTable", "render_json_table", "render_toml_table", "render_yaml_table"]

NamedTable = Mapping[str, Scalar | Mapping[str, Scalar]]
"""Scalars by name, and below them tables of scalars by name."""

_YAML_WORDS = ("true", "false", "yes", "no", "on", "off", "null")


def render_json_table(tables: Mapping[str, NamedTable]) -> str:
    """Write JSON.

    Args:
        tables: Name to table; floats are finite.

    Returns:
        Indented JSON, in ASCII.
    """
    return json.dumps(tables, indent=2, allow_nan=False)


def render_toml_table(tables: Mapping[str, NamedTable]) -> str:
    """Write TOML.

    Args:
        tables: Name to table.

    Returns:
        One ``[name]`` a table, and one ``[name.inner]`` an inner table.
    """
    blocks = []
    for name, table in tables.items():
        key = _toml_key(name)
        blocks.append("\n".join([f"[{key}]", *_toml_lines(_scalars(table))]))
        for inner, values in _inner(table).items():
            blocks.append("\n".join([f"[{key}.{_toml_key(inner)}]", *_toml_lines(values)]))
    return "\n\n".join(blocks)


def render_yaml_table(tables: Mapping[str, NamedTable]) -> str:
    """Write YAML that versions 1.1 and 1.2 read alike.

    Args:
        tables: Name to table.

    Returns:
        Nested mappings.
    """
    lines = []
    for name, table in tables.items():
        lines += [f"{_yaml_key(name)}:", *_yaml_lines(_scalars(table), "  ")]
        for inner, values in _inner(table).items():
            # An empty mapping has to be written out: nothing below a key means null.
            lines.append(f"  {_yaml_key(inner)}:" + ("" if values else " {}"))
            lines += _yaml_lines(values, "    ")
    return "\n".join(lines)


def _scalars(table: NamedTable) -> dict[str, Scalar]:
    return {name: value for name, value in table.items() if not isinstance(value, Mapping)}


def _inner(table: NamedTable) -> dict[str, Mapping[str, Scalar]]:
    return {name: value for name, value in table.items() if isinstance(value, Mapping)}


def _toml_lines(table: Mapping[str, Scalar]) -> list[str]:
    return [f"{_toml_key(name)} = {_literal(value)}" for name, value in table.items()]


def _toml_key(name: str) -> str:
    bare = name.isascii() and name.replace("-", "").replace("_", "").isalnum()
    return name if bare else _quote(name)


def _yaml_lines(table: Mapping[str, Scalar], indent: str) -> list[str]:
    return [f"{indent}{_yaml_key(name)}: {_yaml_literal(v)}" for name, v in table.items()]


def _yaml_key(name: str) -> str:
    # Quoted where YAML 1.1 would read something else, such as a number or ``y`` for true.
    plain = name.isascii() and name.isidentifier() and len(name) > 1
    return name if plain and name.lower() not in _YAML_WORDS else _quote(name)


def _yaml_literal(value: Scalar) -> str:
    if not isinstance(value, float):
        return _literal(value)
    # YAML 1.1 takes 1e-05 for a string: its floats need a point.
    mantissa, e, exponent = repr(float(value)).partition("e")
    return f"{mantissa if '.' in mantissa else mantissa + '.0'}{e}{exponent}"


def _literal(value: Scalar) -> str:
    if isinstance(value, str):
        return _quote(value)
    # float() because numpy's floats, which are Python's too, print their type.
    return repr(float(value)) if isinstance(value, float) else repr(value).lower()


def _quote(text: str) -> str:
    # A JSON string is a basic string of TOML and a double-quoted one of YAML. In ASCII, so that no
    # terminal's encoding changes what is printed; \U because TOML has no surrogate pairs.
    return "".join(
        c if c.isascii() and c != "\x7f" else f"\\U{ord(c):08x}"
        for c in json.dumps(text, ensure_ascii=False)
    )
