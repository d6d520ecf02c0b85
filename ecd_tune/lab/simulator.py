"""Runs of exact systems: a seed, and a cache of measurements that checks share."""

from __future__ import annotations

import zlib
from collections.abc import Callable, Hashable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, Concatenate, ParamSpec, TypeVar

import numpy as np

from ecd_tune.lab.trajectory import ChainSetup, Moment
from ecd_tune.theory import Array

__all__ = ["Simulator", "Averages"]

P = ParamSpec("P")
T = TypeVar("T")
Observable = Callable[[Moment], Array]
"""From a moment of B chains to one number per chain, or to one array per chain."""


@dataclass(frozen=True)
class Averages:
    """Averages over a run of chains.

    Attributes:
        means: By observable, its mean over the steps after the burn-in, one row per chain.
        last: The last moment.
        skipped: Share of steps whose rescale, or that themselves, were skipped.
    """

    means: Mapping[str, Array]
    last: Moment
    skipped: float


@dataclass
class Simulator:
    """Runs chains from one seed and caches measurements.

    Attributes:
        seed: All randomness comes from it and from the names of the measurements.
        fused: Chains run by the compiled step instead of the reference.
    """

    seed: int = 7
    fused: bool = False
    _cache: dict[Hashable, Any] = field(default_factory=dict)

    def rng(self, name: str) -> np.random.Generator:
        """Return the generator of a measurement, the same however many ran before it."""
        return np.random.default_rng([self.seed, zlib.crc32(name.encode())])

    def cached(
        self, measure: Callable[Concatenate[Simulator, P], T], *args: P.args, **kwargs: P.kwargs
    ) -> T:
        """Measure a quantity that several checks use, once.

        Args:
            measure: Makes it.
            *args: Its further arguments; hashable.
            **kwargs: The same, by name.

        Returns:
            Its result, perhaps cached.
        """
        key = (measure, args, *sorted(kwargs.items()))
        if key not in self._cache:
            self._cache[key] = measure(self, *args, **kwargs)
        value: T = self._cache[key]
        return value

    def run(self, setup: ChainSetup, steps: int, rng: np.random.Generator) -> Iterator[Moment]:
        """Run chains, as :func:`ecd_tune.lab.chains.run_chains` does."""
        from ecd_tune.lab.chains import run_chains  # loads torch
        from ecd_tune.lab.fused_chains import run_fused_chains

        return (run_fused_chains if self.fused else run_chains)(setup, steps, rng)

    def turn(self, n: int, nu: float, count: int, rng: np.random.Generator) -> Array:
        """Turn momenta, as :func:`ecd_tune.lab.chains.turn_cosines` does."""
        from ecd_tune.lab.chains import turn_cosines  # loads torch
        from ecd_tune.lab.fused_chains import turn_fused_cosines

        return (turn_fused_cosines if self.fused else turn_cosines)(n, nu, count, rng)

    def average(
        self,
        setup: ChainSetup,
        steps: int,
        rng: np.random.Generator,
        burn: int = 0,
        **observables: Observable,
    ) -> Averages:
        """Run chains and average observables of them.

        Args:
            setup: The chains.
            steps: Number of steps.
            rng: Source of the turns.
            burn: Steps at the beginning that are not averaged.
            **observables: Quantities to average, by name.

        Returns:
            The record.
        """
        sums: dict[str, Array] = {}
        skipped = 0.0
        for moment in self.run(setup, steps, rng):
            skipped += float(np.mean(moment.unreachable | moment.held))
            if moment.t < burn:
                continue
            for name, observe in observables.items():
                value = observe(moment)
                sums[name] = sums[name] + value if name in sums else value
        means = {name: total / (steps - burn) for name, total in sums.items()}
        return Averages(means, moment, skipped / steps)
