"""S5: the best ν at each Δt, compared with ν*."""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass, replace

import numpy as np

from ecd_tune.analysis.checks.assess import Need, Prediction, assess, distinct, span, too_few
from ecd_tune.analysis.checks.fits import fit
from ecd_tune.analysis.checks.floor import F_MIN
from ecd_tune.analysis.checks.model import Check, Finding, Relation, Subject, Verdict
from ecd_tune.analysis.checks.runs import ECDSEP, CheckedRun, Sample, StudyTrials
from ecd_tune.errors import TheoryError
from ecd_tune.records import Direction, Scalar
from ecd_tune.registry import Hyperparameter
from ecd_tune.theory import Array, Basin

__all__ = ["CHECKS"]

_EXPONENT = Prediction("exponent of the best ν in Δt", 0.5, 0.4, 0.75)
_RATIO = Prediction("median of best ν / ν*", 1.0, 0.5, 2.0)
_LEAST_VALUES, _LEAST_LEVELS, _LEAST_DECADES = 8, 5, 1.0
_SHORT = "fewer than 8 values of ν at this Δt"
_FLAT = "flat in ν, or best at an end of the range"


@dataclass(frozen=True)
class _Optimum:
    """The best ν of the trials at one Δt.

    Attributes:
        lr: Δt.
        log_nu: log of the best ν.
        error: Its standard error.
        runs: The trials.
    """

    lr: float
    log_nu: float
    error: float
    runs: Sample


def _check_optimum(data: StudyTrials) -> list[Finding]:
    turning = data.turning()
    found, small = [], []
    settings = _settings(turning)
    for case, sample in settings:
        optima, used = _find_optima(data, sample)
        needs = [
            Need("levels of Δt with an optimum of ν inside", len(optima), _LEAST_LEVELS),
            Need("as decades of Δt", _decades(optima), _LEAST_DECADES, grows=False),
        ]
        lack = too_few(_EXPONENT, used, needs, case)
        if lack is not None:
            small.append(replace(lack, note=f"{lack.note}; the loss is mostly flat in ν"))
            continue
        best, lr = np.array([o.log_nu for o in optima]), np.log([o.lr for o in optima])
        errors = np.array([o.error for o in optima])
        found.append(assess(_EXPONENT, used, fit(best, lr, errors=errors).estimate(1), case))
        found.append(_assess_ratio(data, optima, used, case))
    if len(settings) > 1:
        small = [replace(lack, case=f"largest of {len(settings)} settings") for lack in small]
    return found or small[:1]


def _settings(sample: Sample) -> list[tuple[str, Sample]]:
    """Split into groups that differ only in Δt and ν, with the other values."""
    parts = sample.split(_setting, "other hyperparameters")
    values: dict[str, set[Scalar]] = defaultdict(set)
    for name, value in (pair for key in parts for pair in key or ()):
        values[name].add(value)
    varied = {name for name, found in values.items() if len(found) > 1}
    return [(_words(key or (), varied), part) for key, part in parts.items()]


def _setting(run: CheckedRun) -> tuple[tuple[str, Scalar], ...]:
    moving = ("lr", "nu", "nu_sqrt_n")
    return tuple(sorted((k, v) for k, v in run.params.items() if k not in moving))


def _words(key: tuple[tuple[str, Scalar], ...], varied: set[str]) -> str:
    return " ".join(f"{name}={_word(value)}" for name, value in key if name in varied)


def _word(value: Scalar) -> str:
    return f"{value:.3g}" if isinstance(value, float) else str(value)


def _decades(optima: list[_Optimum]) -> float:
    return span(np.log10([optimum.lr for optimum in optima]))


def _find_optima(data: StudyTrials, sample: Sample) -> tuple[list[_Optimum], Sample]:
    """Find the best ν at each Δt that has enough of them, and the trials that show one."""
    optima = {
        lr: _parabola(data, lr, level)
        for lr, level in sample.split(lambda run: run.lr, "other Δt").items()
        if distinct(level.column("nu")) >= _LEAST_VALUES
    }
    used = sample.keep(_SHORT, lambda run: run.lr in optima)
    used = used.keep(_FLAT, lambda run: optima[run.lr] is not None)
    return [optimum for optimum in optima.values() if optimum is not None], used


def _parabola(data: StudyTrials, lr: float, level: Sample) -> _Optimum | None:
    """Fit a parabola in log ν to the quantity to minimize; return its vertex, if it is inside."""
    nu = np.log(level.column("nu"))
    centre = float(nu.mean())
    found = fit(_worse(data, level), nu - centre, (nu - centre) ** 2)
    bend = found.estimate(2)
    if not bend.value > 2 * bend.error:
        return None
    vertex = found.ratio(1, 2)
    log_nu = centre - 0.5 * vertex.value
    if not nu.min() < log_nu < nu.max():
        return None
    return _Optimum(lr, log_nu, 0.5 * vertex.error, level)


def _worse(data: StudyTrials, level: Sample) -> Array:
    """Return the metric as a number to be small: of positive losses the logarithm."""
    values = level.loss_score(data.direction)
    loss = data.direction is Direction.MINIMIZE and bool((values > 0).all())
    return np.log(values) if loss else values


def _assess_ratio(data: StudyTrials, optima: list[_Optimum], used: Sample, case: str) -> Finding:
    """Compare the best ν with ν*; this supports, but only the exponent refutes."""
    ratios, note = np.full(1, np.nan), "needs F_min and curvature in [[checks]]"
    if {"F_min", "curvature"} <= data.options.keys():
        try:
            ratios, note = np.array([_ratio(data, optimum) for optimum in optima]), ""
        except TheoryError as error:
            note = str(error)
    median = float(np.median(ratios))
    inside = _RATIO.least <= median <= _RATIO.most
    verdict = Verdict.SUPPORTED if inside else Verdict.INCONCLUSIVE
    return _RATIO.finding(used, case, verdict, median, note=note)


def _ratio(data: StudyTrials, optimum: _Optimum) -> float:
    run = optimum.runs.runs[0]
    seen = run.measured
    start = float(np.median(optimum.runs.column("loss_init")))
    basin = Basin(
        seen.n,
        run.eta,
        float(data.options["F_min"]),
        seen.F0,
        float(data.options["curvature"]),
        start,
        seen.s,
        seen.delta_energy,
    )
    return float(np.exp(optimum.log_nu) / basin.nu_star(optimum.lr))


CHECKS = (
    Check(
        "S5",
        Relation("the best ν grows as ν* = √(expm1(2α*)/n), about as √Δt", "A.1, theory: ν*"),
        "the 95 % interval of the exponent is within [0.4, 0.75], and the median of best ν / ν* "
        "in [0.5, 2]; the best ν from a parabola in log ν at each Δt, with a curvature above 0 by "
        "2 se; "
        "at least 8 values of ν at 5 levels of Δt over a decade",
        _check_optimum,
        Subject.STUDY,
        needs=ECDSEP,
        measured=True,
        options={
            **F_MIN,
            "curvature": Hyperparameter(
                float, "F2, half the Hessian's eigenvalue, if known", low=0, low_open=True
            ),
        },
    ),
)
