"""Text of others, made fit for a database, a terminal and a line of a file."""

from __future__ import annotations

import unicodedata

__all__ = ["count", "find_unprintable", "printable"]

_LINES = "\n\t"
_BAD = ("Cc", "Cs", "Zl", "Zp")
_TURNING = frozenset("\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069")
"""They turn the direction of writing, so that a text can look like another."""


def count(number: int, noun: str) -> str:
    """Write a number of things, for example ``"1 trial"`` or ``"3 trials"``.

    Args:
        number: How many.
        noun: One of them.
    """
    return f"{number} {noun}{'s' * (number != 1)}"


def find_unprintable(text: str, lines: bool = False) -> str | None:
    """Return the first character that a line of text must not contain.

    Args:
        text: Any text.
        lines: Allow line breaks and tabs.

    Returns:
        A control character, a lone surrogate, a line separator or one that turns the direction
        of writing; None where there is none.
    """
    return next((c for c in text if _is_bad(c) and not (lines and c in _LINES)), None)


def printable(text: str, most: int = 4000) -> str:
    r"""Return a text that any database, terminal and Unicode encoding can represent.

    Args:
        text: Any text, for example of an exception.
        most: How many characters are kept.

    Returns:
        The text with escapes such as ``\x00`` and ``\ud800`` for what
        :func:`find_unprintable` finds, line breaks and tabs aside; cut in the middle where it is
        longer.
    """
    if len(text) > most:
        left = len(text) - most
        text = f"{text[: most // 2]} … {left} characters omitted … {text[-(most // 2) :]}"
    escaped = [
        c.encode("unicode_escape").decode() if _is_bad(c) and c not in _LINES else c for c in text
    ]
    return "".join(escaped)


def _is_bad(character: str) -> bool:
    return unicodedata.category(character) in _BAD or character in _TURNING
