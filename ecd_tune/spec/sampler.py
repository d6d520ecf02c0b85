"""``[sampler]``: the options of each of Optuna's samplers, and ours."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import TypeGuard

from ecd_tune.errors import hint
from ecd_tune.registry import Option
from ecd_tune.spec.parts import SamplerSpec

__all__ = [
    "GUIDED_EVERY",
    "SAMPLER_OPTIONS",
    "STARTUP_TRIALS",
    "guided_trials",
    "sampler_problems",
]

STARTUP_TRIALS = 10
"""Random trials at the start, Optuna's own number."""
GUIDED_EVERY = 4
"""Of this many trials that a prior guides, the last is left to the sampler."""


def guided_trials(sampler: SamplerSpec) -> int | None:
    """Return how many trials of a search the priors of a space guide; None for all.

    They are those that the sampler would draw uniformly; where it has another start, as many as
    TPE would.

    Args:
        sampler: The sampler.
    """
    if sampler.name == "random":
        return None
    return int(sampler.options.get("n_startup_trials", STARTUP_TRIALS))


_STARTUP = Option(int, STARTUP_TRIALS, "Random trials at the start.", low=0)
_HISTORY = Option(int, 1000, "Finished trials that the sampler sees beside the best.", low=1)

SAMPLER_OPTIONS: Mapping[str, Mapping[str, Option]] = {
    "random": {},
    "tpe": {
        "n_startup_trials": _STARTUP,
        "n_ei_candidates": Option(int, 24, "Points from which the next one is chosen.", low=1),
        "multivariate": Option(bool, False, "Draw all hyperparameters together."),
        "group": Option(bool, False, "With multivariate: by the conditions of the space."),
        "constant_liar": Option(bool, False, "Keep away from points that are running."),
        "history": _HISTORY,
    },
    "qmc": {
        "qmc_type": Option(str, "sobol", "Sequence.", choices=("sobol", "halton")),
        "scramble": Option(bool, False, "Randomise the sequence."),
    },
    "gp": {
        "n_startup_trials": _STARTUP,
        "deterministic_objective": Option(bool, False, "Values have no noise."),
        "history": _HISTORY,
    },
    "cmaes": {
        "n_startup_trials": _STARTUP,
        "popsize": Option(int, 4, "Points of a generation.", low=1),
        "consider_pruned_trials": Option(bool, False, "Learn from pruned trials too."),
        "use_separable_cma": Option(bool, False, "Diagonal covariance."),
        "with_margin": Option(bool, False, "Margins for whole numbers."),
        "lr_adapt": Option(bool, False, "Adapt the learning rate to noise."),
    },
    "grid": {},
}
"""Sampler to the options that a study file may give it."""
_TOGETHER = (("group", "multivariate"),)
_APART = (
    ("lr_adapt", "use_separable_cma"),
    ("lr_adapt", "with_margin"),
    ("use_separable_cma", "with_margin"),
)


def sampler_problems(sampler: SamplerSpec) -> Iterator[str]:
    """Check names and values of a sampler's options.

    Args:
        sampler: The table.

    Yields:
        The problems, one sentence each.
    """
    declared, options = SAMPLER_OPTIONS[sampler.name], sampler.options
    for name, value in options.items():
        if name not in declared:
            yield f"[sampler]: {name}: unknown option of {sampler.name!r}{hint(name, declared)}"
        elif reason := declared[name].problem(value):
            yield f"[sampler]: {name} = {value!r}: {reason}"
        elif declared[name].kind is int and isinstance(value, float):  # Optuna takes no 10.0
            yield f"[sampler]: {name} = {value!r}: must be a whole number, written without a point"
    for name, other in _TOGETHER:
        if options.get(name) is True and options.get(other) is not True:
            yield f"[sampler]: {name} = true: needs {other} = true"
    for name, other in _APART:
        if options.get(name) is True and options.get(other) is True:
            yield f"[sampler]: {name} and {other}: use one of them"
    # With fewer the sampler would think for ever that the study has only begun.
    startup, history = options.get("n_startup_trials", STARTUP_TRIALS), options.get("history")
    if _is_count(startup) and _is_count(history) and history < startup:
        yield f"[sampler]: history = {history}: must be at least n_startup_trials = {startup}"


def _is_count(value: object) -> TypeGuard[int]:
    return isinstance(value, int) and not isinstance(value, bool)
