"""Refuse what does not come from the dashboard's own pages, and protect these in the browser.

Against a foreign page that sends writes (CSRF), a foreign name that resolves to this machine
(DNS rebinding), frames, and sniffing. Needed behind a login of the proxy too: a browser adds a
password that it knows to the requests of foreign pages.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from http import HTTPStatus
from ipaddress import ip_address
from urllib.parse import urlsplit
from wsgiref.headers import Headers

from ecd_tune.serve._wsgi import App, Environ, HeaderList, StartResponse, is_safe, refuse

__all__ = ["Guard", "is_loopback", "parse_host"]

_FIXED = (
    ("X-Content-Type-Options", "nosniff"),
    ("X-Frame-Options", "DENY"),
    # Not "no-referrer": with it browsers send "Origin: null" with a page's own forms.
    ("Referrer-Policy", "same-origin"),
    ("Cross-Origin-Resource-Policy", "same-origin"),
    ("Cross-Origin-Opener-Policy", "same-origin"),
    ("Permissions-Policy", "camera=(), geolocation=(), microphone=()"),
)
_POLICY = "frame-ancestors 'none'; form-action 'self'; base-uri 'none'"
_PORTS = {"http": 80, "https": 443}
# Names are in ASCII there (xn-- for others).
_HOST = re.compile(r"([a-z0-9._-]+|\[[0-9a-f:.]+\])(:\d{1,5})?", re.IGNORECASE)

Origin = tuple[str, str, int]


def is_loopback(host: str) -> bool:
    """Return whether an address or name means this machine only, without a DNS query."""
    if host.lower().rstrip(".") == "localhost":
        return True
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return False


def parse_origin(url: str) -> Origin | None:
    """Return scheme, host and port of a URL; None where it is not one of http or https."""
    try:
        parts = urlsplit(url)
        port = parts.port
    except ValueError:
        return None
    if parts.scheme not in _PORTS or not parts.hostname or port == 0:
        return None
    return parts.scheme, parts.hostname, port or _PORTS[parts.scheme]


def parse_host(header: str, scheme: str = "https") -> Origin | None:
    """Return the origin of a ``Host`` header; None where it is malformed."""
    return parse_origin(f"{scheme}://{header}") if _HOST.fullmatch(header) else None


class Guard:
    """Check ``Host`` and the origin of writes, and add the headers that protect pages.

    Args:
        app: The layer below.
        proxy: URL of the dashboard for users, ``https://HOST`` or ``https://HOST:PORT``: other
            names are rejected. Empty: by the names of loopback, at any port, since a tunnel may
            begin at another one.
    """

    def __init__(self, app: App, proxy: str = "") -> None:
        self._app, self._proxy = app, proxy
        self._own = parse_origin(proxy)

    def __call__(self, environ: Environ, start_response: StartResponse) -> Iterable[bytes]:
        """Answer a request."""

        def start(status: str, headers: HeaderList, exc_info: object = None) -> object:
            return start_response(status, _protect(environ, headers), exc_info)

        host = environ.get("HTTP_HOST", "")
        if not self._is_own_host(host):
            known = self._proxy or "127.0.0.1 or localhost"
            reason = f"this dashboard is not known as {host!r}; open it as {known}"
            if not self._proxy:
                reason += ", or use --behind-proxy if it is behind a proxy"
            return refuse(environ, start, HTTPStatus.MISDIRECTED_REQUEST, reason)
        if not is_safe(environ) and not self._comes_from_own_page(environ):
            reason = (
                "a write from another site was rejected; use the dashboard's own pages, or send "
                "its address as `Origin`"
            )
            return refuse(environ, start, HTTPStatus.FORBIDDEN, reason)
        return self._app(environ, start)

    def _is_own_host(self, header: str) -> bool:
        origin = parse_host(header)
        if self._own is None:
            return origin is not None and is_loopback(origin[1])
        return origin == self._own

    def _comes_from_own_page(self, environ: Environ) -> bool:
        """Return whether a write has evidence of its origin, and all of it is this server."""
        site = environ.get("HTTP_SEC_FETCH_SITE")
        if site is not None and site != "same-origin":
            return False
        shown = environ.get("HTTP_ORIGIN") or environ.get("HTTP_REFERER")
        if not shown:
            return site is not None
        origin = parse_origin(shown)
        # Without a proxy the scheme is the page's: a tunnel may have added TLS.
        return origin is not None and origin == (
            self._own or parse_host(environ["HTTP_HOST"], origin[0])
        )


def _protect(environ: Environ, headers: HeaderList) -> HeaderList:
    kept = Headers(list(headers))
    for name, value in _FIXED:
        kept[name] = value
    policy = kept.get("Content-Security-Policy")
    kept["Content-Security-Policy"] = f"{policy}; {_POLICY}" if policy else _POLICY
    if not environ.get("PATH_INFO", "").startswith(("/static/", "/favicon.ico")):
        kept.setdefault("Cache-Control", "no-store")
    return kept.items()
