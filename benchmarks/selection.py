"""The gain from running the best trials of a search again before one is selected.

Trials of a random search have true values that are normal with standard deviation 1; a run adds the
noise of its seed. The mean true value of the selected trial is compared with that of the same
number of further trials.

    python -m benchmarks.selection
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

TRIALS, TOP, SEEDS, STUDIES = 20, 3, 3, 100_000
NOISE = (0.1, 0.25, 0.5, 1.0, 2.0)


def chosen_alone(rng: np.random.Generator, trials: int, noise: float) -> float:
    """Return the mean true value of the trial that is best under one seed."""
    true, seen = _search(rng, trials, noise)
    return float(np.take_along_axis(true, seen.argmax(1)[:, None], 1).mean())


def chosen_again(rng: np.random.Generator, noise: float) -> float:
    """Return the mean true value of the one of the best trials that is best over fresh seeds."""
    true, seen = _search(rng, TRIALS, noise)
    best = np.take_along_axis(true, np.argsort(-seen, 1)[:, :TOP], 1)
    means = best + noise / np.sqrt(SEEDS) * rng.normal(size=best.shape)
    return float(np.take_along_axis(best, means.argmax(1)[:, None], 1).mean())


def _search(
    rng: np.random.Generator, trials: int, noise: float
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    true = rng.normal(size=(STUDIES, trials))
    return true, true + noise * rng.normal(size=true.shape)


def main() -> None:
    """Print the table."""
    rng = np.random.default_rng(0)
    print(f"{STUDIES} studies; gain over the best of {TRIALS} trials under one seed each")
    print(f"noise  {TOP} x {SEEDS} runs again  {TOP * SEEDS} further trials")
    for noise in NOISE:
        alone = chosen_alone(rng, TRIALS, noise)
        again = chosen_again(rng, noise) - alone
        further = chosen_alone(rng, TRIALS + TOP * SEEDS, noise) - alone
        print(f"{noise:5}  {again:16.2f}  {further:16.2f}")


if __name__ == "__main__":
    main()
