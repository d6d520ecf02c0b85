"""Connections and transactions: how one database is opened, read and written.

Everything else in the store is SQLAlchemy Core over two kinds of transaction: :meth:`read`, a
consistent look, and :meth:`write`, which on SQLite takes the write lock at its beginning. On a
database with row locks a write begins by locking the rows that it decides upon (``FOR UPDATE``,
which SQLAlchemy leaves out on SQLite).
"""

from __future__ import annotations

import fcntl
import random
import sqlite3
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import sqlalchemy as sa
from sqlalchemy import event
from sqlalchemy.exc import DatabaseError, DBAPIError, InterfaceError, OperationalError

from ecd_tune.errors import StorageReplacedError, StorageUnavailableError
from ecd_tune.store.db.pipeline import UNREAD, use_pipelines
from ecd_tune.store.db.retrying import RETRY_SECONDS, OutageError, RetryPolicy, is_outage
from ecd_tune.store.db.url import parse_url, show_url

__all__ = ["Database"]

_BUSY_SECONDS = 60
_CREATION_LOCK = 0x6563645F74756E65  # "ecd_tune" in ASCII
_NAMES_LOCK = _CREATION_LOCK + 1
_BEGIN = "ecd_tune_begin"
# A deferred transaction of SQLite that turns from reading to writing can fail at once with
# "database is locked"; one that begins with the write lock waits for its turn. A result is on disk
# when ``tell`` returns. A crash of the machine may undo other writes, because it also ends its
# workers.
_SQLITE_READ = {_BEGIN: ("BEGIN",)}
_SQLITE_WRITE = {_BEGIN: ("PRAGMA synchronous=NORMAL", "BEGIN IMMEDIATE")}
_SQLITE_DURABLE = {_BEGIN: ("PRAGMA synchronous=FULL", "BEGIN IMMEDIATE")}
_LOOK = "SELECT 1 FROM sqlite_schema"
_NO_SHARED_MEMORY = (sqlite3.SQLITE_IOERR_SHMOPEN, sqlite3.SQLITE_IOERR_SHMSIZE)
_ALONE = "ecd_tune_alone"
_PAUSE_SECONDS = 0.05
_POSTGRES_READ = {_BEGIN: ("BEGIN ISOLATION LEVEL REPEATABLE READ, READ ONLY",)}
# Locked rows are read in their current state, not as of the start of the transaction.
_POSTGRES_WRITE = {_BEGIN: ("BEGIN ISOLATION LEVEL READ COMMITTED, READ WRITE",)}
_PORT = 5432
_POSTGRES = {
    # A host that does not answer: an error within five seconds instead of two minutes.
    "connect_timeout": 4,
    # A host that disappears is detected within half a minute.
    "keepalives_idle": 10,
    "keepalives_interval": 5,
    "keepalives_count": 3,
    "tcp_user_timeout": 20_000,
    "application_name": "ecd_tune",
    # PgBouncer sends each transaction to another server, which has no named statements.
    "prepare_threshold": None,
}
_HINTS = {
    "too many clients already": ("raise max_connections, or use PgBouncer (docs/scale.md)"),
    "database or disk is full": "free some space; waiting writes are then stored",
    "disk I/O error": "the disk may be full, and reading needs some space too",
    "attempt to write a readonly database": "make the file and its folder writable",
    "unable to open database file": (
        "this user needs read and write access to the file and its folder, even for reading, "
        "because SQLite keeps two files next to it; on a read-only medium, copy it elsewhere and "
        "use the copy"
    ),
}


class Database:
    """One database: its engine and its kinds of transaction.

    Safe to use from several threads; every transaction has its own connection. Not to be carried
    over a fork: open it in the child.

    Args:
        url: As :func:`ecd_tune.store.db.url.parse_url` takes it.
        retry_seconds: Seconds for which a call waits for a database that is away.

    Raises:
        StorageUrlError: The URL is not supported.
        StorageUnavailableError: The folder of an SQLite file does not exist.
    """

    def __init__(self, url: str, retry_seconds: float = RETRY_SECONDS) -> None:
        self.url = parse_url(url)
        self.shown = show_url(self.url)
        self.retry_policy = RetryPolicy(self.shown, retry_seconds)
        self.is_sqlite = self.url.drivername == "sqlite"
        self._seen: tuple[int, int] | None = None
        if self.is_sqlite:
            self._check_folder()
        # Without the parameters no error message or log can carry what was stored.
        self.engine = sa.create_engine(
            self.url,
            connect_args=self.connect_arguments(),
            hide_parameters=True,
            pool_reset_on_return="rollback" if self.is_sqlite else None,
        )
        event.listen(self.engine, "begin", _begin)
        if self.is_sqlite:
            event.listen(self.engine, "do_connect", _connect_sqlite)
            event.listen(self.engine, "connect", _prepare_sqlite)
            event.listen(self.engine, "checkin", _end_alone)
        else:
            use_pipelines(self.engine)

    def connect_arguments(self) -> dict[str, Any]:
        """Return the driver's connection arguments."""
        if self.is_sqlite:
            return {"timeout": _BUSY_SECONDS}
        return {name: value for name, value in _POSTGRES.items() if name not in self.url.query}

    @property
    def file(self) -> Path:
        """The file of an SQLite database."""
        return Path(self.url.database or "")

    @contextmanager
    def read(self) -> Iterator[sa.Connection]:
        """Open a transaction that only reads, and sees one moment.

        Yields:
            The connection.

        Raises:
            StorageUnavailableError: The database does not answer.
        """
        with self._begin(_SQLITE_READ if self.is_sqlite else _POSTGRES_READ) as connection:
            yield connection

    @contextmanager
    def write(self, *, durable: bool = False) -> Iterator[sa.Connection]:
        """Open a transaction that writes; it is undone when the block raises.

        Args:
            durable: On SQLite, wait until the disk has it, as PostgreSQL always does.

        Yields:
            The connection.

        Raises:
            StorageUnavailableError: The database does not answer, or is locked for too long.
        """
        sqlite = _SQLITE_DURABLE if durable else _SQLITE_WRITE
        with self._begin(sqlite if self.is_sqlite else _POSTGRES_WRITE) as connection:
            yield connection

    @contextmanager
    def _begin(self, options: dict[str, Any]) -> Iterator[sa.Connection]:
        self._check_file()
        with self._translate(), self.engine.connect() as connection:
            connection.execution_options(**options)
            with connection.begin():
                yield connection
        self._check_file()  # writes to a deleted file are lost

    @contextmanager
    def creation_lock(self) -> Iterator[None]:
        """Keep out every other process that wants to create or migrate the schema.

        Yields:
            Nothing.

        Raises:
            StorageUnavailableError: The lock file next to an SQLite file cannot be written.
        """
        if not self.is_sqlite:
            with self._translate(), self.engine.begin() as connection:
                connection.execute(sa.select(sa.func.pg_advisory_xact_lock(_CREATION_LOCK)))
                yield
            return
        path = self.file.with_name(self.file.name + ".lock")
        try:
            lock = path.open("w")
        except OSError as error:
            raise StorageUnavailableError(
                f"storage {self.shown}: cannot write {path}: {error.strerror}"
            ) from error
        with lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            yield

    def lock_names(self, connection: sa.Connection) -> None:
        """Let no two transactions create studies at once: a row not there cannot be locked.

        Args:
            connection: A write transaction (which on SQLite has locked the whole file already).
        """
        if not self.is_sqlite:
            connection.execute(sa.select(sa.func.pg_advisory_xact_lock(_NAMES_LOCK)))

    def prepare(self) -> None:
        """Set what stays with a new database: on SQLite the write-ahead log.

        Raises:
            StorageUnavailableError: It cannot be written.
        """
        if self.is_sqlite:
            with self._translate(), self.engine.connect() as connection:
                # Outside a transaction, which the "begin" listener would open.
                raw = connection.connection.driver_connection
                assert raw is not None
                try:
                    raw.execute("PRAGMA journal_mode=WAL").fetchone()
                except sqlite3.Error as error:
                    raise StorageUnavailableError(self.explain(error)) from error

    def _check_file(self) -> None:
        """Compare an SQLite file with the one that was seen first.

        Raises:
            StorageReplacedError: It was replaced or deleted: open connections still read and write
                the deleted file.
        """
        if not self.is_sqlite:
            return
        try:
            found = self.file.stat()
        except FileNotFoundError:
            present = None
        except OSError:
            return  # the connection gives the error
        else:
            present = (found.st_dev, found.st_ino)
        if self._seen is None:
            self._seen = present
        elif present != self._seen:
            done = "replaced" if present else "removed or moved"
            raise StorageReplacedError(
                f"storage {self.shown}: the file was {done} while it was in use, and new results "
                "would be lost; stop all workers before you change the file, and restart them "
                "afterwards"
            )

    def close(self) -> None:
        """Close all connections."""
        self.engine.dispose()

    def _check_folder(self) -> None:
        folder = self.file.absolute().parent
        if not folder.is_dir():
            raise StorageUnavailableError(
                f"storage {self.shown}: the folder {folder} does not exist; create it first"
            )
        if self.file.is_dir():
            raise StorageUnavailableError(f"storage {self.shown}: is a folder, not a file")

    @contextmanager
    def _translate(self) -> Iterator[None]:
        try:
            yield
        except DBAPIError as error:
            if is_outage(error):
                raise OutageError(self.explain(error.orig)) from error
            if type(error) not in (DatabaseError, OperationalError, InterfaceError):
                raise
            raise StorageUnavailableError(self.explain(error.orig)) from error

    def explain(self, error: BaseException | None) -> str:
        """Say what went wrong and what to do about it, in one line.

        Args:
            error: The driver's error.
        """
        text = next(iter(str(error or "").strip().splitlines()), "") or "no answer"
        if self.url.password:
            text = text.replace(str(self.url.password), "***")
        text += next((f"; {hint}" for part, hint in _HINTS.items() if part in text), "")
        if self.is_sqlite:
            return f"storage {self.shown}: {text}"
        place = f"{self.url.host or 'localhost'}:{self.url.port or _PORT}"
        return f"storage {self.shown}: {place}: {text}"


def _prepare_sqlite(connection: Any, record: object) -> None:
    # SQLAlchemy begins transactions, not the driver.
    connection.isolation_level = None
    connection.execute("PRAGMA foreign_keys=ON")


def _connect_sqlite(dialect: Any, record: Any, arguments: Any, options: Any) -> Any:
    """Connect to a file, also where the disk has no room for the files next to it.

    SQLite shares the index of the write-ahead log in a file of 32 KiB, for which a full disk has
    no room unless another process has it open. A process that has the database alone can keep the
    index in its memory.
    """
    connection = dialect.connect(*arguments, **options)
    try:
        connection.execute(_LOOK)
    except sqlite3.Error as error:
        if getattr(error, "sqlite_errorcode", None) in _NO_SHARED_MEMORY:
            connection.close()
            connection = _connect_alone(dialect, arguments, options)
            record.info[_ALONE] = True
    return connection


def _connect_alone(dialect: Any, arguments: Any, options: Any) -> Any:
    """Connect with the file locked.

    A connection that waits for this lock keeps its shared one, so that two would wait for each
    other: one that does not get it at once is closed, and another is tried after a random pause.

    Raises:
        sqlite3.Error: Others have the file locked for longer than a minute.
    """
    end = time.monotonic() + _BUSY_SECONDS
    while True:
        connection = dialect.connect(*arguments, **{**options, "timeout": 0.0})
        connection.execute("PRAGMA locking_mode=EXCLUSIVE")
        try:
            connection.execute(_LOOK)
        except sqlite3.Error:
            connection.close()
            if time.monotonic() > end:
                raise
            time.sleep(random.uniform(0.0, _PAUSE_SECONDS))
        else:
            return connection


def _end_alone(connection: object, record: Any) -> None:
    # Others may use the file again, and there may be room when this process needs it next.
    if record.info.pop(_ALONE, False):
        record.invalidate()


def _begin(connection: sa.Connection) -> None:
    # Connections from elsewhere have no such option.
    default = _SQLITE_READ if connection.dialect.name == "sqlite" else _POSTGRES_WRITE
    for text in connection.get_execution_options().get(_BEGIN, default[_BEGIN]):
        connection.exec_driver_sql(text, execution_options=UNREAD)
