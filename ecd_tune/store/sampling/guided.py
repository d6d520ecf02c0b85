"""Trials of a search that are drawn from the priors of its space.

The first trials of a search, which a sampler would draw uniformly, come from the priors. One of
every :data:`~ecd_tune.spec.sampler.GUIDED_EVERY` comes from the sampler, so that a wrong prior does
not hide the rest of the space. All later trials come from the sampler, which learns from these
trials as from all others.
"""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np

from ecd_tune.spec import StudySpec
from ecd_tune.spec.sampler import GUIDED_EVERY, guided_trials
from ecd_tune.store.sampling.points import StoredPoint, distributions_of

__all__ = ["guided_points"]

_STREAM = 1
"""Separates these random numbers from those of the trial itself, which has the same seed."""


def guided_points(
    spec: StudySpec, optimizer: str, numbers: Iterable[int]
) -> dict[int, StoredPoint]:
    """Draw the points of the trials that come from the priors of an optimizer's space.

    A point depends only on the study's seed and the number of the trial, not on the worker.

    Args:
        spec: The study.
        optimizer: Key of the optimizer.
        numbers: Numbers of trials of the search.

    Returns:
        Number to point; the sampler draws the other trials.
    """
    space = spec.optimizers[optimizer].space
    if not space.has_prior:
        return {}
    most, found = guided_trials(spec.sampler), {}
    for number in numbers:
        if (most is None or number < most) and number % GUIDED_EVERY != GUIDED_EVERY - 1:
            rng = np.random.default_rng([spec.search_seed(number, optimizer), _STREAM])
            params = space.draw(rng, prior=True)
            found[number] = StoredPoint(params, distributions_of(space, params))
    return found
