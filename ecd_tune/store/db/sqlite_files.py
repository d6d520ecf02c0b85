"""Connections to an SQLite file, also on a full disk."""

from __future__ import annotations

import random
import sqlite3
import time
from typing import Any

import sqlalchemy as sa
from sqlalchemy import event

__all__ = ["BUSY_SECONDS", "use_files"]

BUSY_SECONDS = 60
"""Time for which a transaction waits for the lock of another."""
_LOOK = "SELECT 1 FROM sqlite_schema"
_NO_SHARED_MEMORY = (sqlite3.SQLITE_IOERR_SHMOPEN, sqlite3.SQLITE_IOERR_SHMSIZE)
_ALONE = "ecd_tune_alone"
_PAUSE_SECONDS = 0.05


def use_files(engine: sa.Engine) -> None:
    """Prepare all connections of an engine.

    Args:
        engine: With SQLite, and a listener that begins each transaction.
    """
    event.listen(engine, "do_connect", _connect)
    event.listen(engine, "connect", _prepare)
    event.listen(engine, "checkin", _end_alone)


def _prepare(connection: Any, record: object) -> None:
    # SQLAlchemy begins transactions, not the driver.
    connection.isolation_level = None
    connection.execute("PRAGMA foreign_keys=ON")


def _connect(dialect: Any, record: Any, arguments: Any, options: Any) -> Any:
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
    end = time.monotonic() + BUSY_SECONDS
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
