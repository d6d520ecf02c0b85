"""Optuna's samplers by name, seeded so that a study that is resumed goes on as if it never ended.

A sampler is built anew for every batch, and its seed follows from the study's seed, the
optimizer and the number of the batch's first trial: what a batch draws depends on the stored
trials alone, never on how long a process has been running.
"""

from __future__ import annotations

import hashlib
import warnings
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
import optuna
from optuna.exceptions import ExperimentalWarning
from optuna.samplers import BaseSampler

from ecd_tune.errors import SpecError
from ecd_tune.spec import StudySpec

__all__ = ["OPTIONS", "check_sampler", "is_blind", "is_serial", "make_sampler"]

OPTIONS: Mapping[str, tuple[str, ...]] = {
    "random": (),
    "tpe": ("n_startup_trials", "n_ei_candidates", "multivariate", "group", "constant_liar"),
    "qmc": ("qmc_type", "scramble"),
    "gp": ("n_startup_trials", "deterministic_objective"),
    "cmaes": (
        "n_startup_trials",
        "popsize",
        "consider_pruned_trials",
        "use_separable_cma",
        "with_margin",
        "lr_adapt",
    ),
    "grid": (),
}
"""Sampler to the options that a study file may set under ``[sampler]``."""

_CLASSES: Mapping[str, Callable[..., BaseSampler]] = {
    "random": optuna.samplers.RandomSampler,
    "tpe": optuna.samplers.TPESampler,
    "qmc": optuna.samplers.QMCSampler,
    "gp": optuna.samplers.GPSampler,
    "cmaes": optuna.samplers.CmaEsSampler,
}
# Falling back to independent draws is what these do at the start and for choices; their
# warning about it at every draw tells nobody anything.
_QUIET = {"qmc", "gp", "cmaes"}


def make_sampler(
    spec: StudySpec, optimizer: str, first_number: int, *, salt: str = ""
) -> BaseSampler:
    """Build the sampler for the batch that begins with a trial.

    Args:
        spec: The study.
        optimizer: Key of the optimizer.
        first_number: Number of the batch's first trial.
        salt: Sets apart what two workers draw that see the same trials at the same moment;
            empty for the first of them.

    Returns:
        Optuna's sampler. A grid has none: its points are queued.

    Raises:
        SpecError: An option is not one of the sampler's, or has a value it refuses.
    """
    check_options(spec)
    name = spec.sampler.name
    options: dict[str, Any] = dict(spec.sampler.options)
    # Quasi-random points are one sequence, whose (scrambling) seed must not change within it.
    number = 0 if is_serial(spec) else first_number
    options["seed"] = _derive_seed(spec.seed, optimizer, number, salt)
    if name in _QUIET:
        options["warn_independent_sampling"] = False
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ExperimentalWarning)
        try:
            return _CLASSES[name](**options)
        except (TypeError, ValueError) as error:
            raise SpecError(f"[sampler] name = {name!r}: {error}") from error


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
    """Check the names of the sampler's options.

    Args:
        spec: The study.

    Raises:
        SpecError: An option is not one of the sampler's; the message names the allowed ones.
    """
    name = spec.sampler.name
    for option in spec.sampler.options:
        if option not in OPTIONS[name]:
            allowed = ", ".join(OPTIONS[name]) or "none"
            raise SpecError(
                f"[sampler] name = {name!r}: unknown option {option!r}; allowed: {allowed}"
            )


def is_serial(spec: StudySpec) -> bool:
    """Say whether two workers must draw one after the other: a sequence is never drawn twice."""
    return spec.sampler.name == "qmc"


def is_blind(spec: StudySpec) -> bool:
    """Say whether the sampler never looks at the trials before."""
    return spec.sampler.name == "random"


def _derive_seed(seed: int, optimizer: str, number: int, salt: str) -> int:
    digest = hashlib.sha256(f"{optimizer}\0{salt}".encode()).digest()
    words = np.frombuffer(digest, dtype="<u4").tolist()
    return int(np.random.SeedSequence([seed, number, *words]).generate_state(1)[0])
