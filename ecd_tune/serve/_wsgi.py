"""Shared by all layers of the dashboard's server: types, headers, and complete responses."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Mapping
from http import HTTPStatus
from typing import Any

from optuna.exceptions import StorageInternalError

__all__ = [
    "App",
    "Environ",
    "HeaderList",
    "StartResponse",
    "answer",
    "is_safe",
    "refuse",
    "unavailable",
]

Environ = dict[str, Any]
HeaderList = list[tuple[str, str]]
StartResponse = Callable[..., Any]
App = Callable[[Environ, StartResponse], Iterable[bytes]]
_JSON = {"Content-Type": "application/json"}


def is_safe(environ: Environ) -> bool:
    """Return whether a request only reads."""
    return environ.get("REQUEST_METHOD") in ("GET", "HEAD")


def answer(
    environ: Environ,
    start_response: StartResponse,
    status: HTTPStatus,
    body: bytes,
    headers: Mapping[str, str] = _JSON,
) -> list[bytes]:
    """Answer a request with a whole body, of JSON by default; it is left out for HEAD."""
    pairs = [*headers.items(), ("Content-Length", str(len(body)))]
    start_response(f"{status.value} {status.phrase}", pairs)
    return [] if environ.get("REQUEST_METHOD") == "HEAD" else [body]


def refuse(
    environ: Environ, start_response: StartResponse, status: HTTPStatus, reason: str
) -> list[bytes]:
    """Refuse a request in the form that the dashboard's page shows as a message."""
    return answer(environ, start_response, status, json.dumps({"reason": reason}).encode())


def unavailable(
    environ: Environ, start_response: StartResponse, place: str, error: Exception
) -> list[bytes]:
    """Log why the database does not respond, and let a browser ask again in five seconds."""
    # Optuna's own message is about invalid data, whatever the cause is.
    cause = error.__cause__ if isinstance(error, StorageInternalError) else None
    environ["wsgi.errors"].write(f"{place}: {str(cause or error).partition(chr(10))[0]}\n")
    body = json.dumps({"reason": "the database does not respond; see the server's log"}).encode()
    headers = {**_JSON, "Refresh": "5"}
    return answer(environ, start_response, HTTPStatus.SERVICE_UNAVAILABLE, body, headers)
