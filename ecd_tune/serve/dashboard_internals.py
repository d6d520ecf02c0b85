"""The private parts of optuna-dashboard that are used here; no other module imports any.

They fit the versions of :data:`VERSIONS`, which ``pyproject.toml`` asks for. When they move,
``tests/serve/test_dashboard_internals.py`` names what is missing or has another signature.
"""

from __future__ import annotations

from optuna_dashboard._custom_plot_data import get_plotly_graph_objects
from optuna_dashboard._note import get_note_from_system_attrs
from optuna_dashboard._serializer import (
    MAX_ATTR_LENGTH,
    serialize_distribution,
    serialize_study_detail,
)
from optuna_dashboard._storage import get_study
from optuna_dashboard.artifact._backend import (
    ARTIFACTS_ATTR_PREFIX,
    DASHBOARD_ARTIFACTS_ATTR_PREFIX,
)

__all__ = [
    "ARTIFACTS_ATTR_PREFIX",
    "DASHBOARD_ARTIFACTS_ATTR_PREFIX",
    "MAX_ATTR_LENGTH",
    "VERSIONS",
    "get_note_from_system_attrs",
    "get_plotly_graph_objects",
    "get_study",
    "serialize_distribution",
    "serialize_study_detail",
]

VERSIONS = ">=0.21,<0.22"
