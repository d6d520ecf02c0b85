"""Optuna's samplers by name, seeded so that a study that is resumed continues as if it never ended.

A sampler is created for every batch, and its seed follows from the study's seed, the optimizer and
the number of the batch's first trial: the points of a batch depend only on the stored trials, never
on how long a process has been running.
"""

from __future__ import annotations

import hashlib
import warnings
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import optuna
from optuna.exceptions import ExperimentalWarning
from optuna.samplers import BaseSampler

from ecd_tune.errors import SpecError
from ecd_tune.spec import StudySpec
from ecd_tune.spec.sampler import STARTUP_TRIALS, sampler_problems

__all__ = [
    "SeededSampler",
    "check_sampler",
    "history_bound",
    "is_blind",
    "is_serial",
    "make_sampler",
    "sampler_seed",
]

"""Sampler to the options that a study file may set under ``[sampler]``."""


_CLASSES: Mapping[str, Callable[..., BaseSampler]] = {
    "random": optuna.samplers.RandomSampler,
    "tpe": optuna.samplers.TPESampler,
    "qmc": optuna.samplers.QMCSampler,
    "gp": optuna.samplers.GPSampler,
    "cmaes": optuna.samplers.CmaEsSampler,
}
# Falling back to independent draws is what these do at the start and for choices; their warning at
# every draw is not useful.
_QUIET = {"qmc", "gp", "cmaes"}
_HISTORY = {"tpe": 1000}
"""Default number of finished trials that a sampler sees; others see all."""


@dataclass(frozen=True)
class SeededSampler:
    """The sampler of one batch.

    Attributes:
        sampler: Optuna's sampler.
        history: Number of the latest finished trials that it sees in addition to the best ones;
            None for all.
    """

    sampler: BaseSampler
    history: int | None = None


def make_sampler(
    spec: StudySpec, optimizer: str, first_number: int, *, salt: str = ""
) -> SeededSampler:
    """Build the sampler for the batch that begins with a trial.

    Args:
        spec: The study.
        optimizer: Key of the optimizer.
        first_number: Number of the batch's first trial.
        salt: Sets apart what two workers draw that see the same trials at the same moment;
            empty for the first of them.

    Returns:
        The sampler. A grid has none: its points are queued.

    Raises:
        SpecError: An option is not one of the sampler's, or has a value it refuses.
    """
    check_options(spec)
    name = spec.sampler.name
    options: dict[str, Any] = dict(spec.sampler.options)
    options.pop("history", None)
    options["seed"] = sampler_seed(spec, optimizer, first_number, salt)
    if name in _QUIET:
        options["warn_independent_sampling"] = False
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ExperimentalWarning)
        try:
            return SeededSampler(_CLASSES[name](**options), history_bound(spec))
        except (TypeError, ValueError) as error:
            raise SpecError(f"[sampler] name = {name!r}: {error}") from error


def history_bound(spec: StudySpec) -> int | None:
    """Return how many finished trials the sampler sees in addition to the best; None for all.

    Args:
        spec: The study.
    """
    options, unsaid = spec.sampler.options, _HISTORY.get(spec.sampler.name)
    if "history" in options:
        return int(options["history"])
    if unsaid is None:
        return None
    return max(unsaid, int(options.get("n_startup_trials", STARTUP_TRIALS)))


def check_sampler(spec: StudySpec) -> None:
    """Check that the study's sampler can be built with the options given.

    Args:
        spec: The study.

    Raises:
        SpecError: As :func:`make_sampler`.
    """
    check_options(spec)
    if spec.sampler.name in _CLASSES:
        make_sampler(spec, next(iter(spec.optimizers)), 0)


def check_options(spec: StudySpec) -> None:
    """Check the names of the sampler's options, and those that are not Optuna's.

    Args:
        spec: The study.

    Raises:
        SpecError: An option is not one of the sampler's, or its history is too short; the
            message names what is allowed.
    """
    for problem in sampler_problems(spec.sampler):
        raise SpecError(problem)


def is_serial(spec: StudySpec) -> bool:
    """Say whether two workers must draw one after the other: a sequence is never drawn twice."""
    return spec.sampler.name == "qmc"


def is_blind(spec: StudySpec) -> bool:
    """Return whether the sampler ignores earlier trials."""
    return spec.sampler.name == "random"


def sampler_seed(spec: StudySpec, optimizer: str, first_number: int, salt: str = "") -> int:
    """Return the seed of the batch that begins with a trial.

    Args:
        spec: The study.
        optimizer: Key of the optimizer.
        first_number: Number of the batch's first trial.
        salt: As for :func:`make_sampler`.

    Returns:
        The seed, of 32 bits.
    """
    # Quasi-random points are one sequence, whose (scrambling) seed must not change within it.
    number = 0 if is_serial(spec) else first_number
    digest = hashlib.sha256(f"{optimizer}\0{salt}".encode()).digest()
    words = np.frombuffer(digest, dtype="<u4").tolist()
    return int(np.random.SeedSequence([spec.seed, number, *words]).generate_state(1)[0])
