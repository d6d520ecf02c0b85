"""Carbon intensity of electricity: kg of CO₂ equivalent per kWh, by country or as given.

The table is a file of this package: the intensities of Our World in Data (CC BY 4.0, after Ember
and the Energy Institute) as codecarbon 3.3.2 ships them (MIT), rounded to a gram, one year each;
the world's average is the one that codecarbon falls back on (IEA, 2019).
"""

from __future__ import annotations

import csv
from dataclasses import dataclass
from functools import cache
from importlib.resources import files

from ecd_tune.errors import SpecError

__all__ = ["Intensity", "find_intensity", "known_regions"]

_WORLD = "WORLD"


@dataclass(frozen=True)
class Intensity:
    """Carbon per kWh.

    Attributes:
        kg_per_kwh: kg of CO₂ equivalent per kWh.
        origin: Where the number comes from, in words.
    """

    kg_per_kwh: float
    origin: str


def find_intensity(region: str | None = None, kg_per_kwh: float | None = None) -> Intensity:
    """Find the intensity to count with.

    Args:
        region: ISO 3166 code of a country in three letters, for example ``FRA``, or ``WORLD``.
        kg_per_kwh: The intensity itself, where it is known; it goes before the region.

    Returns:
        The setting; by default the world's average.

    Raises:
        SpecError: The table has no such region.
    """
    if kg_per_kwh is not None:
        return Intensity(kg_per_kwh, "as set in the study file")
    table = _read_table()
    if region is None:
        world = table[_WORLD]
        return Intensity(world.kg_per_kwh, f"{world.origin}, because the study file sets none")
    if region not in table:
        raise SpecError(_explain(region))
    return table[region]


def known_regions() -> tuple[str, ...]:
    """Return the codes that :func:`find_intensity` knows, sorted."""
    return tuple(sorted(_read_table()))


def _explain(region: str) -> str:
    wanted = region.casefold()
    near = [
        f"{row['name']} is {row['code']}"
        for row in _read_rows()
        if wanted and wanted in (row["code"].casefold(), row["name"].casefold())
    ]
    hint = f" ({near[0]})" if near else ""
    return (
        f"{region!r} is not a known region{hint}; allowed: a country's three-letter code (ISO "
        "3166), for example FRA, or WORLD. Otherwise set kg_per_kwh"
    )


@cache
def _read_table() -> dict[str, Intensity]:
    return {
        row["code"]: Intensity(
            int(row["grams_per_kwh"]) / 1000, f"average of {row['name']}, {row['year']}"
        )
        for row in _read_rows()
    }


def _read_rows() -> list[dict[str, str]]:
    text = files(__package__).joinpath("intensity.csv").read_text(encoding="utf-8")
    return list(csv.DictReader(text.splitlines()))
