"""S9: the best Δt against the number of parameters, over the tasks of several studies."""

from __future__ import annotations

import math
from collections import Counter

import numpy as np

from ecd_tune.analysis.checks.assess import Need, assess, negative, span, too_few
from ecd_tune.analysis.checks.fits import fit
from ecd_tune.analysis.checks.model import Check, Finding, Relation, Subject
from ecd_tune.analysis.checks.runs import ECDSEP, CheckedRun, Sample, StudyTrials

__all__ = ["CHECKS", "best_of_tasks"]

_SLOPE = negative("slope of log best Δt on log n")
_ADVISORY = "a heuristic from six tasks, reported only"


def best_of_tasks(data: StudyTrials) -> list[tuple[CheckedRun, bool]]:
    """Return the best usable run of a study and of each that it is compared with.

    Args:
        data: The study with the others.

    Returns:
        The run, and whether it fine-tunes; studies without a usable run are left out.
    """
    return [
        (min(sample, key=lambda run: run.loss_score(study.direction)), study.tuned)
        for study in (data, *data.others)
        if len(sample := study.usable())
    ]


def _check_step_size(data: StudyTrials) -> list[Finding]:
    found = best_of_tasks(data)
    samples = [study.usable() for study in (data, *data.others)]
    excluded = sum((Counter(sample.excluded) for sample in samples), Counter())
    everyone = Sample(tuple(run for sample in samples for run in sample), dict(excluded))
    log_n = np.log([run.measured.n for run, _ in found])
    tuned = np.array([float(is_tuned) for _, is_tuned in found])
    needs = [
        Need("tasks (name them under studies)", len(found), 5, grows=False),
        Need("as decades of n", span(log_n) / math.log(10), 2, grows=False),
    ]
    lack = too_few(_SLOPE, everyone, needs, "", advisory=_ADVISORY)
    if lack is not None:
        return [lack]
    # Without a mixture of both kinds the dummy would only be another intercept.
    dummies = [tuned] if 0 < tuned.sum() < len(tuned) else []
    estimate = fit(np.log([run.lr for run, _ in found]), log_n, *dummies).estimate(1)
    case = f"{len(found)} tasks, n = {np.exp(log_n.min()):.3g} to {np.exp(log_n.max()):.3g}"
    return [assess(_SLOPE, everyone, estimate, case, advisory=_ADVISORY, unit="tasks")]


CHECKS = (
    Check(
        "S9",
        Relation("the best Δt decreases with the number n of parameters", "B.6, Table 5"),
        "the 95 % interval of the slope is below 0, with a dummy variable for fine-tuning; at "
        "least 5 "
        "tasks, n over 2 decades; reported only",
        _check_step_size,
        Subject.STUDY,
        needs=ECDSEP,
        measured=True,
        several=True,
    ),
)
