"""Optuna's dashboard, guarded, on loopback; a reverse proxy adds passwords and TLS."""

from ecd_tune.serve.app import Settings, build_app
from ecd_tune.serve.server import DashboardServer

__all__ = ["DashboardServer", "Settings", "build_app"]
