"""Write a new file, never over an existing one."""

from __future__ import annotations

from pathlib import Path

from ecd_tune.errors import SpecError

__all__ = ["write_new"]


def write_new(file: Path, text: str) -> None:
    """Write a new file.

    Args:
        file: Its path.
        text: Its content.

    Raises:
        SpecError: It exists, or cannot be written.
    """
    try:
        with file.open("x", encoding="utf-8") as written:
            written.write(text)
    except FileExistsError:
        raise SpecError(f"{file}: already exists; choose another name") from None
    except OSError as error:
        raise SpecError(f"{file}: cannot be written: {error.strerror}") from None
