"""The paper's printed results for studies, by their tasks and optimizers."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from ecd_tune.records import Stage
from ecd_tune.report.model.across.printed import PaperResults, PrintedValue, ScalingRow
from ecd_tune.spec import StudySpec

if TYPE_CHECKING:
    from ecd_tune.lab.claims import Printed
    from ecd_tune.report import StudyReport

__all__ = ["find_printed"]

_PERCENT = 100.0
_TASKS = {"in1k": "imagenet1k"}
_UNLIKE = ("device", "split_seed", "threads", "folder", "weights")
"""Options that do not change what is learnt, or that the paper's studies set too."""


def find_printed(found: Sequence[tuple[StudySpec, StudyReport]]) -> PaperResults:
    """Return the paper's printed results for some studies.

    Smoke forms are left out: they have little to do with the paper's experiments.

    Args:
        found: Each study with its report.

    Returns:
        Entries of Tables 1 to 4 in the unit of the studies' metrics, and Table 5.
    """
    from ecd_tune.lab.claims.printed import read_printed
    from ecd_tune.lab.claims.tables import average_terms

    printed = read_printed()
    studies = {spec.name: (spec, report) for spec, report in found if not spec.smoke}
    values = {name: _values(printed, spec) for name, (spec, _) in studies.items()}
    settings = {name: _settings(spec) for name, (spec, _) in studies.items() if values[name]}
    return PaperResults(
        values,
        settings,
        scaling=_scaling(printed, studies),
        weights={row.name: weight for weight, row in average_terms(printed)},
        averages=_averages(printed, [spec for spec, _ in studies.values()]),
    )


def _plain(name: str) -> str:
    """Return a name without what papers, files and registries write differently."""
    plain = re.sub(r"[^a-z0-9]", "", name.lower()).removeprefix("glue")
    return _TASKS.get(plain, plain)


def _values(printed: Printed, spec: StudySpec) -> dict[str, PrintedValue]:
    for experiment in printed.experiments:
        if _plain(experiment.name) == _plain(spec.task.name):
            results = {_plain(name): result for name, result in experiment.results.items()}
            return {
                key: PrintedValue(
                    experiment.table,
                    result.mean.value / _PERCENT,
                    tuple(run / _PERCENT for run in result.runs),
                    experiment.name,
                )
                for key, optimizer in spec.optimizers.items()
                if (result := results.get(_plain(optimizer.optimizer))) is not None
            }
    return {}


def _averages(printed: Printed, specs: Sequence[StudySpec]) -> dict[str, float]:
    """Return the entries of Table 1, by the keys of the studies' optimizers."""
    averages = {_plain(name): number.value for name, number in printed.average.items()}
    return {
        key: averages[name] / _PERCENT
        for spec in specs
        for key, optimizer in spec.optimizers.items()
        if (name := _plain(optimizer.optimizer)) in averages
    }


def _settings(spec: StudySpec) -> str:
    """Name the options of a task that are not those of the paper's experiment, its defaults."""
    usual = {name: option.default for name, option in spec.task_def.options.items()}
    chosen = spec.task_options(Stage.CONFIRM)
    return ", ".join(
        f"{name} = {value}"
        for name, value in chosen.items()
        if name not in _UNLIKE and value != usual[name]
    )


def _scaling(
    printed: Printed, studies: Mapping[str, tuple[StudySpec, StudyReport]]
) -> tuple[ScalingRow, ...]:
    """Return Table 5, or nothing where no study is on one of its tasks."""
    own: dict[str, tuple[str, dict[str, float]]] = {}
    for name, (spec, report) in studies.items():
        task = "bert" if spec.task.name.startswith("glue_") else _plain(spec.task.name)
        best = next(
            (b for b in report.best if spec.optimizers[b.optimizer].optimizer == "ecdsep"), None
        )
        if best is not None and not _settings(spec):
            numbers = {
                symbol: float(value)
                for symbol in ("lr", "eta", "nu")
                if isinstance(value := best.values.get(symbol), (int, float))
            }
            own.setdefault(task, (name, numbers))
    rows = [(row, own.get(_plain(row.name))) for row in printed.scaling]
    if not any(found for _, found in rows):
        return ()
    return tuple(
        ScalingRow(
            row.name,
            row.n.value,
            row.lr.value,
            row.eta.value,
            row.nu.value,
            *(found or ()),
        )
        for row, found in rows
    )
