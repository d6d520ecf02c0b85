"""The pages that users read, as blocks of code that tests run.

A block of ``sh`` or ``python`` is run as it stands, in the order of its page; one with a ``title``
is written to the file of that name. Where a block cannot be run, a comment above it says why::

    <!-- not run: downloads 240 MB -->
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).parents[1]
PAGES = [
    ROOT / name
    for name in (
        "README.md",
        "docs/first-steps.md",
        "docs/own-model.md",
        "docs/study-files.md",
        "docs/reports.md",
        "docs/training-loops.md",
        "docs/dashboard.md",
        "docs/theory.md",
        "examples/README.md",
        "examples/plugin/README.md",
        "storage/README.md",
    )
]
_FENCE = re.compile(
    r"^(?:<!-- not run: (?P<reason>[^\n]+?) -->\n+)?```(?P<info>[^\n]*)\n(?P<text>.*?)^```$",
    re.MULTILINE | re.DOTALL,
)
_TITLE = re.compile(r'title="([^"]+)"')


@dataclass(frozen=True)
class Block:
    """A block of code.

    Attributes:
        language: Word after the fence.
        title: Name of the file that it is; empty where it is none.
        text: What it says.
        reason: Why it is not run; empty where it is.
    """

    language: str
    title: str
    text: str
    reason: str


def read_blocks(text: str) -> list[Block]:
    """Return the blocks of some Markdown."""
    found = []
    for match in _FENCE.finditer(text):
        language, _, rest = match["info"].partition(" ")
        title = _TITLE.search(rest)
        found.append(
            Block(language, title[1] if title else "", match["text"], match["reason"] or "")
        )
    return found
