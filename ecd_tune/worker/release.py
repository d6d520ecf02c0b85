"""Give trials back when the work on them ends early."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager

from ecd_tune.errors import StorageUnavailableError
from ecd_tune.objective import Interrupted
from ecd_tune.records import Lease
from ecd_tune.store import Store

__all__ = ["release_on_error"]


@contextmanager
def release_on_error(store: Store, held: Callable[[], Sequence[Lease]]) -> Iterator[None]:
    """Queue what is held again when a ``with`` block ends early; a stop is no error.

    Args:
        store: The shared store.
        held: Returns the current leases.

    Raises:
        StorageUnavailableError: The database is away: it would be waited for again.
        BaseException: Any other exception, except ``Interrupted``.
    """
    try:
        yield
    except Interrupted:
        store.release(held())
    except StorageUnavailableError:
        raise
    except BaseException as error:
        # A trial that cannot start here may run elsewhere.
        store.release(held(), f"its worker ended with {type(error).__name__}: {error}")
        raise
