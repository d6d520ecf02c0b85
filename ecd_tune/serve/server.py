"""Serve the dashboard with gunicorn: one process, several threads."""

from __future__ import annotations

import gc
import socket
from collections.abc import Callable
from pathlib import Path
from typing import Any

from gunicorn.app.base import BaseApplication

from ecd_tune.errors import DashboardError
from ecd_tune.serve._wsgi import App
from ecd_tune.serve.app import Settings, build_app
from ecd_tune.serve.fast_reads import open_fast_storage

__all__ = ["serve"]

_THREADS = 8


def serve(
    url: str,
    settings: Settings,
    certificate: Path | None = None,
    key: Path | None = None,
) -> None:
    """Serve the dashboard until a signal ends it; does not return.

    Args:
        url: The database, its tables there.
        settings: How it is served.
        certificate: With ``key``: speak https.
        key: The certificate's private key.

    Raises:
        DashboardError: The address cannot be listened on, or a file of TLS cannot be read.
    """
    options = _options(settings)
    if certificate is not None and key is not None:
        for path in (certificate, key):
            if not path.is_file():
                raise DashboardError(f"{path}: there is no such file; TLS needs it")
        options |= {"certfile": str(certificate), "keyfile": str(key)}
    _try_address(settings)
    # Built in the worker process: connections must not cross its fork.
    _Server(lambda: build_app(open_fast_storage(url), settings), options).run()


def _options(settings: Settings) -> dict[str, Any]:
    host = f"[{settings.host}]" if ":" in settings.host else settings.host
    return {
        "bind": f"{host}:{settings.port}",
        # Sessions live in the memory of the one process.
        "workers": 1,
        "worker_class": "gthread",
        "threads": _THREADS,
        "timeout": 120,
        "graceful_timeout": 5,
        "loglevel": "warning",
        "control_socket_disable": True,
        "limit_request_line": 8190,
        "forwarded_allow_ips": "",
    }


def _try_address(settings: Settings) -> None:
    """Find out here what gunicorn would tell after five tries only.

    Raises:
        DashboardError: The address cannot be listened on.
    """
    family = socket.AF_INET6 if ":" in settings.host else socket.AF_INET
    with socket.socket(family, socket.SOCK_STREAM) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((settings.host, settings.port))
        except OSError as error:
            raise DashboardError(
                f"cannot listen on {settings.host} port {settings.port}: "
                f"{error.strerror or error}; choose another --port or --host"
            ) from error


class _Server(BaseApplication):  # type: ignore[misc]
    def __init__(self, build: Callable[[], App], options: dict[str, Any]) -> None:
        self._build, self._options = build, options
        super().__init__()

    def load_config(self) -> None:
        for name, value in self._options.items():
            self.cfg.set(name, value)

    def load(self) -> App:
        app = self._build()
        # What the imports left stays for good. Reading a large study makes the collector run
        # often, and going through all of that each time took a third of the study call.
        gc.collect()
        gc.freeze()
        return app
