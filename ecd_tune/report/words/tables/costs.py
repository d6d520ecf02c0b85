"""Costs of a study, as a section of its report."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence

from ecd_tune.records import Stage
from ecd_tune.report.model.circumstances import Cost, CostRow
from ecd_tune.report.words.layout import Section, Table
from ecd_tune.report.words.numbers import format_number

__all__ = ["cost_section", "name_stage"]


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
    rows = tuple(tuple(_cells(row, cost.offset)) for row in _sorted(cost.rows))
    return Section(
        "cost",
        "Cost",
        tuple(_paragraphs(cost)),
        (Table("Hours, energy and carbon", tuple(header), rows, _NOTE, aside=_tiny(cost)),),
    )


def _sorted(rows: Sequence[CostRow]) -> list[CostRow]:
    """Put the optimizers with the fewest hours first, and the sums last."""
    hours: dict[str | None, float] = {row.optimizer: 0.0 for row in rows}
    for row in rows:
        hours[row.optimizer] += math.inf if row.optimizer is None else row.hours
    keys = sorted(hours, key=hours.__getitem__)
    return sorted(rows, key=lambda row: keys.index(row.optimizer))


def _tiny(cost: Cost) -> bool:
    """Return whether the cost is negligible: less than a gram of carbon."""
    carbon = cost.rows[-1].carbon_kg
    return carbon is not None and carbon < 1e-3


_STAGES = {
    Stage.SEARCH: "search",
    Stage.SELECT: "selection",
    Stage.CONFIRM: "confirmation",
}


def name_stage(stage: Stage) -> str:
    """Name a stage as tables do.

    Args:
        stage: The stage.
    """
    return _STAGES[stage]


_NOTE = (
    "The optimizer with the fewest hours is first. Hours are the wall times of trials; a trial in "
    "a batch has its share. They do not include "
    "loading of data, idle workers, and interrupted attempts without a checkpoint. Memory, disks "
    "and cooling are not counted."
)


def _cells(row: CostRow, offset: float) -> Iterator[str]:
    yield row.title
    yield "all" if row.stage is None else name_stage(row.stage)
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
            f"At the time of the runs the trials recorded {format_number(cost.recorded_kg, 3)} kg, "
            "with the intensity set then."
        )


def _describe(source: str, count: int) -> str:
    trials = f"{count} trial{'s' * (count != 1)}"
    match source:
        case "":
            return f"not counted for {trials}, which were run by an earlier version"
        case "TDP":
            return f"estimated as power × time (TDP) for {trials}"
        case _ if "TDP" in source:
            return f"measured in part, the rest power × time, for {trials} ({source})"
        case _:
            return f"measured for {trials} ({source})"
