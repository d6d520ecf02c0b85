"""``[cost]``: settings for the energy and carbon of a study; they change no trial."""

from __future__ import annotations

from typing import Self

from pydantic import Field, model_validator

from ecd_tune.cost import Intensity, find_intensity
from ecd_tune.spec._table import SpecModel

__all__ = ["CostSpec"]


class CostSpec(SpecModel):
    """``[cost]``: carbon intensity and power, where they are known better than by default.

    Attributes:
        region: Country whose average intensity counts, by its three letters (ISO 3166).
        kg_per_kwh: The intensity itself, in kg of CO₂ equivalent per kWh; excludes ``region``.
        tdp_watts: Power of the device that trials run on, a GPU or all of the machine's
            processor; then energy is this power × time, as in the paper, and never measured.
        offset: Share of the carbon that the provider offsets; reports then give gross and net.
    """

    region: str | None = None
    kg_per_kwh: float | None = Field(default=None, ge=0.0, allow_inf_nan=False)
    tdp_watts: float | None = Field(default=None, gt=0.0, allow_inf_nan=False)
    offset: float = Field(default=0.0, ge=0.0, le=1.0)

    @model_validator(mode="after")
    def _check_region(self) -> Self:
        if self.region is not None and self.kg_per_kwh is not None:
            raise ValueError("region and kg_per_kwh are mutually exclusive; remove one")
        find_intensity(self.region)
        return self

    @property
    def intensity(self) -> Intensity:
        """The intensity to count with, and where it comes from."""
        return find_intensity(self.region, self.kg_per_kwh)
