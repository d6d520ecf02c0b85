"""What a study cost: hours, energy and carbon by optimizer and stage (B.7 of the paper)."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence

from ecd_tune.records import Stage, TrialRecord, Trials
from ecd_tune.report.layout import Section, Table
from ecd_tune.report.model import Cost, CostRow
from ecd_tune.report.numbers import format_number
from ecd_tune.spec import StudySpec

__all__ = ["cost_section", "sum_costs"]


def sum_costs(spec: StudySpec, trials: Trials) -> Cost:
    """Add up what the trials of a study cost, attempts that were tried again included.

    Args:
        spec: The study; its ``[cost]`` gives the intensity, whatever it was when trials ran.
        trials: Records by study key.

    Returns:
        The sums.
    """
    intensity = spec.cost.intensity
    records = {
        (key, stage): [r for r in trials.get(spec.key(key, stage), ()) if r.cost.seconds > 0]
        for key in spec.optimizers
        for stage in Stage
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
    for of_stage in Stage:
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


def cost_section(cost: Cost) -> Section:
    """Lay out the sums.

    Args:
        cost: The sums.

    Returns:
        The section.
    """
    header = ["Optimizer", "Stage", "Trials", "Hours", "Energy [kWh]", "Carbon [kg CO₂eq]"]
    if cost.offset:
        header.append("Net of the offset [kg CO₂eq]")
    rows = tuple(tuple(_cells(row, cost.offset)) for row in cost.rows)
    return Section(
        "cost",
        "Cost",
        tuple(_paragraphs(cost)),
        (Table("Hours, energy and carbon", tuple(header), rows, _NOTE),),
    )


_NOTE = (
    "Hours are the wall times of trials, one's share where several ran as a batch. Not in them: "
    "loading of data, idle workers, and attempts that were interrupted and left no checkpoint. "
    "Memory, disks and cooling are not counted."
)


def _cells(row: CostRow, offset: float) -> Iterator[str]:
    yield row.title
    yield "both" if row.stage is None else "search" if row.stage is Stage.SEARCH else "confirmation"
    yield str(row.trials)
    yield format_number(row.hours, 3)
    yield format_number(row.energy_kwh, 3)
    yield format_number(row.carbon_kg, 3)
    if offset:
        yield format_number(None if row.carbon_kg is None else row.carbon_kg * (1 - offset), 3)


def _paragraphs(cost: Cost) -> Iterator[str]:
    yield (
        f"A kWh counts as {format_number(cost.kg_per_kwh)} kg of CO₂ equivalent ({cost.origin})"
        + (f", of which {100 * cost.offset:g} % are offset." if cost.offset else ".")
    )
    ways = [_describe(source, count) for source, count in cost.sources.items()]
    if ways:
        yield f"Energy: {'; '.join(ways)}."
    total = cost.rows[-1]
    if total.carbon_kg is None or cost.recorded_kg is None or total.uncounted:
        return
    if not math.isclose(total.carbon_kg, cost.recorded_kg, rel_tol=1e-6, abs_tol=1e-15):
        yield (
            f"When they ran, the trials recorded {format_number(cost.recorded_kg, 3)} kg, under "
            "the intensity that was stated then."
        )


def _describe(source: str, count: int) -> str:
    trials = f"{count} trial{'s' * (count != 1)}"
    match source:
        case "":
            return f"not counted for {trials}, which a version before it was counted had run"
        case "TDP":
            return f"estimated as power × time (TDP) for {trials}"
        case _ if "TDP" in source:
            return f"measured in part, the rest power × time, for {trials} ({source})"
        case _:
            return f"measured for {trials} ({source})"
