"""Serve the dashboard over HTTP: a thread for each connection, so that no slow one stops others."""

from __future__ import annotations

import gc
import socket
import socketserver
import sys
from collections.abc import Callable
from signal import Signals
from typing import Any
from wsgiref.simple_server import WSGIRequestHandler, WSGIServer

from ecd_tune.errors import DashboardError
from ecd_tune.serve.app import Settings, build_app
from ecd_tune.serve.fast_reads import FastStorage
from ecd_tune.signals import StopFlag

__all__ = ["DashboardServer"]


class _RequestHandler(WSGIRequestHandler):
    # Seconds in which a client has to send, or to take, something.
    timeout = 20
    # Written through a buffer, each send has that time; without one, the whole answer has.
    wbufsize = 1 << 16

    def log_request(self, code: object = "-", size: object = "-") -> None:
        """Log errors only."""


class DashboardServer(socketserver.ThreadingMixIn, WSGIServer):
    """Listens from the beginning, and answers from :meth:`serve` on.

    Args:
        settings: How the dashboard is served.

    Raises:
        DashboardError: The address cannot be listened on.
    """

    daemon_threads = True
    request_queue_size = 128
    # Seconds between two checks of the stop signal.
    timeout = 0.2

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self.address_family = socket.AF_INET6 if ":" in settings.host else socket.AF_INET
        try:
            super().__init__((settings.host, settings.port), _RequestHandler)
        except OSError as error:
            raise DashboardError(
                f"cannot listen on {settings.host} port {settings.port}: "
                f"{error.strerror or error}; choose another --port or --host"
            ) from error

    def server_bind(self) -> None:
        """Bind without asking a name server for our name, which can take long."""
        socketserver.TCPServer.server_bind(self)
        self.server_name, self.server_port = self._settings.host, self._settings.port
        self.setup_environ()

    def serve(self, url: str, say: Callable[[Signals], object] = lambda number: None) -> None:
        """Serve a database until SIGINT, SIGTERM or SIGHUP, and close the server.

        Args:
            url: The database, its tables there.
            say: As for :class:`~ecd_tune.signals.StopFlag`.
        """
        with self, StopFlag(say=say) as stop:
            self.set_app(build_app(FastStorage(url), self._settings))
            # Objects of the imports stay permanently. Reading a large study makes the collector run
            # often, and going through all of that each time took a third of the study call.
            gc.collect()
            gc.freeze()
            while not stop():
                self.handle_request()

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Print a traceback, but not for a client that left or fell silent."""
        if not isinstance(sys.exception(), OSError):
            super().handle_error(request, client_address)
