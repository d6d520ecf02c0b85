"""Read a storage URL: which databases are allowed, and how to show one without its password."""

from __future__ import annotations

from importlib.util import find_spec

from sqlalchemy import URL
from sqlalchemy.engine import make_url
from sqlalchemy.exc import ArgumentError

from ecd_tune.errors import StorageUrlError

__all__ = ["DEFAULT_URL", "parse_url", "show_url", "strip_password"]

DEFAULT_URL = "sqlite:///ecd_tune.db"

_DRIVERS = {
    "sqlite": "sqlite",
    "sqlite+pysqlite": "sqlite",
    "postgres": "postgresql+psycopg",
    "postgresql": "postgresql+psycopg",
    "postgresql+psycopg": "postgresql+psycopg",
}
_ALLOWED = "sqlite:///FILE or postgresql://USER:PASSWORD@HOST:PORT/DATABASE"


def parse_url(text: str) -> URL:
    """Read a storage URL.

    Args:
        text: For example ``sqlite:///ecd_tune.db`` or ``postgresql://tuner@db/ecd_tune``;
            ``postgres://`` and ``postgresql://`` mean psycopg 3.

    Returns:
        The URL with its driver spelled out.

    Raises:
        StorageUrlError: It is no URL, or names a database or driver that is not supported.
    """
    try:
        url = make_url(text)
    except (ArgumentError, ValueError):
        # The password of an invalid URL cannot be hidden, so the URL is not shown.
        raise StorageUrlError(
            f"the storage is not a URL; write {_ALLOWED} (a file by name: sqlite:///NAME)"
        ) from None
    if not url.drivername.startswith("sqlite") and text.count("@") != (url.username is not None):
        # With a wrong split, a part of a password would be read as the host, and shown.
        raise StorageUrlError(
            "the storage's user or password contains a reserved character of URLs; write %40 for "
            "@, "
            "%2F for /, %3A for :, %3F for ? and %25 for %"
        )
    if url.drivername not in _DRIVERS:
        raise StorageUrlError(
            f"storage {show_url(url)}: {url.drivername!r} is not supported; write {_ALLOWED}"
        )
    url = url.set(drivername=_DRIVERS[url.drivername])
    _check(url)
    return url


def show_url(url: URL) -> str:
    """Return the URL as text with the password replaced by ``***``."""
    hidden = {key: "***" for key in url.query if "password" in key.lower()}
    return url.update_query_dict(hidden).render_as_string(hide_password=True)


def strip_password(url: URL) -> str:
    """Return the URL as text without any password: a URL that still can be opened.

    Args:
        url: The URL.

    Returns:
        The text; who opens it needs the password from elsewhere.
    """
    query = {key: value for key, value in url.query.items() if "password" not in key.lower()}
    parts = (url.drivername, url.username, None, url.host, url.port, url.database, query)
    return URL.create(*parts).render_as_string(hide_password=False)


def _check(url: URL) -> None:
    if url.drivername == "sqlite":
        name = url.database or ":memory:"
        if name == ":memory:" or name.startswith("file:"):
            raise StorageUrlError(
                f"storage {show_url(url)}: a database in memory cannot be shared or resumed; "
                "use a file, for example sqlite:///ecd_tune.db"
            )
    elif find_spec("psycopg") is None:
        raise StorageUrlError(
            f"storage {show_url(url)}: PostgreSQL needs the driver psycopg; "
            "install it with: pip install 'ecd_tune[postgres]'"
        )
