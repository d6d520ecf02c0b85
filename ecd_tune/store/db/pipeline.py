"""Transactions on PostgreSQL that wait only for the answers that somebody reads.

A connection stays in psycopg's pipeline mode. A statement with the execution options
:data:`UNREAD`, and the one that begins a transaction, are sent; every other statement, and the
commit, is sent and waited for, together with all that were sent before it. An error of an unread
statement is raised by the next that is waited for, and nothing after it in the transaction is
executed.
"""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import suppress
from types import MappingProxyType
from typing import Any

import sqlalchemy as sa
from sqlalchemy import event

__all__ = ["UNREAD", "use_pipelines"]

_UNREAD = "ecd_tune_unread"
_PIPELINE = "ecd_tune_pipeline"
_IDLE = 0  # psycopg.pq.TransactionStatus.IDLE; psycopg is optional

UNREAD: Mapping[str, Any] = MappingProxyType({_UNREAD: True})
"""Execution options of a statement whose result nobody reads. SQLite ignores them."""


def use_pipelines(engine: sa.Engine) -> None:
    """Let all connections of an engine work in pipeline mode.

    Args:
        engine: With psycopg, no connections yet, a listener that begins each transaction, and a
            pool that resets nothing.
    """
    event.listen(engine, "connect", _enter)
    event.listen(engine, "close", _leave)
    event.listen(engine, "do_execute", _execute)
    event.listen(engine, "commit", _commit)
    event.listen(engine, "rollback", _drain)
    event.listen(engine, "reset", _reset)


def _enter(connection: Any, record: Any) -> None:
    # Otherwise psycopg begins transactions, and waits for each to begin.
    connection.autocommit = True
    manager = connection.pipeline()
    record.record_info[_PIPELINE] = manager, manager.__enter__()


def _leave(connection: Any, record: Any) -> None:
    connection.close()  # first: then nothing is waited for
    manager, _ = record.record_info.pop(_PIPELINE, (None, None))
    if manager is not None:
        with suppress(connection.Error):
            manager.__exit__(None, None, None)


def _execute(cursor: Any, statement: str, parameters: Any, context: Any) -> bool:
    pipeline = _find_pipeline(context.root_connection)
    if pipeline is None:  # SQLAlchemy reads the server's version before a connection is entered
        return False
    try:
        cursor.execute(statement, parameters)
        if _UNREAD not in context.execution_options:
            pipeline.sync()
    except cursor.connection.Error:
        _drain(context.root_connection)
        raise
    return True


def _commit(connection: sa.Connection) -> None:
    # psycopg's commit reports errors before it has read all answers; it then finds nothing to do.
    connection.exec_driver_sql("COMMIT")


def _drain(connection: sa.Connection) -> None:
    """Read all answers; what failed is rolled back."""
    if connection.invalidated:
        return
    pipeline, driver = _find_pipeline(connection), connection.connection.driver_connection
    while pipeline is not None and driver is not None and not driver.closed:
        with suppress(driver.Error):
            pipeline.sync()
            return


def _reset(connection: Any, record: Any, state: Any) -> None:
    # SQLAlchemy leaves it to the pool to roll back what could not be committed.
    if not connection.closed and connection.pgconn.transaction_status != _IDLE:
        connection.rollback()


def _find_pipeline(connection: sa.Connection) -> Any:
    return (connection.connection.record_info or {}).get(_PIPELINE, (None, None))[1]
