"""The dashboard as one WSGI application, layer on layer.

::

    Guard        Host, origin of writes, headers for the browser
    ReadOnly     refuses writes                         (unless --writable)
    FleetPage    our own page, /fleet, and reports
    StudyCall    the one call that is large
    optuna-dashboard
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import optuna_dashboard

from ecd_tune.errors import DashboardError
from ecd_tune.serve._wsgi import App
from ecd_tune.serve.fast_reads import FastStorage
from ecd_tune.serve.fleet import FleetPage
from ecd_tune.serve.guard import Guard, is_loopback, parse_host
from ecd_tune.serve.read_only import ReadOnly
from ecd_tune.serve.study_call import StudyCall

__all__ = ["Settings", "build_app"]


@dataclass(frozen=True)
class Settings:
    """How the dashboard is served.

    Attributes:
        host: Address to listen on; IPv6 with or without brackets.
        port: Port to listen on.
        read_only: Refuse every write.
        reports: Folder with the reports that the page of studies and workers links to.
        proxy: URL of the authenticating proxy, ``https://HOST`` or ``https://HOST:PORT``; empty if
            there is none.

    Raises:
        DashboardError: Others could reach the dashboard without a login, or ``proxy`` is not such
            a URL.
    """

    host: str = "127.0.0.1"
    port: int = 8080
    read_only: bool = False
    proxy: str = ""
    reports: Path = Path("reports")

    def __post_init__(self) -> None:
        object.__setattr__(self, "host", self.host.removeprefix("[").removesuffix("]"))
        if self.proxy:
            scheme, _, host = self.proxy.lower().removesuffix("/").partition("://")
            if scheme != "https" or parse_host(host) is None:
                raise DashboardError(
                    f"--behind-proxy {self.proxy}: write https://HOST or https://HOST:PORT, as "
                    "users type it (over http passwords would travel unencrypted)"
                )
            object.__setattr__(self, "proxy", f"https://{host}")
        elif not is_loopback(self.host):
            raise DashboardError(
                f"--host {self.host}: there is no login, and anyone with access to the dashboard "
                "can read and delete studies; use a tunnel to loopback (ssh -L "
                f"{self.port}:127.0.0.1:{self.port} THIS-HOST), or a proxy with authentication "
                "(storage/Caddyfile) and --behind-proxy https://HOST"
            )

    @property
    def url(self) -> str:
        """The URL that users type."""
        host = f"[{self.host}]" if ":" in self.host else self.host
        return self.proxy or f"http://{host}:{self.port}"


def build_app(storage: FastStorage, settings: Settings) -> App:
    """Build the layers around the dashboard of a database."""
    app: App = StudyCall(optuna_dashboard.wsgi(storage), storage)
    app = FleetPage(app, storage, settings.reports)
    if settings.read_only:
        app = ReadOnly(app)
    return Guard(app, settings.proxy)
