"""The private parts of optuna-dashboard that are used here; no other module imports any.

They fit the versions of :data:`VERSIONS`, which ``pyproject.toml`` asks for. When they move,
``tests/serve/test_dashboard_internals.py`` names what is missing or has another signature.
"""

from __future__ import annotations

from optuna_dashboard._custom_plot_data import get_plotly_graph_objects
from optuna_dashboard._serializer import (
    MAX_ATTR_LENGTH,
    serialize_distribution,
    serialize_frozen_trial,
    serialize_study_detail,
)
from optuna_dashboard._storage import get_study

__all__ = [
    "MAX_ATTR_LENGTH",
    "VERSIONS",
    "get_plotly_graph_objects",
    "get_study",
    "serialize_distribution",
    "serialize_frozen_trial",
    "serialize_study_detail",
]

VERSIONS = ">=0.21,<0.22"
