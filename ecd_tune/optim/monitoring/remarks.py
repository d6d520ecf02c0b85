"""What went wrong with a run, as flags and in words.

The bounds come from runs of ECDSep whose results are known (``benchmarks/remarks.py``): each is
said of settings that fail, and none of those that train.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, NamedTuple

from ecd_tune.optim.definitions import AUTO
from ecd_tune.optim.monitoring.course import Course

__all__ = ["FLAGS", "NUMBERS", "Setting", "find_flags", "report_course", "describe_flags"]

FLAGS = ("hot", "slow", "plateau")
"""What can be said of a run."""
NUMBERS = (
    "share_hot", "loss_start", "loss_end", "path", "path_bound", "path_needed", "plateau_gap",
    "plateau_floor",
)  # fmt: skip
"""Numbers of a course that reports show."""

_HOT = 0.5
"""Share of steps with V > 𝓔; good runs have up to .13, hot ones .93 and more."""
_RISE = 0.02
"""Part of the first gap by which the end is above the start; hot runs have .04 and more."""
_NOISE = 0.25
"""The same in standard deviations of a loss."""
_FELL = 0.8
"""Part of the mean gap of the first stretch below which the loss has fallen after all."""
_REACH = 0.5
"""How far log φ could fall in the tail; slow runs have .01 to .35, others .85 and more."""
_LEFT = 0.5
"""Part of the first gap that is left; runs that train in time have less, but for a low F0."""
_STILL = 0.05
"""Range of log φ in the tail: the bound of the checks on studies, S2."""
_MOVED = 2.0
"""How far log φ could have fallen on a plateau: it stays although the run moves."""
_WORTH = 0.2
"""Height of a plateau in units of what was won: .38 and more where it matters, else up to .14."""
_ROUGH = 0.5
"""Radians of a step above which a level loss is not the plateau's: lr = "auto" aims at .3, and from
1 on both integrators sample something else. Runs that still fall may have more."""


class Setting(NamedTuple):
    """What the words depend on."""

    s: int
    heated: bool
    """δE > 0."""
    auto_lr: bool
    auto_F0: bool
    unit_speed: bool

    @classmethod
    def of(cls, options: Mapping[str, Any]) -> Setting:
        """Return the setting of an optimizer with these hyperparameters."""
        return cls(
            s=int(options.get("s", 0)),
            heated=bool(options.get("delta_energy")),
            auto_lr=options.get("orbit_step") is not None,
            auto_F0=options["F0"] == AUTO,
            unit_speed="s" not in options,
        )


def find_flags(course: Course) -> dict[str, bool]:
    """Return what went wrong with a run.

    Args:
        course: How it went.

    Returns:
        Each of :data:`FLAGS`; at most one is True.
    """
    # A run that stands still at its start has V > 𝓔 in half of its steps, by the noise of batches.
    slow = course.fall < _REACH and course.gap_end > _LEFT * course.gap_start
    won = course.loss_start - course.loss_end
    worth = max(_WORTH * won, _RISE * course.gap_start)
    level = course.drift < _STILL and course.fall > _MOVED and course.plateau_gap > worth
    rough = level and course.orbit_step > _ROUGH
    hot = not slow and (_rises(course) or course.share_hot > _HOT or rough)
    return {"hot": hot, "slow": slow, "plateau": level and won > 0 and not hot}


def _rises(course: Course) -> bool:
    """Return whether the loss ends above its start."""
    beyond = max(_NOISE * course.noise, _RISE * course.gap_start)
    # The first batch alone may have a low loss by chance.
    early = course.gap_start + course.loss_early - course.loss_start
    return course.loss_end > course.loss_start + beyond and course.gap_end > _FELL * early


def describe_flags(course: Course, setting: Setting) -> Iterator[str]:
    """Describe the flags of :func:`find_flags` in sentences.

    Args:
        course: How the run went.
        setting: Of its optimizer.

    Yields:
        Sentences without a full stop.
    """
    flags = find_flags(course)
    if flags["hot"]:
        yield _hot(course, setting)
    if flags["slow"]:
        yield _slow(course, setting)
    if flags["plateau"]:
        yield _plateau(course, setting)


def _hot(course: Course, setting: Setting) -> str:
    above = "V exceeded 𝓔" if setting.s else "the loss was above its start"
    end, facts = f"{course.loss_end:.3g}", []
    if _rises(course):
        facts.append(f"the loss ended at {end}, above its start of {course.loss_start:.3g}")
    if course.share_hot > _HOT:
        facts.append(f"{above} in {100 * course.share_hot:.0f} % of the steps")
    if not facts:
        angle = f"{course.orbit_step:.1f} radians of an orbit"
        facts.append(f"the loss stays near {end}, and a step is {angle}, which is too long")
    lower = "lower orbit_step" if setting.auto_lr else "lower lr"
    remedy = lower
    if setting.s and course.share_hot > _HOT:
        remedy = f"{lower}, raise delta_energy, or set s = 0"
    elif setting.s and setting.heated:
        remedy = "lower delta_energy"
    return f"the run was hot: {', and '.join(facts)}; {remedy}"


def _slow(course: Course, setting: Setting) -> str:
    step = "orbit_step" if setting.auto_lr else "lr"
    steps = f"{course.steps:.0f} steps"
    needed = f"but F0 is at least {course.path_needed:.3g} away"
    if course.path_bound < course.path_needed:
        mean = course.path_bound / course.steps
        return (
            f"{step} is too small to leave the start: {steps} of at most {mean:.3g} give a path of "
            f"{course.path_bound:.3g}, {needed}; raise {step} or take more steps"
        )
    other = "" if setting.unit_speed else " or lower eta (a larger eta is slower)"
    return (
        f"the run hardly moves: {steps} have a path of {course.path:.3g}, {needed} at the start, "
        f"and the last 60 % of them could lower F − F0 by {_percent(course)} at most; raise "
        f"{step}{other}"
    )


def _percent(course: Course) -> str:
    return f"{100 * -math.expm1(-course.fall):.0f} %"


def _plateau(course: Course, setting: Setting) -> str:
    eta = "eta"
    if not (setting.auto_lr or setting.unit_speed):
        eta = "eta (with a larger lr, or lr = 'auto')"
    remedy = f"raise {eta}" if setting.auto_F0 else f"raise F0 or {eta}"
    floor = f"its floor (at least {course.plateau_floor:.2g})"
    return (
        f"the loss stays near {course.loss_end:.3g}, on the plateau of the stationary law up to "
        f"D/(η_eff − 1) = {course.plateau_gap:.2g} above {floor}; {remedy}"
    )


def report_course(courses: Sequence[Course], settings: Sequence[Setting]) -> list[dict[str, Any]]:
    """Return what reports show of runs.

    Args:
        courses: How they went.
        settings: Of their optimizers.

    Returns:
        For each :data:`NUMBERS`, :data:`FLAGS`, and ``remarks``, a list of sentences. What is not
        known is NaN, and so is the plateau where there is none.
    """
    return [_report(*pair) for pair in zip(courses, settings, strict=True)]


def _report(course: Course, setting: Setting) -> dict[str, Any]:
    flags = find_flags(course)
    numbers = {name: getattr(course, name) for name in NUMBERS}
    if not flags["plateau"]:
        numbers |= {"plateau_gap": math.nan, "plateau_floor": math.nan}
    return {**numbers, **flags, "remarks": list(describe_flags(course, setting))}
