"""``[search]`` and ``[selection]``: several searches of an optimizer, and who of a search is best.

Each search of an optimizer is a separate Optuna study: the first has the optimizer's key, the
others ``KEY#2``, ``KEY#3``, … Keys of study files contain no ``#``.
"""

from __future__ import annotations

from typing import Any

from pydantic import Field

from ecd_tune.spec._table import SpecModel
from ecd_tune.spec.parts import Name

__all__ = [
    "MOST_SEARCHES",
    "MOST_TRIALS_OF_EACH",
    "SearchSpec",
    "SelectionSpec",
    "number_of",
    "search_key",
    "without_number",
]

MOST_SEARCHES = 20
MOST_TRIALS_OF_EACH = 20_000
"""With several searches, so that each has its own seeds."""


class SearchSpec(SpecModel):
    """``[search]``: number of searches per optimizer, and their first trials.

    Attributes:
        repeats: Independent searches of each optimizer, each with the full budget, its own seeds
            and its own confirmation.
        from_study: Name of a study in the same database; each search begins with the best trials
            that it found for an optimizer of the same key.
        from_best: How many of them.
    """

    repeats: int = Field(default=1, ge=1, le=MOST_SEARCHES)
    from_study: Name | None = None
    from_best: int = Field(default=3, ge=1, le=1000)

    def identity(self) -> dict[str, Any]:
        """Return what decides how a search goes: nothing of the number of searches."""
        if self.from_study is None:
            return {}
        return {"from_study": self.from_study, "from_best": self.from_best}


class SelectionSpec(SpecModel):
    """``[selection]``: run the best trials of a search again before one is chosen.

    Attributes:
        top: Number of trials of each search that are run again; 0 selects by the search only.
        runs: Seeds that each of them runs under; the mean over them decides.
    """

    top: int = Field(default=0, ge=0, le=100)
    runs: int = Field(default=3, ge=1, le=1000)


def search_key(optimizer: str, number: int) -> str:
    """Return the key of one search.

    Args:
        optimizer: Key of the optimizer.
        number: Of the search, from 1.

    Returns:
        The optimizer's own key for the first, ``KEY#2`` for the second.
    """
    return optimizer if number == 1 else f"{optimizer}#{number}"


def number_of(key: str) -> int:
    """Return the number of a search, from 1, by its key."""
    return int(key.partition("#")[2] or 1)


def without_number(key: str) -> str:
    """Return the key of the optimizer that a search belongs to."""
    return key.partition("#")[0]
