"""Send text compressed to whoever takes it."""

from __future__ import annotations

import zlib
from collections.abc import Iterable, Iterator

from ecd_tune.serve._wsgi import (
    App,
    Environ,
    StartResponse,
    call,
    close,
    find_header,
    set_header,
)

__all__ = ["Compress", "accepts_gzip"]

_TEXT = ("text/", "application/json", "application/javascript", "image/svg+xml")
# The fastest level: on the dashboard's JSON the next ones gain little and cost several times.
_LEVEL = 1
_GZIP = 16 + zlib.MAX_WBITS
_SMALLEST = 512


class Compress:
    """Compress with gzip whatever is text and not compressed yet.

    Args:
        app: The layer below.
    """

    def __init__(self, app: App) -> None:
        self._app = app

    def __call__(self, environ: Environ, start_response: StartResponse) -> Iterable[bytes]:
        """Answer a request."""
        # The dashboard reads this header without asking whether it is there.
        environ.setdefault("HTTP_ACCEPT_ENCODING", "")
        status, headers, body = call(self._app, environ)
        kind = find_header(headers, "Content-Type") or ""
        encoded = find_header(headers, "Content-Encoding")
        if not kind.startswith(_TEXT):
            start_response(status, headers)
            return body
        _vary(headers)
        small = int(find_header(headers, "Content-Length") or _SMALLEST) < _SMALLEST
        plain = not status.startswith("200") or encoded is not None or small
        if plain or not accepts_gzip(environ["HTTP_ACCEPT_ENCODING"]):
            start_response(status, headers)
            return body
        set_header(headers, "Content-Encoding", "gzip")
        set_header(headers, "Content-Length", None)
        # Ranges and strong tags speak of the bytes before compression.
        set_header(headers, "Accept-Ranges", None)
        set_header(headers, "ETag", None)
        start_response(status, headers)
        if environ["REQUEST_METHOD"] == "HEAD":
            close(body)
            return []
        return _squeeze(body)


def accepts_gzip(header: str) -> bool:
    """Read an ``Accept-Encoding`` header.

    Args:
        header: For example ``br;q=1.0, gzip;q=0.8, *;q=0``.

    Returns:
        Whether gzip may be sent.
    """
    weights: dict[str, float] = {}
    for part in header.lower().split(","):
        coding, _, parameter = part.strip().partition(";")
        name, _, value = parameter.strip().partition("=")
        try:
            weights[coding.strip()] = float(value) if name.strip() == "q" else 1.0
        except ValueError:
            weights[coding.strip()] = 0.0
    return weights.get("gzip", weights.get("*", 0.0)) > 0


def _vary(headers: list[tuple[str, str]]) -> None:
    vary = find_header(headers, "Vary")
    if vary is None or "accept-encoding" not in vary.lower():
        set_header(
            headers, "Vary", "Accept-Encoding" if vary is None else f"{vary}, Accept-Encoding"
        )


def _squeeze(body: Iterable[bytes]) -> Iterator[bytes]:
    packer = zlib.compressobj(_LEVEL, zlib.DEFLATED, _GZIP)
    try:
        for piece in body:
            packed = packer.compress(piece)
            if packed:
                yield packed
        yield packer.flush()
    finally:
        close(body)
