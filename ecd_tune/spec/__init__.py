"""The study file: its model, its loading with messages, and its fingerprint."""

from ecd_tune.spec.find import find_study, shipped_studies
from ecd_tune.spec.load import load_study, parse_study
from ecd_tune.spec.model import (
    Budget,
    Confirmation,
    OptimizerSpec,
    Reference,
    Retries,
    SamplerSpec,
    StudySpec,
)

__all__ = [
    "Budget",
    "Confirmation",
    "OptimizerSpec",
    "Reference",
    "Retries",
    "SamplerSpec",
    "StudySpec",
    "find_study",
    "load_study",
    "parse_study",
    "shipped_studies",
]
