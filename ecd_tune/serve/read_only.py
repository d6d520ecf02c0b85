"""Reject every write, with a label on the page and a link to our own page."""

from __future__ import annotations

from collections.abc import Iterable
from http import HTTPStatus
from wsgiref.headers import Headers

from ecd_tune.serve._wsgi import App, Environ, HeaderList, StartResponse, is_safe, refuse

__all__ = ["ReadOnly"]

_LABEL = (
    b'<div id="ecd-tune-read-only" style="position:fixed;right:0;bottom:0;z-index:2000;'
    b"padding:.25rem .75rem;font:13px system-ui,sans-serif;background:#064787;color:#fff;"
    b'border-top-left-radius:6px"><a href="/fleet" style="color:inherit">studies and workers</a>'
    b" &middot; read-only</div>"
)


class ReadOnly:
    """Refuse every request that could write, and put a label on the dashboard's page.

    Args:
        app: The layer below.
    """

    def __init__(self, app: App) -> None:
        self._app = app

    def __call__(self, environ: Environ, start_response: StartResponse) -> Iterable[bytes]:
        """Answer a request."""
        if not is_safe(environ):
            reason = "this dashboard is read-only; start it with --writable to change studies"
            return refuse(environ, start_response, HTTPStatus.FORBIDDEN, reason)
        path = environ.get("PATH_INFO", "")
        if path == "/dashboard" or path.startswith("/dashboard/"):
            return self._show_labelled(environ, start_response)
        return self._app(environ, start_response)

    def _show_labelled(self, environ: Environ, start_response: StartResponse) -> Iterable[bytes]:
        started: list[tuple[str, HeaderList]] = []
        below = self._app(environ, lambda *given: started.append((given[0], list(given[1]))))
        page = b"".join(below).replace(b"</body>", _LABEL + b"</body>", 1)
        getattr(below, "close", lambda: None)()
        status, headers = started[-1][0], Headers(started[-1][1])
        # They describe the page without the label.
        for name in ("ETag", "Last-Modified", "Accept-Ranges"):
            del headers[name]
        if environ["REQUEST_METHOD"] == "GET":
            headers["Content-Length"] = str(len(page))
        start_response(status, headers.items())
        return [page]
