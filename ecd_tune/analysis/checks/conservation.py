"""S10: the metric with the energy conserved against the metric without."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping

import numpy as np

from ecd_tune.analysis.checks.assess import Need, Prediction, assess, too_few
from ecd_tune.analysis.checks.fits import share
from ecd_tune.analysis.checks.model import Check, Finding, Relation, Subject
from ecd_tune.analysis.checks.rules import Estimate
from ecd_tune.analysis.checks.runs import CheckedRun, Sample, StudyTrials
from ecd_tune.theory import Array

__all__ = ["CHECKS", "pairs", "superiority"]

_BETTER = Prediction("probability that on is better than off", 0.5, 0.5, 1.0, ">")
_LEAST = 10


def _check_conservation(data: StudyTrials) -> list[Finding]:
    sample, both = data.ended(), pairs(data)
    if len(both) >= _LEAST:
        scores = [[run.loss_score(data.direction) for run in pair] for pair in both]
        return [_assess_pairs(sample, np.array(scores))]
    on, off = (
        np.array([run.loss_score(data.direction) for run in sample if _conserves(run) is switch])
        for switch in (True, False)
    )
    needs = [
        Need("trials with conserve_energy = true", len(on), _LEAST),
        Need("trials with conserve_energy = false", len(off), _LEAST),
    ]
    lack = too_few(_BETTER, sample, needs, "")
    return [lack or assess(_BETTER, sample, superiority(on, off), f"{len(on)} on, {len(off)} off")]


def _conserves(run: CheckedRun) -> bool:
    return bool(run.params["conserve_energy"])


def pairs(data: StudyTrials) -> list[tuple[CheckedRun, CheckedRun]]:
    """Return the trials that ended, on and off, that differ in nothing else.

    Args:
        data: The study.

    Returns:
        One pair for each setting of the rest: its first trial with the energy conserved, and its
        first without.
    """
    groups: Mapping[object, dict[bool, CheckedRun]] = defaultdict(dict)
    for run in data.ended():
        rest = frozenset((k, v) for k, v in run.params.items() if k != "conserve_energy")
        groups[rest].setdefault(_conserves(run), run)
    return [(group[True], group[False]) for group in groups.values() if len(group) == 2]


def _assess_pairs(sample: Sample, values: Array) -> Finding:
    wins, untied = (
        int(np.sum(x)) for x in (values[:, 0] < values[:, 1], values[:, 0] != values[:, 1])
    )
    case = f"{len(values)} pairs that differ only in this, {len(values) - untied} tied"
    lack = too_few(_BETTER, sample, [Need("pairs without a tie", untied, _LEAST)], case)
    return lack or assess(_BETTER, sample, share(wins, untied), case)


def superiority(first: Array, second: Array) -> Estimate:
    """Return the chance that a number of one sample is below one of another, ties half.

    Args:
        first: One sample; may contain infinities.
        second: The other.

    Returns:
        Mann and Whitney's U over the number of pairs, with DeLong's standard error.
    """
    below, above = first[:, None] < second[None, :], first[:, None] > second[None, :]
    wins = 0.5 * (1.0 + below - above)
    parts = (wins.mean(axis=1), wins.mean(axis=0))
    error = float(np.sqrt(sum(part.var(ddof=1) / len(part) for part in parts)))
    return Estimate(float(wins.mean()), error, len(first) + len(second), 2)


CHECKS = (
    Check(
        "S10",
        Relation("conserving the energy gives better values", "§3.3"),
        "the 95 % interval of the probability that a trial with it is better is above 0.5; over "
        "pairs of trials that differ only in this if there are 10, else over all trials, at least "
        "10 with and 10 without",
        _check_conservation,
        Subject.STUDY,
        needs=("conserve_energy",),
    ),
)
