"""How often two equal optimizers are found different at the 5 % level.

Each search of an optimizer has another level, normal with a standard deviation of half that of the
seeds of its confirmation runs. One search a side is compared seed by seed, as a study without
repeats does it, several search by search.

    python -m benchmarks.repeats
"""

from __future__ import annotations

import numpy as np

from ecd_tune.analysis import compare_paired, compare_searches
from ecd_tune.records import Direction

SEEDS, BETWEEN, TRIES = 10, 0.5, 600


def simulate(rng: np.random.Generator, searches: int) -> list[dict[int, float]]:
    """Return the confirmation runs of each search of one optimizer: seed to value."""
    values = BETWEEN * rng.normal(size=(searches, 1)) + rng.normal(size=(searches, SEEDS))
    return [
        {SEEDS * search + seed: float(value) for seed, value in enumerate(row)}
        for search, row in enumerate(values)
    ]


def share(searches: int) -> float:
    """Return the share of pairs of equal optimizers that are found different."""
    rng, told = np.random.default_rng(0), 0
    for _ in range(TRIES):
        one, other = simulate(rng, searches), simulate(rng, searches)
        if searches == 1:
            p_value = compare_paired(one[0], other[0], Direction.MINIMIZE).p_value
        else:
            p_value = compare_searches(one, other, Direction.MINIMIZE).p_value
        told += p_value is not None and p_value < 0.05
    return told / TRIES


def main() -> None:
    """Print the table."""
    print(f"{TRIES} pairs of equal optimizers, {SEEDS} seeds a search")
    for searches in (1, 2, 3, 4, 5):
        unit = "seed by seed" if searches == 1 else "search by search"
        print(f"{searches} searches each, {unit:16}  {100 * share(searches):.1f} % told apart")


if __name__ == "__main__":
    main()
