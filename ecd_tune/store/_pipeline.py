"""Prepared statements on a PostgreSQL connection, sent without waiting for each other's answers.

psycopg's own pipeline mode talks to the server after every statement: each time a system call,
and a server that wakes up. Here libpq keeps what is sent until an answer is wanted, and it goes
out in one piece. It is libpq's pipeline mode, by the functions that psycopg offers for it in
``psycopg.pq``.
"""

from __future__ import annotations

import select
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from psycopg import adapt, errors, pq

if TYPE_CHECKING:
    from psycopg import Connection
    from psycopg.pq.abc import PGresult

__all__ = ["Pipeline", "Prepared", "Rows"]

Rows = list[tuple[Any, ...]]
Prepared = dict[str, bytes]
"""Text of a statement to the name under which a connection knows it."""


@dataclass
class _Awaited:
    """An answer that will come.

    Attributes:
        prepares: The statement that the server has learned once this is there; None for an
            execution.
        result: The answer; None before it is there.
    """

    prepares: str | None = None
    result: PGresult | None = None


class Pipeline:
    """Statements on their way, and the answers to them in the same order.

    Args:
        driver: The connection; nobody else uses it meanwhile.
        prepared: The statements that it knows; those that it learns are added.
    """

    def __init__(self, driver: Connection[Any], prepared: Prepared) -> None:
        self._driver, self._libpq, self._prepared = driver, driver.pgconn, prepared
        self._transformer = adapt.Transformer(driver)
        self._learning: Prepared = {}
        self._awaited: deque[_Awaited] = deque()

    @classmethod
    @contextmanager
    def open(cls, driver: Connection[Any], prepared: Prepared) -> Iterator[Pipeline]:
        """Send what a block sends.

        Args:
            driver: As for the class.
            prepared: As for the class.

        Yields:
            The pipeline.

        Raises:
            Error: Of the first statement that failed, unless the block raised.
        """
        driver.pgconn.enter_pipeline_mode()
        pipeline, failed = cls(driver, prepared), None
        try:
            yield pipeline
        except Exception:
            raise
        except BaseException:
            # Somebody wants to leave: not after a statement that waits for a lock.
            driver.cancel()
            raise
        finally:
            failed = pipeline._finish()
        if failed is not None:
            raise failed

    def send(self, text: str, values: Sequence[Any]) -> Callable[[], Rows]:
        """Send a statement; libpq may keep it until an answer is wanted.

        Args:
            text: With ``$1`` and so on for its parameters.
            values: Of the parameters.

        Returns:
            What gives the rows, and waits for them where they are not there yet; it raises what
            went wrong.
        """
        # As text, whose types follow from the statement.
        formats = [adapt.PyFormat.TEXT] * len(values)
        params = self._transformer.dump_sequence(values, formats)
        self._libpq.send_query_prepared(self._prepare(text), params)
        awaited = _Awaited()
        self._awaited.append(awaited)

        def rows() -> Rows:
            if awaited.result is None:
                self._libpq.send_flush_request()
            while awaited.result is None:
                self._receive()
            return self._load(awaited.result)

        return rows

    def _prepare(self, text: str) -> bytes:
        name = self._prepared.get(text) or self._learning.get(text)
        if name is None:
            name = f"ecd_{len(self._prepared) + len(self._learning)}".encode()
            self._libpq.send_prepare(name, text.encode())
            self._learning[text] = name
            self._awaited.append(_Awaited(prepares=text))
        return name

    def _receive(self) -> None:
        """Wait for the next answer.

        Raises:
            PipelineAborted: A statement before it went wrong.
            Error: It went wrong itself.
        """
        result = self._next_result()
        assert result is not None
        while self._next_result() is not None:
            pass  # none follows the last result of an answer
        awaited = self._awaited.popleft()
        awaited.result = result
        if result.status == pq.ExecStatus.PIPELINE_ABORTED:
            raise errors.PipelineAborted("not executed, since a statement before it failed")
        if result.status == pq.ExecStatus.FATAL_ERROR:
            error: errors.Error = errors.error_from_result(result, self._driver.info.encoding)
            raise error
        if awaited.prepares is not None:
            self._prepared[awaited.prepares] = self._learning.pop(awaited.prepares)

    def _next_result(self) -> PGresult | None:
        while self._libpq.flush():
            # The server may want to be read before it takes more.
            if self._wait(select.POLLIN | select.POLLOUT) & select.POLLIN:
                self._libpq.consume_input()
        while self._libpq.is_busy():
            self._wait(select.POLLIN)
            self._libpq.consume_input()
        return self._libpq.get_result()

    def _wait(self, events: int) -> int:
        poll = select.poll()  # knows no largest socket number, as select does
        poll.register(self._libpq.socket, events)
        ((_, found),) = poll.poll()
        return found

    def _load(self, result: PGresult) -> Rows:
        self._transformer.set_pgresult(result)
        return self._transformer.load_rows(0, result.ntuples, tuple)

    def _finish(self) -> Exception | None:
        """Wait for all answers, and leave the pipeline mode.

        Returns:
            What went wrong first.
        """
        failed: Exception | None = None
        try:
            self._libpq.pipeline_sync()
            while self._awaited:
                try:
                    self._receive()
                except errors.Error as error:
                    failed = failed or error
                    if self._libpq.status == pq.ConnStatus.BAD:
                        return failed
            self._next_result()  # the synchronisation
            self._libpq.exit_pipeline_mode()
        except errors.Error as error:
            failed = failed or error
        return failed
