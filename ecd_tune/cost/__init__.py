"""Costs of trials: hours, energy and carbon, without torch and without a network."""

from ecd_tune.cost.intensity import Intensity, find_intensity, known_regions
from ecd_tune.cost.meter import EnergyMeter, MeterReading

__all__ = ["Intensity", "EnergyMeter", "MeterReading", "find_intensity", "known_regions"]
