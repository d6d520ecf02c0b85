"""Table 5 (B.6): numbers of parameters, hyperparameters, Δt against n, and bounce angles."""

from __future__ import annotations

import math

import numpy as np

from ecd_tune.analysis.checks.fits import fit
from ecd_tune.analysis.checks.model import Finding, Verdict
from ecd_tune.analysis.checks.rules import Estimate, range_verdict
from ecd_tune.lab.claims.findings import close_finding, rounding_finding
from ecd_tune.lab.claims.networks import NETWORKS
from ecd_tune.lab.claims.printed import Number, Printed, ScalingRow
from ecd_tune.theory import bounce_angle, effective_eta

__all__ = [
    "check_exponents",
    "check_hyperparameters",
    "check_large_bounces",
    "check_parameter_counts",
    "check_right_angles",
    "check_small_bounces",
    "check_step_size_trend",
]

_SMALL_ANGLE = 0.05
_RIGHT_ANGLE = 5.0
_EXPONENT = 0.05


def check_parameter_counts(printed: Printed) -> list[Finding]:
    """Compare the printed numbers of parameters with those of the networks.

    Args:
        printed: The paper's numbers.

    Returns:
        One finding per row of Table 5.
    """
    return [
        rounding_finding(row.name, f"parameters of {row.network}", row.n, _count(row))
        for row in printed.scaling
    ]


def _count(row: ScalingRow) -> int:
    return NETWORKS[row.network]()


def check_hyperparameters(printed: Printed) -> list[Finding]:
    """Compare Δt, η and ν of Table 5 with the best values of B.2 to B.5.

    The row of BERT is the mean over the tasks of GLUE. Values that the appendix does not list (η of
    the image tasks, Δt of BERT) are fixed in §4 and not compared.

    Args:
        printed: The paper's numbers.

    Returns:
        One finding per row and symbol.
    """
    found = []
    for row in printed.scaling:
        best = [
            experiment.results["ECDSep"].best
            for experiment in printed.experiments
            if row.name == experiment.name or (row.name, experiment.grid) == ("BERT", "glue")
        ]
        for symbol, key in (("Δt", "lr"), ("η", "eta"), ("ν", "nu")):
            number: Number = getattr(row, key)
            if values := [point[key] for point in best if key in point]:
                mean = float(np.mean(values))
                found.append(rounding_finding(row.name, symbol, number, mean, len(values)))
    return found


def check_step_size_trend(printed: Printed) -> list[Finding]:
    """Fit log Δt on log n, without and with a dummy for fine-tuning.

    Args:
        printed: The paper's numbers.

    Returns:
        One finding per fit, with n as printed and as counted: supported if the 95 % interval of the
        slope is below 0, refuted if it is above.
    """
    rows = printed.scaling
    log_lr = np.log([row.lr.value for row in rows])
    tuned = np.array([float(row.fine_tuned) for row in rows])
    found = []
    for origin, counts in (
        ("printed", [row.n.value for row in rows]),
        ("counted", [_count(row) for row in rows]),
    ):
        for dummies, words in (((), ""), ((tuned,), ", dummy for fine-tuning")):
            slope = fit(log_lr, np.log(counts), *dummies).estimate(1)
            found.append(_falling(f"n as {origin}{words}", slope))
    return found


def _falling(case: str, slope: Estimate) -> Finding:
    """Assess whether a slope is negative."""
    verdict = range_verdict(slope.low, slope.high, -math.inf, 0.0)
    statistic, note = "slope of log Δt on log n", f"standard error {slope.error:.2g}"
    ends = slope.low, slope.high
    return Finding(case, statistic, 0.0, slope.value, *ends, verdict, slope.count, note, "<")


# ----------------------------------------------------------------------------- bounces


def check_large_bounces(printed: Printed) -> list[Finding]:
    """Compare ν√n of the runs that are claimed to turn by a large angle with 1.

    Args:
        printed: The paper's numbers; n is counted.

    Returns:
        One finding per run.
    """
    found = []
    for row, nu in _large(printed):
        root = nu * math.sqrt(_count(row))
        verdict = Verdict.SUPPORTED if root >= 1 else Verdict.REFUTED
        case = f"{row.name}, ν = {nu:g}"
        found.append(Finding(case, "ν√n", 1.0, root, None, None, verdict, 1, sense="≥"))
    return found


def check_right_angles(printed: Printed) -> list[Finding]:
    """Compare the mean angle of the same runs with 90°.

    Args:
        printed: The paper's numbers; n is counted.

    Returns:
        One finding per run.
    """
    return [
        close_finding(
            f"{row.name}, ν = {nu:g}",
            "angle of a turn, degrees",
            90.0,
            math.degrees(float(bounce_angle(_count(row), nu))),
            _RIGHT_ANGLE,
        )
        for row, nu in _large(printed)
    ]


def check_exponents(printed: Printed) -> list[Finding]:
    """Compare η_eff, whose law Algorithm 1 samples, with η, in each of the paper's experiments.

    Args:
        printed: The paper's numbers; n is counted. ν is that of the best hyperparameters in the
            appendix, η too where it is listed, else that of Table 5.

    Returns:
        One finding per experiment.
    """
    found = []
    for experiment in printed.experiments:
        name = "BERT" if experiment.grid == "glue" else experiment.name
        row = next(row for row in printed.scaling if row.name == name)
        best = experiment.results["ECDSep"].best
        count, eta, nu = _count(row), best.get("eta", row.eta.value), best["nu"]
        ratio = float(effective_eta(eta, count, nu)) / eta
        case = f"{experiment.name}, ν√n = {nu * math.sqrt(count):.2g}"
        found.append(close_finding(case, "η_eff/η", 1.0, ratio, _EXPONENT))
    return found


def check_small_bounces(printed: Printed) -> list[Finding]:
    """Compare the mean angle of the other runs with ν√n.

    Args:
        printed: The paper's numbers; n is counted.

    Returns:
        One finding per run of one setting.
    """
    found = []
    for row in printed.scaling:
        if row.name not in printed.large_bounce:
            count, nu = _count(row), row.nu.value
            ratio = float(bounce_angle(count, nu)) / (nu * math.sqrt(count))
            case = f"{row.name}, ν√n = {nu * math.sqrt(count):.2g}"
            found.append(close_finding(case, "angle/ν√n", 1.0, ratio, _SMALL_ANGLE))
    return found


def _large(printed: Printed) -> list[tuple[ScalingRow, float]]:
    rows = {row.name: row for row in printed.scaling}
    return [(rows[name], nu) for name, nu in printed.large_bounce.items()]
