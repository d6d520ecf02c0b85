"""Refuse what does not come from the dashboard's own pages, and say so to the browser.

Against a foreign page that sends writes (CSRF), a foreign name that resolves to this machine
(DNS rebinding), frames, and sniffing. The rules do not depend on a login: on loopback, too, a
page of the web must not be able to create or delete a study.
"""

from __future__ import annotations

from collections.abc import Iterable
from http import HTTPStatus
from ipaddress import ip_address
from urllib.parse import urlsplit

from ecd_tune.serve._wsgi import (
    App,
    Environ,
    Headers,
    StartResponse,
    call,
    find_header,
    is_safe,
    refuse,
    set_header,
)

__all__ = ["Guard", "ReadOnly", "is_loopback", "split_host"]

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


def is_loopback(host: str) -> bool:
    """Tell whether an address or name means this machine only, without asking a name server."""
    if host.lower().rstrip(".") == "localhost":
        return True
    try:
        return ip_address(host.strip("[]")).is_loopback
    except ValueError:
        return False


def split_host(header: str) -> tuple[str, int | None]:
    """Split a ``Host`` header.

    Args:
        header: ``name``, ``name:port`` or ``[address]:port``.

    Returns:
        Name in lower case without brackets, and port; an empty name when it is malformed.
    """
    try:
        parts = urlsplit(f"//{header}")
        if parts.netloc != header or "@" in header:
            return "", None
        return (parts.hostname or ""), parts.port
    except ValueError:
        return "", None


class Guard:
    """Check ``Host`` and the origin of writes, and add the headers that protect pages.

    Args:
        app: The layer below.
        public_url: What users type, where it is not the address itself; empty otherwise.
        any_host: Accept every ``Host``: right where a login stands before everything, since
            a foreign name then comes without the session's cookie.
    """

    def __init__(self, app: App, public_url: str = "", any_host: bool = False) -> None:
        self._app, self._any_host = app, any_host
        parts = urlsplit(public_url)
        self._public = (parts.hostname or "", _port(parts.scheme, parts.port))

    def __call__(self, environ: Environ, start_response: StartResponse) -> Iterable[bytes]:
        """Answer a request."""

        def start(status: str, headers: Headers, exc_info: object = None) -> object:
            return start_response(status, _protect(environ, headers))

        name, _ = split_host(environ.get("HTTP_HOST", ""))
        if not self._is_own(name):
            reason = (
                f"this dashboard is not known as {name!r}; open it as 127.0.0.1 or localhost, "
                "or start it with --public-url"
            )
            return refuse(environ, start, HTTPStatus.MISDIRECTED_REQUEST, reason)
        if not is_safe(environ) and not self._comes_from_own_page(environ):
            reason = (
                "a write from another site was refused; use the dashboard's own pages, "
                "or send `Authorization: Bearer TOKEN`"
            )
            return refuse(environ, start, HTTPStatus.FORBIDDEN, reason)
        status, headers, body = call(self._app, environ)
        start(status, headers)
        return body

    def _is_own(self, name: str) -> bool:
        if not name:
            return False
        return self._any_host or is_loopback(name) or name == self._public[0]

    def _comes_from_own_page(self, environ: Environ) -> bool:
        """Tell whether a write has evidence of its origin, and all evidence says: ours."""
        if environ.get("HTTP_AUTHORIZATION", "").startswith("Bearer "):
            # No browser adds it by itself; whether it is valid, the login decides.
            return True
        site = environ.get("HTTP_SEC_FETCH_SITE")
        if site is not None and site != "same-origin":
            return False
        origin = environ.get("HTTP_ORIGIN") or environ.get("HTTP_REFERER")
        return self._is_own_origin(environ, origin) if origin else site is not None

    def _is_own_origin(self, environ: Environ, origin: str) -> bool:
        try:
            parts = urlsplit(origin)
            found = (parts.hostname or "", _port(parts.scheme, parts.port))
        except ValueError:
            return False
        if parts.scheme not in ("http", "https"):
            return False
        name, port = split_host(environ["HTTP_HOST"])
        # Behind a proxy that ends TLS the scheme here is not the page's: take the page's.
        return found in ((name, _port(parts.scheme, port)), self._public)


class ReadOnly:
    """Refuse every request that could write.

    Args:
        app: The layer below.
    """

    def __init__(self, app: App) -> None:
        self._app = app

    def __call__(self, environ: Environ, start_response: StartResponse) -> Iterable[bytes]:
        """Answer a request."""
        if is_safe(environ):
            return self._app(environ, start_response)
        reason = "this dashboard is read-only (--read-only): nothing can be changed here"
        return refuse(environ, start_response, HTTPStatus.FORBIDDEN, reason)


def _port(scheme: str, port: int | None) -> int | None:
    return port if port is not None else {"http": 80, "https": 443}.get(scheme)


def _protect(environ: Environ, headers: Headers) -> Headers:
    kept = list(headers)
    for name, value in _FIXED:
        set_header(kept, name, value)
    policy = find_header(kept, "Content-Security-Policy")
    if policy is None or "frame-ancestors" not in policy:
        joined = _POLICY if policy is None else f"{policy}; {_POLICY}"
        set_header(kept, "Content-Security-Policy", joined)
    if find_header(kept, "Cache-Control") is None and not _is_static(environ):
        set_header(kept, "Cache-Control", "no-store")
    return kept


def _is_static(environ: Environ) -> bool:
    path: str = environ.get("PATH_INFO", "")
    return path.startswith("/static/") or path == "/favicon.ico"
