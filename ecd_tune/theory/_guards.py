"""Numbers in, numbers out, and the assumptions that a formula makes of them."""

from __future__ import annotations

from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt

from ecd_tune.errors import TheoryError

__all__ = ["Array", "Numbers", "Result", "as_array", "require", "require_range"]

Numbers: TypeAlias = npt.ArrayLike
"""A number, or an array of numbers that broadcasts with the other arguments."""
Array: TypeAlias = npt.NDArray[np.float64]
"""Numbers in float64."""
Result: TypeAlias = Any
"""A numpy float where all arguments are numbers, else an array of their broadcast shape."""


def as_array(x: Numbers) -> Array:
    """Return ``x`` in float64."""
    return np.asarray(x, dtype=np.float64)


def require(holds: npt.ArrayLike, formula: str, assumption: str, **values: Numbers) -> None:
    """Check an assumption for every element of an array.

    Args:
        holds: Where it is satisfied.
        formula: The computed quantity, for the message.
        assumption: The assumption, and what to do.
        **values: The numbers concerned; the first offending ones are shown.

    Raises:
        TheoryError: It is not satisfied for some element.
    """
    broken = ~np.asarray(holds)
    if not broken.any():
        return
    first = np.unravel_index(int(np.argmax(broken)), broken.shape)
    shown = []
    for name, value in values.items():
        array = np.broadcast_to(np.asarray(value), broken.shape)
        shown.append(f"{name} = {array[first].item()!r}")
    raise TheoryError(f"{formula}: {', '.join(shown)}; {assumption}")


def require_range(
    formula: str, name: str, value: Numbers, low: float, *, open_low: bool = False
) -> Array:
    """Return ``value`` in float64 when it is finite and at least (or above) ``low``.

    Args:
        formula: The computed quantity, for the message.
        name: Name of the number.
        value: The number or numbers.
        low: The bound.
        open_low: The bound itself is not allowed.

    Returns:
        The array.
    """
    x = as_array(value)
    inside = (x > low) if open_low else (x >= low)
    rule = f"{name} must be finite and {'>' if open_low else '>='} {low:g}"
    require(inside & np.isfinite(x), formula, rule, **{name: x})
    return x
