"""The benefit of a prior on the ranges of a search, and the cost of a wrong one.

TPE and random search minimize a bowl with ripples over four logarithmic ranges. The position of the
minimum differs between searches. The centers of a good prior are one standard deviation from the
minimum on average, those of a poor one two deviations in every range, and those of a wrong one are
at the opposite end of every range. Spreads are the defaults of a study file.

    python -m benchmarks.priors
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ecd_tune.lab.replay import replay_search
from ecd_tune.records import Params
from ecd_tune.space import Space
from ecd_tune.spec import SamplerSpec, parse_study

NAMES = ("lr", "weight_decay", "one_minus_beta1", "one_minus_beta2")
LOW, HIGH = 1e-3, 1.0
SPREAD = 1 / 6
WEIGHTS = np.array([4.0, 1.0, 0.5, 0.1])
SEARCHES = 40
AFTER = (5, 10, 20, 30, 50)
KINDS = ("none", "good", "poor", "wrong")


@dataclass(frozen=True)
class Bowl:
    """A function in place of the model of a finished study.

    Attributes:
        space: The search space.
        best: Position of the minimum in the ranges, 0 to 1, shape ``[4]``.
    """

    space: Space
    best: NDArray[np.float64]

    def look_up(self, params: Params) -> tuple[float, float]:
        """Return the value of a point, and its duration in seconds."""
        away = _place([float(params[name]) for name in NAMES]) - self.best
        ripples = 0.02 * np.mean(np.sin(12 * away) ** 2)
        return float(WEIGHTS @ away**2 + ripples), 1.0


def _place(values: Any) -> NDArray[np.float64]:
    return np.log(np.array(values) / LOW) / np.log(HIGH / LOW)


def _centers(kind: str, best: NDArray[np.float64], rng: np.random.Generator) -> NDArray[np.float64]:
    if kind == "good":
        return np.clip(best + SPREAD * rng.normal(size=best.size), 0, 1)
    if kind == "poor":
        return np.clip(best + 2 * SPREAD * np.sign(0.5 - best), 0, 1)
    return np.where(best > 0.5, 0.05, 0.95)


def search(kind: str, sampler: str, seed: int) -> tuple[float, ...]:
    """Return the best value after each trial of one search."""
    rng = np.random.default_rng(seed)
    best = rng.uniform(0.1, 0.9, len(NAMES))
    centers = LOW * (HIGH / LOW) ** _centers(kind, best, rng)
    ranges: dict[str, Any] = {name: {"low": LOW, "high": HIGH, "log": True} for name in NAMES}
    if kind != "none":
        for name, center in zip(NAMES, centers.tolist(), strict=True):
            ranges[name]["prior"] = min(max(center, LOW), HIGH)
    spec = parse_study(
        {
            "name": "bowl",
            "task": {"name": "zakharov"},
            "budget": {"trials": 1, "steps": 1},
            "optimizers": {"adam": {"space": ranges}},
        }
    )
    bowl: Any = Bowl(spec.optimizers["adam"].space, best)
    return replay_search(spec, "adam", bowl, SamplerSpec(name=sampler), seed, max(AFTER)).best


def main() -> None:
    """Print the table."""
    import optuna

    optuna.logging.set_verbosity(optuna.logging.WARNING)
    print(f"median of the best value, {SEARCHES} searches; Optuna {optuna.__version__}, ", end="")
    print(f"numpy {np.__version__}\n")
    print(f"| sampler | prior | {' | '.join(f'{n} trials' for n in AFTER)} |")
    print(f"|---|---|{'---|' * len(AFTER)}")
    for sampler in ("tpe", "random"):
        for kind in KINDS:
            ends = np.array([search(kind, sampler, seed) for seed in range(SEARCHES)])
            shown = np.median(ends, axis=0)[[n - 1 for n in AFTER]]
            print(f"| {sampler} | {kind} | {' | '.join(f'{v:.4f}' for v in shown)} |", flush=True)


if __name__ == "__main__":
    main()
