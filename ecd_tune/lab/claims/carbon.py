"""§6 and B.7: hours, energy and CO₂ equivalents."""

from __future__ import annotations

from itertools import product

from ecd_tune.analysis.checks.model import Finding, Verdict
from ecd_tune.lab.claims.findings import rounding_finding
from ecd_tune.lab.claims.printed import DeviceHours, Number, Printed

__all__ = ["check_emissions", "check_sum"]

_WATTS_PER_KW = 1000


def check_emissions(printed: Printed) -> list[Finding]:
    """Compare printed emissions with hours × power × carbon intensity.

    Args:
        printed: The paper's numbers.

    Returns:
        One finding per block. The interval contains all values that round to the printed hours and
        intensity; the power is the device's TDP. Supported when it has a number that rounds to the
        printed one.
    """
    return [_emissions(block) for block in printed.computing]


def _emissions(block: DeviceHours) -> Finding:
    watts = block.watts.value
    exact = _kilograms(block.hours.value, watts, block.kg_per_kwh.value)
    corners = [
        _kilograms(hours, watts, intensity)
        for hours, intensity in product(_ends(block.hours), _ends(block.kg_per_kwh))
    ]
    low, high, printed = min(corners), max(corners), block.kg
    reached = low - printed.half_unit <= printed.value <= high + printed.half_unit
    verdict = Verdict.SUPPORTED if reached else Verdict.REFUTED
    return Finding(block.name, "kg CO₂eq", printed.value, exact, low, high, verdict, 1)


def _kilograms(hours: float, watts: float, kg_per_kwh: float) -> float:
    return hours * watts / _WATTS_PER_KW * kg_per_kwh


def _ends(number: Number) -> tuple[float, float]:
    return number.value - number.half_unit, number.value + number.half_unit


def check_sum(printed: Printed, *, quantity: str) -> list[Finding]:
    """Compare a total of §6 with the sum over the blocks of B.7.

    Args:
        printed: The paper's numbers.
        quantity: ``"hours"``, ``"hours_in_paper"`` or ``"kg"``.

    Returns:
        One finding.
    """
    parts = [getattr(block, quantity).value for block in printed.computing]
    total = printed.computing_total[quantity]
    terms = " + ".join(f"{part:g}" for part in parts)
    return [rounding_finding("§6 against B.7", terms, total, sum(parts), len(parts))]
