"""A client that asks a WSGI application as a server would, with nothing between."""

from __future__ import annotations

import io
import json
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import urlsplit

from ecd_tune.serve._wsgi import App


@dataclass
class Reply:
    status: int
    headers: dict[str, str]
    body: bytes

    @property
    def json(self) -> Any:
        return json.loads(self.body)


@dataclass
class Client:
    app: App
    host: str = "127.0.0.1:8080"
    errors: io.StringIO = field(default_factory=io.StringIO)

    def __call__(self, method: str, target: str, body: bytes = b"", **headers: str | None) -> Reply:
        parts = urlsplit(target)
        environ: dict[str, Any] = {
            "REQUEST_METHOD": method,
            "SCRIPT_NAME": "",
            "PATH_INFO": parts.path,
            "QUERY_STRING": parts.query,
            "SERVER_NAME": "127.0.0.1",
            "SERVER_PORT": "8080",
            "SERVER_PROTOCOL": "HTTP/1.1",
            "REMOTE_ADDR": "192.0.2.7",
            "CONTENT_LENGTH": str(len(body)),
            "HTTP_HOST": self.host,
            "wsgi.version": (1, 0),
            "wsgi.url_scheme": "http",
            "wsgi.input": io.BytesIO(body),
            "wsgi.errors": self.errors,
            "wsgi.multithread": True,
            "wsgi.multiprocess": False,
            "wsgi.run_once": False,
        }
        for name, value in headers.items():
            key = name.upper()
            if value is None:
                environ.pop(f"HTTP_{key}", None)
            else:
                environ[key if key == "CONTENT_TYPE" else f"HTTP_{key}"] = value
        started: list[tuple[str, list[tuple[str, str]]]] = []

        def start(status: str, pairs: list[tuple[str, str]], exc_info: object = None) -> Any:
            started.append((status, pairs))

        pieces = self.app(environ, start)
        content = b"".join(pieces)
        if hasattr(pieces, "close"):
            pieces.close()
        status, pairs = started[-1]
        names = [key.lower() for key, _ in pairs]
        assert len(set(names)) == len(names), f"a header is there twice: {names}"
        return Reply(int(status.split()[0]), {k.lower(): v for k, v in pairs}, content)
