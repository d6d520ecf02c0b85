"""The numbers printed in the paper, from ``printed.toml`` in this folder."""

from __future__ import annotations

import tomllib
from collections.abc import Mapping
from dataclasses import dataclass
from decimal import Decimal
from functools import cache
from importlib.resources import files
from typing import Any

__all__ = [
    "DeviceHours",
    "Experiment",
    "Number",
    "Printed",
    "Result",
    "ScalingRow",
    "read_printed",
]

Point = Mapping[str, float]
Grid = Mapping[str, list[float]]


@dataclass(frozen=True)
class Number:
    """A printed number, which represents all numbers that round to it.

    Attributes:
        text: The digits, for example ``"82.50"`` for 82.50 ± 0.005.
    """

    text: str

    @property
    def value(self) -> float:
        """The number."""
        return float(self.text)

    @property
    def half_unit(self) -> float:
        """Half a unit of the last printed digit."""
        exponent = Decimal(self.text).as_tuple().exponent
        assert isinstance(exponent, int), "not a finite number"
        return 0.5 * 10.0**exponent

    def stands_for(self, exact: float) -> bool:
        """Return whether ``exact`` rounds to this number; halves may go either way."""
        return abs(exact - self.value) <= self.half_unit * (1 + 1e-9)


@dataclass(frozen=True)
class Result:
    """Results of one optimizer in one experiment.

    Attributes:
        mean: The entry of the table.
        runs: The list in the appendix.
        best: Hyperparameters that the appendix gives with the list.
    """

    mean: Number
    runs: tuple[float, ...]
    best: Point


@dataclass(frozen=True)
class Experiment:
    """One row of Tables 2 to 4.

    Attributes:
        name: For example ``"CIFAR-100"``.
        table: For example ``"Table 2"``.
        lists: Section of the appendix that lists the runs.
        repeats: Number of runs that §4 states.
        grid: Name of the scan of §4.
        results: By optimizer.
    """

    name: str
    table: str
    lists: str
    repeats: int
    grid: str
    results: Mapping[str, Result]


@dataclass(frozen=True)
class ScalingRow:
    """One row of Table 5.

    Attributes:
        name: The experiment.
        network: Name in :data:`ecd_tune.lab.claims.networks.NETWORKS`.
        n: Number of parameters.
        lr: Δt.
        eta: η.
        nu: ν.
        fine_tuned: The network was trained before.
    """

    name: str
    network: str
    n: Number
    lr: Number
    eta: Number
    nu: Number
    fine_tuned: bool = False


@dataclass(frozen=True)
class DeviceHours:
    """Hours on one kind of device (B.7).

    Attributes:
        name: The experiments.
        hours: All of them.
        hours_in_paper: Those of the experiments in the paper.
        watts: Power of the device.
        kg_per_kwh: Carbon intensity.
        kg: Printed emissions, CO₂ equivalent.
    """

    name: str
    hours: Number
    hours_in_paper: Number
    watts: Number
    kg_per_kwh: Number
    kg: Number


@dataclass(frozen=True)
class Printed:
    """All numbers.

    Attributes:
        experiments: Rows of Tables 2 to 4.
        grids: The scanned values, by name and optimizer (§4).
        combinations: Sizes of scans as stated, by grid and optimizer.
        average: Table 1.
        average_glue: Last column of Table 4.
        scaling: Table 5.
        large_bounce: ν of the runs that are claimed to turn by about π/2 each step, by experiment.
        computing: B.7.
        computing_total: §6: ``hours``, ``hours_in_paper``, ``kg``.
        reported: Results of others that the paper compares with.
    """

    experiments: tuple[Experiment, ...]
    grids: Mapping[str, Mapping[str, Grid]]
    combinations: Mapping[str, Mapping[str, int]]
    average: Mapping[str, Number]
    average_glue: Mapping[str, Number]
    scaling: tuple[ScalingRow, ...]
    large_bounce: Mapping[str, float]
    computing: tuple[DeviceHours, ...]
    computing_total: Mapping[str, Number]
    reported: Mapping[str, Number]

    def of_table(self, table: str) -> tuple[Experiment, ...]:
        """Return the rows of one table.

        Args:
            table: For example ``"Table 2"``.

        Returns:
            Its experiments.
        """
        return tuple(row for row in self.experiments if row.table == table)

    def experiment(self, name: str) -> Experiment:
        """Return one row of Tables 2 to 4 by its name."""
        return next(row for row in self.experiments if row.name == name)


@cache
def read_printed() -> Printed:
    """Read the numbers that ship with this package."""
    text = files(__package__).joinpath("printed.toml").read_text(encoding="utf-8")
    return _parse(tomllib.loads(text))


def _parse(table: dict[str, Any]) -> Printed:
    return Printed(
        experiments=tuple(_experiment(entry) for entry in table["experiments"]),
        grids=table["grids"],
        combinations=table["combinations"],
        average=_numbers(table["average"]),
        average_glue=_numbers(table["average_glue"]),
        scaling=tuple(ScalingRow(**_numbers(entry)) for entry in table["scaling"]),
        large_bounce=table["large_bounce"],
        computing=tuple(DeviceHours(**_numbers(entry)) for entry in table["computing"]),
        computing_total=_numbers(table["computing_total"]),
        reported=_numbers(table["reported"]),
    )


def _experiment(entry: dict[str, Any]) -> Experiment:
    results = {
        name: Result(Number(found["mean"]), tuple(found["runs"]), found["best"])
        for name, found in entry["results"].items()
    }
    return Experiment(**{**entry, "results": results})


_WORDS = ("name", "network", "fine_tuned")


def _numbers(entry: dict[str, Any]) -> dict[str, Any]:
    return {key: value if key in _WORDS else Number(value) for key, value in entry.items()}
