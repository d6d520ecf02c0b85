"""What every layer of the dashboard's server needs: call the layer below, and answer."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Iterator, Sequence
from http import HTTPStatus
from typing import Any

__all__ = [
    "App",
    "Environ",
    "Headers",
    "StartResponse",
    "answer",
    "call",
    "close",
    "find_header",
    "is_safe",
    "refuse",
    "set_header",
]

Environ = dict[str, Any]
Headers = list[tuple[str, str]]
StartResponse = Callable[..., Any]
App = Callable[[Environ, StartResponse], Iterable[bytes]]

_SAFE = ("GET", "HEAD")


def is_safe(environ: Environ) -> bool:
    """Tell whether a request only reads."""
    return environ.get("REQUEST_METHOD", "") in _SAFE


def call(app: App, environ: Environ) -> tuple[str, Headers, Iterable[bytes]]:
    """Call the layer below and wait for its status and headers.

    Args:
        app: The layer below.
        environ: The request.

    Returns:
        Status line, headers (a list of its own), and body; the body is to be closed.
    """
    started: list[tuple[str, Headers]] = []
    written: list[bytes] = []

    def start(status: str, headers: Sequence[tuple[str, str]], exc_info: object = None) -> Any:
        started[:] = [(status, list(headers))]
        return written.append

    body = app(environ, start)
    if not started:
        # A generator answers at its first step only.
        steps = iter(body)
        first = next(steps, b"")
        body = _chain([*written, first], steps, body)
    elif written:
        body = _chain(written, iter(body), body)
    status, headers = started[0]
    return status, headers, body


def _chain(first: list[bytes], steps: Iterator[bytes], body: Iterable[bytes]) -> Iterator[bytes]:
    try:
        yield from first
        yield from steps
    finally:
        close(body)


def close(body: Iterable[bytes]) -> None:
    """Close a body, as WSGI asks whoever consumed it to do."""
    ending = getattr(body, "close", None)
    if ending is not None:
        ending()


def find_header(headers: Headers, name: str) -> str | None:
    """Return the first header of a name, or None."""
    return next((value for key, value in headers if key.lower() == name.lower()), None)


def set_header(headers: Headers, name: str, value: str | None) -> None:
    """Replace all headers of a name by one; None removes them."""
    headers[:] = [pair for pair in headers if pair[0].lower() != name.lower()]
    if value is not None:
        headers.append((name, value))


def answer(
    environ: Environ,
    start_response: StartResponse,
    status: HTTPStatus,
    body: bytes = b"",
    *,
    kind: str = "text/html; charset=utf-8",
    headers: Sequence[tuple[str, str]] = (),
) -> list[bytes]:
    """Answer a request.

    Args:
        environ: The request.
        start_response: The server's.
        status: Status.
        body: Whole body.
        kind: Its content type.
        headers: More headers.

    Returns:
        The body, as WSGI wants it; empty for HEAD.
    """
    fixed = [("Content-Type", kind), ("Content-Length", str(len(body)))]
    start_response(f"{status.value} {status.phrase}", [*fixed, *headers])
    return [] if environ.get("REQUEST_METHOD") == "HEAD" else [body]


def refuse(
    environ: Environ,
    start_response: StartResponse,
    status: HTTPStatus,
    reason: str,
    *,
    headers: Sequence[tuple[str, str]] = (),
) -> list[bytes]:
    """Refuse a request in the form that the dashboard's page shows as a message.

    Args:
        environ: The request.
        start_response: The server's.
        status: Status.
        reason: What is wrong and what to do.
        headers: More headers.

    Returns:
        The body, as WSGI wants it.
    """
    body = json.dumps({"reason": reason}).encode()
    return answer(environ, start_response, status, body, kind="application/json", headers=headers)
