"""A run's state as named tensors, as it is saved, and back."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from torch import Tensor

from ecd_tune.optim.driver import RunState
from ecd_tune.optim.self_tuning.adaptive import Auto
from ecd_tune.optim.self_tuning.orbit import Orbit
from ecd_tune.optim.self_tuning.plateau import Plateau

__all__ = ["read_record", "read_tuple", "write_record"]


def write_record(record: Any, prefix: str = "") -> dict[str, Tensor]:
    """Return the tensors of nested named tuples.

    Args:
        record: A named tuple of tensors, of further such tuples, or of None, which is left out.
        prefix: Begins each name.

    Returns:
        Name to tensor; a tuple within a tuple is ``outer.inner``.
    """
    return dict(_tensors(record, prefix))


def _tensors(record: Any, prefix: str) -> Iterator[tuple[str, Tensor]]:
    for name, value in record._asdict().items():
        if isinstance(value, tuple):
            yield from _tensors(value, f"{prefix}{name}.")
        elif value is not None:
            yield prefix + name, value


def read_tuple(kind: Any, tensors: Mapping[str, Tensor], prefix: str = "", **parts: Any) -> Any:
    """Return a named tuple that :func:`write_record` wrote.

    Args:
        kind: The named tuple.
        tensors: Name to tensor; further ones are allowed.
        prefix: Begins each name.
        **parts: Fields that are named tuples themselves: their kind, or their value.

    Returns:
        The tuple.
    """

    def field(name: str) -> Any:
        if name not in parts:
            return tensors[prefix + name]
        part = parts[name]
        return read_tuple(part, tensors, f"{prefix}{name}.") if isinstance(part, type) else part

    return kind(*map(field, kind._fields))


def read_record(tensors: Mapping[str, Tensor], *, auto: bool) -> RunState:
    """Return the state of an ECDSep run that :func:`write_record` wrote.

    Args:
        tensors: Name to tensor; further ones are allowed.
        auto: Whether any hyperparameter is ``"auto"``.

    Returns:
        The state.
    """
    found = None
    if auto:
        found = read_tuple(Auto, tensors, "auto.", orbit=Orbit, plateau=Plateau)
    state: RunState = read_tuple(RunState, tensors, auto=found)
    return state
