"""A dashboard and a Caddy as processes of their own, and connections that leave them waiting."""

from __future__ import annotations

import base64
import http.client
import os
import shutil
import signal
import socket
import ssl
import subprocess
import time
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path
from types import TracebackType
from typing import Self

from tests.preloaded import preloaded_python

HANG = 100.0
"""Seconds after which something hangs; everything here takes a few."""
CADDY = shutil.which("caddy")
ROOT = Path(__file__).parents[2]


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def basic(name: str, password: str) -> str:
    return "Basic " + base64.b64encode(f"{name}:{password}".encode()).decode()


class Process:
    """A server that runs until the context ends."""

    port: int
    name = "127.0.0.1"

    def __init__(self, command: list[str], log: Path, **environment: str) -> None:
        self.log = log
        with log.open("wb") as file:
            self.process = subprocess.Popen(
                command, stdout=file, stderr=file, env={**os.environ, **environment}
            )

    def __enter__(self) -> Self:
        try:
            self._wait()
        except BaseException:
            self.process.kill()
            self.process.wait()
            raise
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGTERM)
        assert self.process.wait(timeout=HANG) == 0, self.log.read_text()

    def _wait(self) -> None:
        deadline = time.monotonic() + HANG
        while time.monotonic() < deadline:
            assert self.process.poll() is None, self.log.read_text()
            try:
                self.ask("GET", "/")
            except (OSError, http.client.HTTPException):
                time.sleep(0.05)
            else:
                return
        raise AssertionError(f"the server does not answer: {self.log.read_text()}")

    def open(self) -> http.client.HTTPConnection:
        return http.client.HTTPConnection(self.name, self.port, timeout=HANG)

    def ask(self, method, path, body=None, **headers) -> tuple[http.client.HTTPResponse, bytes]:
        connection = self.open()
        try:
            named = {key.replace("_", "-"): value for key, value in headers.items()}
            connection.request(method, path, body, named)
            reply = connection.getresponse()
            return reply, reply.read()
        finally:
            connection.close()


class Dashboard(Process):
    """``ecd-tune dashboard`` on loopback."""

    def __init__(self, url: str, folder: Path, *options: str) -> None:
        self.port = free_port()
        if "::1" in options:
            self.name = "::1"
        command = [preloaded_python(), "-m", "ecd_tune", "dashboard", "--storage", url]
        super().__init__([*command, "--port", str(self.port), *options], folder / "dashboard.log")


class Caddy(Process):
    """Caddy with ``storage/Caddyfile``, known as ``https://localhost:PORT``."""

    name = "localhost"

    def __init__(self, folder: Path, users: Path, upstream: int, port: int) -> None:
        self.port, self.folder = port, folder
        super().__init__(
            [str(CADDY), "run", "--config", str(ROOT / "storage/Caddyfile")],
            folder / "caddy.log",
            ECD_TUNE_DASHBOARD_URL=self.url,
            ECD_TUNE_DASHBOARD_UPSTREAM=f"127.0.0.1:{upstream}",
            ECD_TUNE_DASHBOARD_USERS=str(users),
            XDG_DATA_HOME=str(folder),
            XDG_CONFIG_HOME=str(folder),
        )

    @property
    def url(self) -> str:
        return f"https://localhost:{self.port}"

    def trust(self) -> ssl.SSLContext:
        """Trust the authority that Caddy made for itself."""
        root = self.folder / "caddy/pki/authorities/local/root.crt"
        return ssl.create_default_context(cafile=str(root))

    def connect(self) -> ssl.SSLSocket:
        plain = socket.create_connection(("localhost", self.port), timeout=HANG)
        try:
            return self.trust().wrap_socket(plain, server_hostname="localhost")
        except BaseException:
            plain.close()
            raise

    def open(self) -> http.client.HTTPSConnection:
        return http.client.HTTPSConnection(
            "localhost", self.port, timeout=HANG, context=self.trust()
        )


class Waiting:
    """Connections that are open and send no more; closed with the context.

    Args:
        connect: Opens one.
        beginnings: What each of them sends.
    """

    def __init__(self, connect: Callable[[], socket.socket], *beginnings: bytes) -> None:
        self.connections: list[socket.socket] = []
        with ExitStack() as stack:
            for beginning in beginnings:
                self.connections.append(stack.enter_context(connect()))
                self.connections[-1].sendall(beginning)
            self._stack = stack.pop_all()

    def __enter__(self) -> Waiting:
        return self

    def __exit__(self, *error: object) -> None:
        self._stack.close()

    def read_all(self) -> list[bytes]:
        """Wait until the server has closed them all, and return what it said."""
        said = []
        for connection in self.connections:
            connection.settimeout(HANG)
            pieces = []
            try:
                while piece := connection.recv(4096):
                    pieces.append(piece)
            except ConnectionResetError:
                pass
            said.append(b"".join(pieces))
        return said
