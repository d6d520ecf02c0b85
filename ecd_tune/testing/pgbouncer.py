"""A PgBouncer in front of a PostgreSQL server, in transaction mode, for tests."""

from __future__ import annotations

import os
import pwd
import shutil
import socket
import subprocess
import tempfile
import time
from pathlib import Path
from types import TracebackType
from typing import Any

from sqlalchemy.engine import make_url

from ecd_tune.errors import StorageUnavailableError

__all__ = ["PgBouncer", "find_pgbouncer"]

_START_SECONDS = 60.0
_CONFIG = """
[databases]
* = host={url.host} port={url.port}
[pgbouncer]
listen_addr = 127.0.0.1
listen_port = {port}
unix_socket_dir =
auth_type = scram-sha-256
auth_file = {folder}/users
pool_mode = transaction
default_pool_size = {servers}
max_client_conn = {clients}
query_wait_timeout = 120
logfile = {folder}/log
"""


def find_pgbouncer() -> str | None:
    """Return the program's path, or None where it is not installed."""
    return shutil.which("pgbouncer", path=f"{os.environ.get('PATH', '')}:/usr/sbin")


class PgBouncer:
    """A pooler that runs every transaction on any of a few connections to the server.

    A context manager that starts it and removes all of it at the end.

    Args:
        url: A database of the server.
        servers: Connections to the server.
        clients: Connections of clients.

    Attributes:
        url: Of the same database through the pooler, once it has been started.
    """

    def __init__(self, url: str, servers: int, clients: int = 100) -> None:
        self._direct, self._servers, self._clients = make_url(url), servers, clients
        self._folder = Path(tempfile.mkdtemp(prefix="ecd_tune_pgbouncer_"))
        with socket.socket() as listener:
            listener.bind(("127.0.0.1", 0))
            self._port = int(listener.getsockname()[1])
        self.url = self._direct.set(port=self._port).render_as_string(hide_password=False)

    @property
    def process(self) -> int:
        """The number of its process."""
        return self._process.pid

    def __enter__(self) -> PgBouncer:
        program = find_pgbouncer()
        if program is None:
            raise StorageUnavailableError("no pgbouncer is installed: apt-get install pgbouncer")
        users = self._folder / "users"
        users.write_text(f'"{self._direct.username}" "{self._direct.password}"\n')
        config = self._folder / "pgbouncer.ini"
        config.write_text(
            _CONFIG.format(
                url=self._direct,
                port=self._port,
                folder=self._folder,
                servers=self._servers,
                clients=self._clients,
            )
        )
        self._process = subprocess.Popen(
            [program, "-q", str(config)], stderr=subprocess.DEVNULL, **self._identity()
        )
        self._wait()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._process.terminate()
        self._process.wait()
        shutil.rmtree(self._folder, ignore_errors=True)

    def _identity(self) -> dict[str, Any]:
        if os.geteuid() != 0:
            return {}
        user = pwd.getpwnam("nobody")  # as root it refuses to run
        for path in (self._folder, *self._folder.iterdir()):
            os.chown(path, user.pw_uid, user.pw_gid)
        return {"user": user.pw_uid, "group": user.pw_gid, "extra_groups": []}

    def _wait(self) -> None:
        deadline = time.monotonic() + _START_SECONDS
        while self._process.poll() is None and time.monotonic() < deadline:
            with socket.socket() as client:
                if client.connect_ex(("127.0.0.1", self._port)) == 0:
                    return
            time.sleep(0.05)
        log = self._folder / "log"
        said = log.read_text() if log.exists() else ""
        raise StorageUnavailableError(f"pgbouncer did not start: {said}")
