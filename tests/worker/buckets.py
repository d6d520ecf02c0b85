"""As much of Amazon's and Google's storage as checkpoints need, on a loopback port."""

from __future__ import annotations

import json
import re
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import unquote, urlsplit

__all__ = ["Bucket", "serving"]

_NO_SUCH_KEY = b"<Error><Code>NoSuchKey</Code><Message>none</Message></Error>"
_GOOGLE = re.compile(r"(/upload|/download)?/storage/v1/b/(?P<bucket>[^/]+)(/o(/(?P<name>.+))?)?")


class Bucket:
    """What is stored: ``bucket/name`` to content."""

    def __init__(self) -> None:
        self.objects: dict[str, bytes] = {}
        self.requests: list[str] = []
        self.url = ""


@contextmanager
def serving(handler: type[BaseHTTPRequestHandler], bucket: Bucket) -> Iterator[Bucket]:
    server = ThreadingHTTPServer(("127.0.0.1", 0), handler)
    server.bucket = bucket  # type: ignore[attr-defined]
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
    thread.start()
    bucket.url = f"http://127.0.0.1:{server.server_port}"
    try:
        yield bucket
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def log_message(self, *_: object) -> None:
        pass

    @property
    def bucket(self) -> Bucket:
        return self.server.bucket  # type: ignore[attr-defined]

    def note(self) -> str:
        self.bucket.requests.append(f"{self.command} {self.path}")
        return unquote(urlsplit(self.path).path)

    def body(self) -> bytes:
        return self.rfile.read(int(self.headers["Content-Length"]))

    def answer(self, status: int, body: bytes = b"", kind: str = "application/xml") -> None:
        self.send_response(status)
        self.send_header("Content-Type", kind)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)


class AmazonHandler(_Handler):
    """``/bucket/name``, as S3 is asked with path-style addresses."""

    def do_GET(self) -> None:
        found = self.bucket.objects.get(self.note()[1:])
        self.answer(404, _NO_SUCH_KEY) if found is None else self.answer(200, found)

    def do_PUT(self) -> None:
        self.bucket.objects[self.note()[1:]] = self.body()
        self.answer(200)

    def do_DELETE(self) -> None:
        self.bucket.objects.pop(self.note()[1:], None)
        self.answer(204)


class GoogleHandler(_Handler):
    """The JSON interface; unlike S3 it does not forgive the removal of what is not there."""

    def key(self) -> str:
        match = _GOOGLE.fullmatch(self.note())
        assert match is not None, self.path
        return f"{match['bucket']}/{match['name']}"

    def do_GET(self) -> None:
        key = self.key()
        found = self.bucket.objects.get(key)
        if key.endswith("/None"):
            self.answer(200, b"{}", "application/json")  # the bucket itself
        elif found is None:
            self.answer(404, b"{}", "application/json")
        elif "alt=media" in self.path:
            self.answer(200, found, "application/octet-stream")
        else:
            self.answer(200, _describe(key, found), "application/json")

    def do_POST(self) -> None:
        bucket = self.key().partition("/")[0]
        boundary = self.headers["Content-Type"].partition("boundary=")[2].strip('"').encode()
        _, about, content, _ = self.body().split(b"--" + boundary)
        name = json.loads(about.partition(b"\r\n\r\n")[2])["name"]
        key, data = f"{bucket}/{name}", content.partition(b"\r\n\r\n")[2][:-2]
        self.bucket.objects[key] = data
        self.answer(200, _describe(key, data), "application/json")

    def do_DELETE(self) -> None:
        gone = self.bucket.objects.pop(self.key(), None)
        self.answer(404 if gone is None else 204, b"", "application/json")


def _describe(key: str, data: bytes) -> bytes:
    bucket, _, name = key.partition("/")
    return json.dumps({"bucket": bucket, "name": name, "size": str(len(data))}).encode()
