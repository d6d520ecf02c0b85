"""Conditions under which a dimension is active, or the lower end of a range means 0."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from ecd_tune.records import Scalar

__all__ = ["Condition", "Zero", "describe_condition"]

Condition = Mapping[str, tuple[Scalar, ...]]
"""Parameter name to the values for which the dimension is active; empty means always."""


@dataclass(frozen=True)
class Zero:
    """The lower end of a range that means 0, which a logarithmic range cannot contain.

    The sampler sees the drawn value; the optimizer gets 0.

    Attributes:
        below: Values below this mean 0.
        when: Condition under which they do; otherwise values are unchanged.
    """

    below: float
    when: Condition = field(default_factory=dict)


def describe_condition(when: Condition) -> str:
    """Describe a condition.

    Args:
        when: The condition.

    Returns:
        For example `` when s = 0 or 1``; empty for a condition that is always true.
    """
    if not when:
        return ""
    parts = [f"{name} = {' or '.join(str(v) for v in values)}" for name, values in when.items()]
    return " when " + " and ".join(parts)
