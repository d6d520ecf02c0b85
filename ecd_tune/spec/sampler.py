"""``[sampler]``: the options of each of Optuna's samplers, and ours."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from ecd_tune.spec.parts import SamplerSpec

__all__ = ["SAMPLER_OPTIONS", "STARTUP_TRIALS", "sampler_problems"]

SAMPLER_OPTIONS: Mapping[str, tuple[str, ...]] = {
    "random": (),
    "tpe": (
        "n_startup_trials",
        "n_ei_candidates",
        "multivariate",
        "group",
        "constant_liar",
        "history",
    ),
    "qmc": ("qmc_type", "scramble"),
    "gp": ("n_startup_trials", "deterministic_objective", "history"),
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

STARTUP_TRIALS = 10
"""Random trials at the start, Optuna's own number."""


def sampler_problems(sampler: SamplerSpec) -> Iterator[str]:
    """Check the names of a sampler's options, and the value of the one that is not Optuna's.

    Args:
        sampler: The table.

    Yields:
        The problems, one sentence each.
    """
    name, options = sampler.name, sampler.options
    for option in options:
        if option not in SAMPLER_OPTIONS[name]:
            allowed = ", ".join(SAMPLER_OPTIONS[name]) or "none"
            yield f"[sampler] name = {name!r}: unknown option {option!r}; allowed: {allowed}"
    history = options.get("history", STARTUP_TRIALS)
    startup = options.get("n_startup_trials", STARTUP_TRIALS)
    least = max(1, startup) if isinstance(startup, int) else 1
    # With fewer the sampler would stay in its startup phase.
    if (
        isinstance(history, bool)
        or not isinstance(history, int)
        or ("history" in options and history < least)
    ):
        yield (
            f"[sampler] history = {history!r}: must be a whole number of trials, at least "
            f"n_startup_trials = {least}"
        )
