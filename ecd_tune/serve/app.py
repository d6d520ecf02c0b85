"""The dashboard as one WSGI application, layer on layer.

::

    Guard        Host, origin of writes, headers for the browser
    Compress     gzip
    Login        sessions and tokens                    (with --auth)
    ReadOnly     refuses writes                         (with --read-only)
    Bar          who is logged in, and the way out
    StudyCall    the one call that is large
    optuna-dashboard
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from urllib.parse import urlsplit

import optuna_dashboard

from ecd_tune.errors import DashboardError
from ecd_tune.serve._wsgi import (
    App,
    Environ,
    StartResponse,
    call,
    close,
    find_header,
    set_header,
)
from ecd_tune.serve.access import Access
from ecd_tune.serve.compress import Compress
from ecd_tune.serve.fast_reads import FastStorage
from ecd_tune.serve.guard import Guard, ReadOnly, is_loopback
from ecd_tune.serve.login import USER, Login
from ecd_tune.serve.pages import bar
from ecd_tune.serve.study_call import StudyCall

__all__ = ["Settings", "build_app"]


@dataclass(frozen=True)
class Settings:
    """How the dashboard is served.

    Attributes:
        host: Address to listen on.
        port: Port to listen on.
        access: Who may enter; None for everybody, allowed on loopback only.
        read_only: Refuse every write.
        public_url: What users type, where a proxy stands before; empty otherwise.
        tls: Whether the server itself speaks https.

    Raises:
        DashboardError: Others could reach the dashboard without a login, or the URL is none.
    """

    host: str = "127.0.0.1"
    port: int = 8080
    access: Access | None = None
    read_only: bool = False
    public_url: str = ""
    tls: bool = False

    def __post_init__(self) -> None:
        reachable = [] if is_loopback(self.host) else [f"--host {self.host}"]
        if self.public_url:
            parts = urlsplit(self.public_url)
            if parts.scheme not in ("http", "https") or not parts.hostname or parts.path.strip("/"):
                raise DashboardError(
                    f"--public-url {self.public_url}: write https://HOST or https://HOST:PORT"
                )
            if not is_loopback(parts.hostname):
                reachable.append(f"--public-url {self.public_url}")
        if reachable and self.access is None:
            raise DashboardError(
                f"{reachable[0]}: there is no login, and whoever reaches the dashboard can "
                "read and delete studies; give --auth FILE (see `ecd-tune dashboard --help`), or "
                f"use a tunnel: ssh -L {self.port}:127.0.0.1:{self.port} THIS-HOST"
            )

    @property
    def secure(self) -> bool:
        """Whether users come by https."""
        return self.tls or self.public_url.startswith("https:")


def build_app(storage: FastStorage, settings: Settings) -> App:
    """Put the layers together.

    Args:
        storage: The database.
        settings: How it is served.

    Returns:
        The application.
    """
    app: App = StudyCall(optuna_dashboard.wsgi(storage), storage)
    app = _Bar(app, settings.read_only)
    if settings.read_only:
        app = ReadOnly(app)
    if settings.access is not None:
        app = Login(app, settings.access, settings.secure)
    return Guard(Compress(app), settings.public_url, any_host=settings.access is not None)


class _Bar:
    def __init__(self, app: App, read_only: bool) -> None:
        self._app, self._read_only = app, read_only

    def __call__(self, environ: Environ, start_response: StartResponse) -> Iterable[bytes]:
        path = environ.get("PATH_INFO", "")
        if path != "/dashboard" and not path.startswith("/dashboard/"):
            return self._app(environ, start_response)
        # The page differs from user to user: "not modified" would be wrong.
        for condition in ("HTTP_IF_MODIFIED_SINCE", "HTTP_IF_NONE_MATCH", "HTTP_RANGE"):
            environ.pop(condition, None)
        status, headers, body = call(self._app, environ)
        piece = bar(environ.get(USER), self._read_only)
        if not (find_header(headers, "Content-Type") or "").startswith("text/html") or not piece:
            start_response(status, headers)
            return body
        page = b"".join(body).replace(b"</body>", piece + b"</body>", 1)
        close(body)
        for name in ("ETag", "Last-Modified", "Accept-Ranges"):
            set_header(headers, name, None)
        set_header(headers, "Content-Length", str(len(page)))
        set_header(headers, "Cache-Control", "no-store")
        start_response(status, headers)
        return [page]
