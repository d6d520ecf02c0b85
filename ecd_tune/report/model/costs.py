"""Costs of a study: hours, energy and carbon by optimizer and stage (B.7 of the paper)."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence

from ecd_tune.records import Stage, TrialRecord, Trials
from ecd_tune.report.model.circumstances import Cost, CostRow
from ecd_tune.spec import StudySpec

__all__ = ["sum_costs"]


def sum_costs(spec: StudySpec, trials: Trials) -> Cost:
    """Add up what the trials of a study cost, attempts that were tried again included.

    Args:
        spec: The study; its current ``[cost]`` gives the intensity.
        trials: Records by study key.

    Returns:
        The sums.
    """
    intensity = spec.cost.intensity
    records = {
        (key, stage): [r for r in trials.get(spec.key(key, stage), ()) if r.cost.seconds > 0]
        for key in spec.optimizers
        for stage in spec.stages
    }
    every = [record for part in records.values() for record in part]
    recorded = [r.cost.carbon_kg for r in every if r.cost.carbon_kg is not None]
    return Cost(
        kg_per_kwh=intensity.kg_per_kwh,
        origin=intensity.origin,
        offset=spec.cost.offset,
        sources=dict(sorted(Counter(r.cost.energy_source for r in every).items())),
        recorded_kg=math.fsum(recorded) if recorded else None,
        rows=tuple(_rows(spec, records, intensity.kg_per_kwh)),
    )


def _rows(
    spec: StudySpec, records: Mapping[tuple[str, Stage], list[TrialRecord]], kg_per_kwh: float
) -> Iterator[CostRow]:
    for (key, stage), part in records.items():
        optimizer = spec.optimizers[key]
        yield _row(key, optimizer.title or optimizer.definition.title, stage, part, kg_per_kwh)
    for of_stage in spec.stages:
        part = [r for (_, stage), found in records.items() if stage is of_stage for r in found]
        yield _row(None, "All", of_stage, part, kg_per_kwh)
    yield _row(None, "All", None, [r for part in records.values() for r in part], kg_per_kwh)


def _row(
    key: str | None,
    title: str,
    stage: Stage | None,
    records: Sequence[TrialRecord],
    kg_per_kwh: float,
) -> CostRow:
    counted = [r.cost.energy_kwh for r in records if r.cost.energy_kwh is not None]
    energy = math.fsum(counted) if counted else None
    return CostRow(
        optimizer=key,
        title=title,
        stage=stage,
        trials=len(records),
        uncounted=len(records) - len(counted),
        hours=math.fsum(record.cost.seconds for record in records) / 3600,
        energy_kwh=energy,
        carbon_kg=None if energy is None else energy * kg_per_kwh,
    )
