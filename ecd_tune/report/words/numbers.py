"""How reports print numbers."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING

from ecd_tune.records import Scalar

if TYPE_CHECKING:
    from ecd_tune.analysis import Summary

__all__ = [
    "format_duration",
    "format_number",
    "format_p",
    "format_scalar",
    "format_within",
    "quantile_format",
    "surest",
]

_SMALL, _LARGE = 1e-3, 1e5


def format_number(value: float | None, digits: int = 4, infinite: str = "") -> str:
    """Print a number for reading.

    Args:
        value: The number; None prints as a dash.
        digits: Significant digits.
        infinite: Text for infinity, for example ``"diverged"``; a signed ∞ by default.

    Returns:
        For example ``0.9713``, ``1.2e-07`` or ``12340``; scientific below 1e-3 and from 1e5 on.
        Numbers just below 1 have as many digits as tell them from 1.
    """
    if value is None:
        return "–"
    if math.isnan(value):
        return "NaN"
    if math.isinf(value):
        return infinite or ("∞" if value > 0 else "-∞")
    if value == 0:
        return "0"
    rounded = float(f"{value:.{digits - 1}e}")
    if abs(rounded) < _SMALL or abs(rounded) >= _LARGE:
        mantissa, exponent = f"{value:.{digits - 1}e}".split("e")
        return f"{_trim(mantissa)}e{exponent}"
    decimals = digits - 1 - math.floor(math.log10(abs(rounded)))
    if rounded == 1 and value < 1:
        decimals = -math.floor(math.log10(1 - value))  # a momentum of 0.9998 is not 1
        return f"{value:.{decimals}f}"
    return _trim(f"{rounded:.{max(decimals, 0)}f}")


def format_within(value: float | None, spread: float | None, infinite: str = "") -> str:
    """Print a number to the digits that its uncertainty leaves it.

    Args:
        value: The number; None prints as a dash.
        spread: Half width of its interval; two digits of it are printed. None or 0 for none.
        infinite: As of :func:`format_number`.

    Returns:
        For example ``0.777`` for 0.7769 with a spread of 0.058; trailing zeros stay.
    """
    if value is None or not math.isfinite(value) or not spread or not math.isfinite(spread):
        return format_number(value, 4, infinite)
    decimals = 1 - math.floor(math.log10(spread))
    if not 0 <= decimals <= 4:
        lead = math.floor(math.log10(abs(value))) if value else 0
        return format_number(value, min(max(lead + decimals + 1, 2), 6), infinite)
    return f"{value:.{decimals}f}"


def quantile_format(summaries: Iterable[Summary | None], log: bool) -> Callable[[float], str]:
    """Return how to print quantiles that are compared: all to the digits of the surest.

    Args:
        summaries: The distributions.
        log: They span decades: each quantile has two significant digits.

    Returns:
        A function; infinity prints as ``diverged``.
    """
    if log:
        return lambda value: format_number(value, 2, "diverged")
    ends = [summary.median_interval for summary in summaries if summary]
    spread = surest((interval.high - interval.low) / 2 for interval in ends if interval)
    return lambda value: format_within(value, spread, "diverged")


def surest(spreads: Iterable[float | None]) -> float | None:
    """Return the smallest spread, by whose digits numbers are printed that are compared.

    Args:
        spreads: Half widths of intervals; those that are 0, unknown or not finite, because runs
            diverged, are left out.

    Returns:
        One above 0; None if there is none.
    """
    return min((s for s in spreads if s and math.isfinite(s)), default=None)


def _trim(text: str) -> str:
    return text.rstrip("0").rstrip(".") if "." in text else text


def format_scalar(value: Scalar) -> str:
    """Format a hyperparameter with all digits that a rerun needs.

    Args:
        value: A number, true or false, or text.

    Returns:
        The shortest text that reads back as the same value; true and false in small letters.
    """
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, str):
        return value
    # float() because numpy's floats, which are Python's too, print their type.
    return repr(float(value)) if isinstance(value, float) else repr(value)


def format_p(p: float | None) -> str:
    """Print a p-value.

    Args:
        p: From 0 to 1, or None.

    Returns:
        Two significant digits; ``< 0.0001`` when smaller, a dash for None.
    """
    if p is None:
        return "–"
    return "< 0.0001" if p < 1e-4 else format_number(p, 2)


def format_duration(seconds: float | None) -> str:
    """Print a duration.

    Args:
        seconds: Its length, or None.

    Returns:
        For example ``12.3 s``, ``4 min 05 s`` or ``2 h 03 min``; a dash for None.
    """
    if seconds is None:
        return "–"
    if seconds < 60:
        return f"{format_number(seconds, 3)} s"
    minutes = round(seconds / 60) if seconds >= 3600 else int(seconds // 60)
    if seconds < 3600:
        return f"{minutes} min {int(seconds % 60):02d} s"
    return f"{minutes // 60} h {minutes % 60:02d} min"
