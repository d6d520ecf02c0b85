"""Where exact systems are run: a laboratory, seeds, and measurements that checks share."""

from __future__ import annotations

import zlib
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, Protocol, TypeVar

import numpy as np

from ecd_tune.lab.trajectory import ChainSetup, Moment
from ecd_tune.theory import Array

__all__ = ["Bench", "Laboratory", "Record"]

T = TypeVar("T")
Observable = Callable[[Moment], Array]
"""From a moment of B chains to one number a chain, or to one array a chain."""


class Laboratory(Protocol):
    """What runs chains; :class:`ecd_tune.lab.chains.ChainRunner` is one.

    It is handed in, so that the analysis stays free of torch while the checks run the
    optimizers' own step.
    """

    def run(self, setup: ChainSetup, steps: int, rng: np.random.Generator) -> Iterator[Moment]:
        """Run chains and give them at each step."""
        ...

    def turn(self, n: int, nu: float, count: int, rng: np.random.Generator) -> Array:
        """Return the cosines of ``count`` independent turns."""
        ...


@dataclass(frozen=True)
class Record:
    """What was kept of a run of chains.

    Attributes:
        means: By observable, its mean over the steps after the burn-in, one row a chain.
        last: The last moment.
        skipped: Share of steps whose rescale, or that themselves, were skipped.
    """

    means: Mapping[str, Array]
    last: Moment
    skipped: float


@dataclass
class Bench:
    """A laboratory with a seed and a memory.

    Attributes:
        laboratory: What runs chains.
        seed: All randomness comes from it and from the names of the measurements.
    """

    laboratory: Laboratory
    seed: int = 7
    _kept: dict[str, Any] = field(default_factory=dict)

    def rng(self, name: str) -> np.random.Generator:
        """Return the generator of a measurement, the same however many ran before it."""
        return np.random.default_rng([self.seed, zlib.crc32(name.encode())])

    def once(self, name: str, measure: Callable[[Bench], T]) -> T:
        """Measure something that several checks look at, once.

        Args:
            name: Of the measurement.
            measure: Makes it.

        Returns:
            Its result, now or from before.
        """
        if name not in self._kept:
            self._kept[name] = measure(self)
        value: T = self._kept[name]
        return value

    def follow(
        self,
        setup: ChainSetup,
        steps: int,
        rng: np.random.Generator,
        burn: int = 0,
        **observables: Observable,
    ) -> Record:
        """Run chains and average what is seen of them.

        Args:
            setup: The chains.
            steps: Number of steps.
            rng: Source of the turns.
            burn: Steps at the beginning that are not averaged.
            **observables: What to average, by name.

        Returns:
            The record.
        """
        sums: dict[str, Array] = {}
        skipped = 0.0
        for moment in self.laboratory.run(setup, steps, rng):
            skipped += float(np.mean(moment.unreachable | moment.held))
            if moment.t < burn:
                continue
            for name, observe in observables.items():
                value = observe(moment)
                sums[name] = sums[name] + value if name in sums else value
        means = {name: total / (steps - burn) for name, total in sums.items()}
        return Record(means, moment, skipped / steps)
