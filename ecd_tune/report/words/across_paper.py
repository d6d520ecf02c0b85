"""Studies beside the paper's printed numbers, in sentences and tables."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from ecd_tune.report.model.across.averages import Average
from ecd_tune.report.model.across.printed import Scaling
from ecd_tune.report.model.across.studies import Across, TaskRow
from ecd_tune.report.words.layout import Section, Table
from ecd_tune.report.words.numbers import format_number

__all__ = ["paper_sections", "scaling_section"]


def paper_sections(across: Across) -> Iterator[Section]:
    """Set the entries of the paper's Tables 1 to 4 beside our means.

    Args:
        across: The comparison.

    Yields:
        One section for Tables 2 to 4 and one for Table 1, each only if there is something to
        compare.
    """
    if any(cell.printed for row in across.rows for cell in row.cells.values()):
        yield _entries(across)
    averages = [average for average in across.averages if average.values]
    if averages:
        yield _averages(across, averages)


def _entries(across: Across) -> Section:
    rows = []
    for row in across.rows:
        for key in filter(row.cells.__contains__, across.by_rank):
            cell = row.cells[key]
            if cell.printed is not None:
                rows.append(
                    (
                        f"{row.study} ({_label(row)})",
                        across.titles[key],
                        format_number(cell.mean, 4, "diverged"),
                        format_number(cell.printed.value, 4),
                        format_number(cell.printed.mean, 4),
                        _difference(row, cell.mean, cell.printed.mean),
                        str(len(cell.printed.listed)),
                        cell.printed.table,
                    )
                )
    settings = [f"{row.study}: {row.settings}" for row in across.rows if row.settings]
    differ = f" Settings that differ from the paper's: {'; '.join(settings)}." if settings else ""
    table = Table(
        "Means compared with the paper's",
        ("Study", "Optimizer", "Ours", "Printed", "Mean of listed", "Difference", "Runs", "Where"),
        tuple(rows),
        "Every number of the paper is a maximum over epochs on the reported split: only our "
        "numbers marked oracle are comparable. Mean of listed: the mean of the runs in its "
        "appendix, which sometimes differs from its table. Difference: ours minus that mean, if "
        "protocol and settings are the paper's."
        f"{differ}",
    )
    return Section("printed", "Compared with the paper", tables=(table,), closing=_gaps(across))


def _difference(compared: TaskRow | Average, ours: float | None, listed: float) -> str:
    other = isinstance(compared, TaskRow) and compared.settings
    if ours is None or not compared.oracle or other:
        return "–"
    return f"{ours - listed:+.4f}"


def _gaps(across: Across) -> tuple[str, ...]:
    return tuple(
        f"No average as in the paper's Table 1 (protocol: {average.protocol}): "
        + (
            f"it also needs {', '.join(average.missing)}, with the paper's settings."
            if average.missing
            else "no optimizer has exactly one mean in each of its rows."
        )
        for average in across.averages
        if not average.values
    )


def _averages(across: Across, averages: Sequence[Average]) -> Section:
    rows = tuple(
        (
            _label(average),
            across.titles[key],
            *(f"{number:.4f}" for number in (value.ours, value.printed, value.listed)),
            _difference(average, value.ours, value.listed),
        )
        for average in averages
        for key in across.by_rank
        if (value := average.values.get(key)) is not None
    )
    table = Table(
        "Averages compared with the paper's Table 1",
        ("Protocol", "Optimizer", "Ours", "Printed", "Mean of listed", "Difference"),
        rows,
        "Average of six means: CIFAR-100, Tiny ImageNet, ImageNet-1K, the two graphs, and the mean "
        "of the eight GLUE tasks, whose metrics differ. The paper's are of maxima over epochs on "
        "the reported split: only our numbers marked oracle are comparable. Mean of listed: from "
        "the runs in its appendix. Difference: ours minus that, if comparable. Optimizers without "
        "exactly one mean in each row are left out.",
    )
    return Section("averages", "Average over the paper's tasks", tables=(table,))


def _label(compared: TaskRow | Average) -> str:
    return "oracle" if compared.oracle else compared.protocol


_SYMBOLS = {"lr": "Δt", "eta": "η", "nu": "ν"}


def scaling_section(scaling: Scaling) -> Section:
    """Set the paper's Table 5 beside our best hyperparameters.

    Args:
        scaling: The table, with fits.
    """
    rows = tuple(
        (
            row.name,
            f"{row.n:.3g}",
            *(f"{getattr(row, name):g}" for name in _SYMBOLS),
            row.study or "–",
            *(f"{row.own[name]:.3g}" if name in row.own else "–" for name in _SYMBOLS),
        )
        for row in scaling.rows
    )
    symbols = tuple(_SYMBOLS.values())
    names = (*symbols, "Study", *(f"{symbol}, ours" for symbol in symbols))
    fits = tuple(
        (
            _SYMBOLS[fit.name],
            "ours" if fit.own else "the paper's",
            f"{fit.slope:.2f} [{fit.low:.2f}, {fit.high:.2f}]",
            str(fit.tasks),
        )
        for fit in scaling.fits
    )
    return Section(
        "scaling",
        "Hyperparameters and size (the paper's Table 5)",
        tables=(
            Table(
                "ECDSep's best hyperparameters by number of parameters",
                ("Experiment", "n", *names),
                rows,
                "n as printed. Ours: best of the search of a compared study on the same task.",
            ),
            Table(
                "Fitted power of n",
                ("Hyperparameter", "Values", "Exponent [95 % interval]", "Tasks"),
                fits,
                "Least squares on logarithms; Student's t intervals are wide for so few tasks, "
                "and tasks differ in more than n.",
            ),
        ),
    )
