"""What every layer of the dashboard's server needs: types, headers, and a whole answer."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable
from http import HTTPStatus
from typing import Any

__all__ = [
    "App",
    "Environ",
    "Headers",
    "StartResponse",
    "answer",
    "find_header",
    "is_safe",
    "refuse",
    "set_header",
]

Environ = dict[str, Any]
Headers = list[tuple[str, str]]
StartResponse = Callable[..., Any]
App = Callable[[Environ, StartResponse], Iterable[bytes]]


def is_safe(environ: Environ) -> bool:
    """Tell whether a request only reads."""
    return environ.get("REQUEST_METHOD") in ("GET", "HEAD")


def find_header(headers: Headers, name: str) -> str | None:
    """Return the first header of a name, or None."""
    return next((value for key, value in headers if key.lower() == name.lower()), None)


def set_header(headers: Headers, name: str, value: str | None) -> None:
    """Replace all headers of a name by one; None removes them."""
    headers[:] = [pair for pair in headers if pair[0].lower() != name.lower()]
    if value is not None:
        headers.append((name, value))


def answer(
    environ: Environ, start_response: StartResponse, status: HTTPStatus, body: bytes
) -> list[bytes]:
    """Answer a request with a whole body of JSON; the body is left out for HEAD."""
    headers = [("Content-Type", "application/json"), ("Content-Length", str(len(body)))]
    start_response(f"{status.value} {status.phrase}", headers)
    return [] if environ.get("REQUEST_METHOD") == "HEAD" else [body]


def refuse(
    environ: Environ, start_response: StartResponse, status: HTTPStatus, reason: str
) -> list[bytes]:
    """Refuse a request in the form that the dashboard's page shows as a message."""
    return answer(environ, start_response, status, json.dumps({"reason": reason}).encode())
