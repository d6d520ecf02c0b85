"""The best hyperparameters, and the sensitivity to changes of them."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

from ecd_tune.analysis.surrogate import LEAST_TRIALS
from ecd_tune.records import Scalar
from ecd_tune.report.model.best import BestHyperparameters, BestParam
from ecd_tune.report.model.circumstances import SearchedParam
from ecd_tune.report.model.compare import sort_by_rank
from ecd_tune.report.model.rows import StudyReport
from ecd_tune.report.model.sensitivity import LEAST_AGREEMENT, Move, Sensitivity, SensitivityRow
from ecd_tune.report.words.layout import Section, Table
from ecd_tune.report.words.numbers import format_number, format_scalar

__all__ = ["best_section"]

_BEST_NOTE = (
    "Values to three digits; ecd-tune best and report.json have all digits. Best tenth: "
    "smallest and largest value among the best tenth of the trials, and in brackets the share of "
    "the searched range between them. Importance by PED-ANOVA: share in distinguishing these "
    "trials; by fANOVA: share of the variance of the ranks of all complete trials, which shows "
    "what makes a trial fail."
)


def best_section(report: StudyReport) -> Section:
    """Build the section of the best hyperparameters and the sensitivity to them.

    Args:
        report: The model.

    Returns:
        The section.
    """
    searched = {(row.optimizer, row.name): row for row in report.importance}
    rows = tuple(
        row for best in sort_by_rank(report, report.best) for row in _best_rows(best, searched)
    )
    names = ("Hyperparameter", "Best", "Best tenth", "PED-ANOVA", "fANOVA", "Searched")
    table = Table("Best hyperparameters of the search", ("Optimizer", *names), rows, _BEST_NOTE)
    tables = (table, *_sensitivity_table(report))
    modelled = any(entry.agreement is not None for entry in report.sensitivity)
    untold = (f"Sensitivity around the best: no prediction. {_agreements(report)}",)
    closing = untold if modelled and len(tables) == 1 else ()
    return Section("best", "Hyperparameters", tables=tables, closing=closing)


def _best_rows(
    best: BestHyperparameters, searched: Mapping[tuple[str, str], SearchedParam]
) -> list[tuple[str, ...]]:
    # Fixed hyperparameters are listed with the search spaces.
    rows = [
        (best.title, *_cells(param, searched.get((best.optimizer, param.name))))
        for param in best.lines
        if (best.optimizer, param.name) in searched or param in best.resolved
    ]
    none = (best.title, "none searched", *["–"] * 4, "its fixed and default values")
    return rows or [none]


def _cells(param: BestParam, found: SearchedParam | None) -> Iterator[str]:
    yield param.name
    yield _short(param.value) + (f" ({param.edge} edge)" if param.edge else "")
    good, share = (found.good, found.good_share) if found else (None, None)
    ends = " to ".join(format_number(end, 3) for end in good or ())
    yield f"{ends}{'' if share is None else f' ({100 * share:.0f} %)'}" or "–"
    for importance in (found.importance, found.fanova) if found else (None, None):
        yield "–" if importance is None else f"{100 * importance:.0f} %"
    yield param.allowed


def _short(value: Scalar) -> str:
    exact = isinstance(value, (bool, str, int))
    return format_scalar(value) if exact else format_number(float(value), 3)


def _sensitivity_table(report: StudyReport) -> Iterator[Table]:
    rows = tuple(
        (entry.title, *_sensitivity_cells(row))
        for entry in sort_by_rank(report, report.sensitivity)
        for row in entry.rows
    )
    if rows:
        header = ("Optimizer", "Hyperparameter", "Moved down", "Moved up, changed", "Tolerated")
        title = f"Sensitivity around the best: predicted {report.metric}{report.mark}"
        yield Table(title, header, rows, f"{_SENSITIVITY_NOTE} {_agreements(report)}")


_SENSITIVITY_NOTE = (
    "A random forest is fitted to the ranks of the trials. Moved: its prediction when one "
    "hyperparameter is multiplied or divided by 3, or moved by a tenth of its range if that is not "
    "logarithmic, or set to another choice, and the others stay at the best. Tolerated: the range "
    "in which the predicted rank is worse than at the best by at most the mean error of the model. "
    "Values that no trial covers are left out."
)


def _sensitivity_cells(row: SensitivityRow) -> Iterator[str]:
    down = [move for move in row.moves if move.by[:1] in ("÷", "−")]
    yield row.name
    yield _moves(down)
    yield _moves([move for move in row.moves if move not in down])
    yield " to ".join(format_number(end, 3) for end in row.tolerated or ()) or "–"


def _moves(moves: Sequence[Move]) -> str:
    return "; ".join(map(_move, moves)) or "–"


def _move(move: Move) -> str:
    value = format_number(move.predicted, 3, "diverged")
    return f"{value} ({move.by or format_scalar(move.value)})"


def _agreements(report: StudyReport) -> str:
    """State how well each model ranks trials that it was not fitted to."""
    return (
        "Rank correlation of the trials with out-of-bag predictions: "
        + "; ".join(
            _agreement(entry, report.mark) for entry in sort_by_rank(report, report.sensitivity)
        )
        + "."
    )


def _agreement(entry: Sensitivity, mark: str) -> str:
    if entry.agreement is None:
        return f"{entry.title} no model (fewer than {LEAST_TRIALS} trials, or all equal)"
    told = f"{entry.title} {entry.agreement:.2f}"
    if entry.at_best is None:
        return f"{told}, below {LEAST_AGREEMENT:g}: no prediction"
    at_best = f"{format_number(entry.at_best, 3, 'diverged')}{mark}"
    return f"{told}, error {100 * (entry.error or 0):.0f} % of the ranks, {at_best} at the best"
