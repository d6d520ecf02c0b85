"""``[sampler] name = "auto"``: choose a sampler when a study is created."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from ecd_tune.errors import SpaceError
from ecd_tune.spec.parts import OptimizerSpec, SamplerSpec

if TYPE_CHECKING:
    from ecd_tune.spec.model import StudySpec

__all__ = ["adopt_sampler", "choose_sampler"]

_TPE = "the best median of random, TPE, QMC and CMA-ES on our tasks (docs/results/samplers.md)"


def choose_sampler(spec: StudySpec) -> SamplerSpec:
    """Choose a study's sampler.

    A grid if each optimizer's space is a list of points that fits into the budget, because no other
    sampler can do better than to run all points. Otherwise TPE.

    Args:
        spec: The study.

    Returns:
        The sampler, with the reason in ``why``.
    """
    reason = _why_no_grid(spec)
    if reason is None:
        return SamplerSpec(name="grid").chosen("each space is a list that fits into the budget")
    return SamplerSpec(name="tpe").chosen(f"{_TPE}; no grid, {reason}")


def adopt_sampler(spec: StudySpec, stored: Mapping[str, Any] | None) -> StudySpec:
    """Return a study with ``"auto"`` with the sampler that it was created with.

    Args:
        spec: The study.
        stored: The stored table ``[sampler]``; None if the study is not stored.
    """
    sampler = spec.sampler
    if stored is None or not sampler.why or stored == sampler.model_dump(mode="json"):
        return spec
    adopted = SamplerSpec.model_validate(stored).chosen("the study was created with it")
    return spec.model_copy(update={"sampler": adopted})


def _why_no_grid(spec: StudySpec) -> str | None:
    if spec.search.repeats > 1:
        return "which has the same points in each of several searches"
    reasons = (_why_no_grid_of(key, own, spec) for key, own in spec.optimizers.items())
    return next((reason for reason in reasons if reason is not None), None)


def _why_no_grid_of(key: str, optimizer: OptimizerSpec, spec: StudySpec) -> str | None:
    try:
        next(optimizer.space.grid())
    except SpaceError as error:
        return f"{key}: {error}"
    size, trials = optimizer.space.grid_size(), spec.budget.trials
    if trials is not None and size > trials:
        return f"{key} has {size} points for {trials} trials"
    return None
