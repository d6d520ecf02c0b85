"""Pareto front of value against measured cost."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from ecd_tune.analysis.statistics import quantile
from ecd_tune.records import Direction, StudyKey, TrialRecord, TrialState
from ecd_tune.spec import StudySpec, number_of, without_number

__all__ = ["CostedTrial", "Pareto", "costed_trials", "find_front", "find_pareto"]

_FEWEST = 5
_SPREAD = 4.0
"""Minimum ratio of the upper to the lower decile of wall times; smaller differences can be noise of
the machine."""


@dataclass(frozen=True)
class CostedTrial:
    """Value and cost of one trial.

    Attributes:
        optimizer: Key of the optimizer.
        title: As reports print it.
        search: Number of the search, from 1.
        trial: Number of the trial in it.
        value: Its value; for a pruned trial the best value before its end.
        steps: Last step of its curve; None without a curve.
        seconds: Its cost, see :meth:`Pareto.cost`.
        memory_mib: Peak memory on its GPU, in MiB; None on a CPU, where only the peak of the whole
            process is known.
    """

    optimizer: str
    title: str
    search: int
    trial: int
    value: float
    steps: int | None
    seconds: float
    memory_mib: float | None


@dataclass(frozen=True)
class Pareto:
    """Value against cost.

    Attributes:
        step_seconds: Mean seconds per step by key of the optimizer, if trials ended after
            different numbers of steps; otherwise empty.
        front: Pareto front of each optimizer, from its cheapest to its best trial: no trial of the
            same optimizer has a better value at the same or a lower cost.
    """

    step_seconds: Mapping[str, float]
    front: tuple[CostedTrial, ...]

    def cost(self, record: TrialRecord) -> float:
        """Return the cost of a trial, in seconds.

        The cost is the number of steps times the mean time per step, which does not depend on the
        trial's batch or other load on the machine. If all trials have the same number of steps, it
        is the trial's wall time.
        """
        step = self.step_seconds.get(without_number(record.key.optimizer))
        return record.cost.seconds if step is None else step * record.curve.steps[-1]


def find_pareto(spec: StudySpec, trials: Mapping[StudyKey, Sequence[TrialRecord]]) -> Pareto | None:
    """Compute the Pareto fronts of value against cost.

    Args:
        spec: The study.
        trials: Records by study key; all searches of an optimizer have the same key.

    Returns:
        The fronts; None if all trials of each optimizer cost about the same, or if each optimizer
        has fewer than five trials with a value and a measured time.
    """
    found = {key: costed_trials(trials.get(spec.key(key), ())) for key in spec.optimizers}
    found = {key: records for key, records in found.items() if len(records) >= _FEWEST}
    by_steps = all(r.curve.steps[-1:] > (0,) for part in found.values() for r in part) and any(
        len({r.curve.steps[-1] for r in part}) > 1 for part in found.values()
    )
    if not by_steps and not any(map(_spread, found.values())):
        return None
    steps = {key: _step_seconds(part) for key, part in found.items()} if by_steps else {}
    pareto, front = Pareto(steps, ()), []
    for key, records in found.items():
        optimizer = spec.optimizers[key]
        title = optimizer.title or optimizer.definition.title
        costs = [pareto.cost(r) for r in records]
        values = [r.value for r in records if r.value is not None]
        for i in find_front(costs, values, spec.task_def.direction):
            front.append(_row(key, title, records[i], costs[i]))
    return Pareto(steps, tuple(front))


def costed_trials(records: Iterable[TrialRecord]) -> list[TrialRecord]:
    """Return the complete and pruned trials that have a value and a measured time.

    Args:
        records: Trials of one optimizer.
    """
    return [
        r
        for r in records
        if r.counts
        and (r.state is TrialState.COMPLETE or r.pruned)
        and r.value is not None
        and r.cost.seconds > 0
    ]


def find_front(costs: Sequence[float], values: Sequence[float], direction: Direction) -> list[int]:
    """Find the Pareto front: points without a better one at the same or a lower cost.

    Args:
        costs: Cost of each point.
        values: Value of each point.
        direction: Whether a smaller or a larger value is better.

    Returns:
        Their indices, by cost; the first of equal points.
    """
    best, front = math.inf, []
    for i in sorted(range(len(costs)), key=lambda i: (costs[i], direction.sign * values[i], i)):
        if direction.sign * values[i] < best:
            best = direction.sign * values[i]
            front.append(i)
    return front


def _spread(records: Sequence[TrialRecord]) -> bool:
    seconds = [r.cost.seconds for r in records]
    return quantile(seconds, 0.9) >= _SPREAD * quantile(seconds, 0.1)


def _step_seconds(records: Sequence[TrialRecord]) -> float:
    return math.fsum(r.cost.seconds for r in records) / sum(r.curve.steps[-1] for r in records)


def _row(key: str, title: str, record: TrialRecord, cost: float) -> CostedTrial:
    assert record.value is not None  # costed trials have a value
    on_gpu = not record.cost.device.startswith("cpu")
    return CostedTrial(
        optimizer=key,
        title=title,
        search=number_of(record.key.optimizer),
        trial=record.number,
        value=record.value,
        steps=record.curve.steps[-1] if record.curve.steps else None,
        seconds=cost,
        memory_mib=record.metrics.get("peak_memory_mib") if on_gpu else None,
    )
