"""Where the pages that benchmarks write come from."""

from __future__ import annotations

import platform
from collections.abc import Iterator
from datetime import UTC, datetime
from importlib.metadata import version

__all__ = ["written_by"]


def written_by(command: str) -> Iterator[str]:
    """Yield the lines of a page with its date, command and versions.

    Args:
        command: The command, as a user would type it.

    Yields:
        Lines of Markdown.
    """
    yield f"Written {datetime.now(UTC):%Y-%m-%d} by"
    yield f"`{command}`"
    yield "with " + ", ".join(
        f"{name} {version(name)}" for name in ("ecd_tune", "torch", "numpy", "scipy")
    )
    yield f"and Python {platform.python_version()} on {platform.machine()}."
