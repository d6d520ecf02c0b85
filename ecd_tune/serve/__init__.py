"""Optuna's dashboard, guarded, on loopback; a reverse proxy adds passwords and TLS."""

from ecd_tune.serve.app import Settings, build_app
from ecd_tune.serve.server import open_server

__all__ = ["Settings", "build_app", "open_server"]
