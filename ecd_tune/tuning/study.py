"""The result object of a study for scripts and notebooks."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from ecd_tune.cli.collect import describe_environment, fetch_trials
from ecd_tune.cli.report import FORMATS, write_study_report
from ecd_tune.errors import NoResultError, UnknownNameError
from ecd_tune.records import Scalar, Stage, Trials
from ecd_tune.report import best_hyperparameters, build_report, render_best
from ecd_tune.spec import StudySpec
from ecd_tune.store import Store

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["Best", "TunedStudy"]


@dataclass(frozen=True)
class Best:
    """The best trial of one optimizer.

    Attributes:
        optimizer: Key of the optimizer.
        value: The trial's value, the best of many and therefore optimistic; only a confirmation
            gives an unbiased value.
        params: Arguments of the optimizer.
        trial: Number of the trial, in its search.
        searched: Values in terms of the search space.
    """

    optimizer: str
    value: float
    params: Mapping[str, Scalar]
    trial: int
    searched: Mapping[str, Scalar]
    _python: str

    def as_python(self) -> str:
        """Return the lines that construct this optimizer for ``model.parameters()``."""
        return self._python


class TunedStudy:
    """A tuned study; results are read from its database on access.

    Args:
        spec: The study.
        storage: Database URL.
        out: Folder for reports.

    Attributes:
        spec: The study.
        storage: Database URL.
    """

    def __init__(self, spec: StudySpec, storage: str, out: Path) -> None:
        self.spec, self.storage, self._out = spec, storage, out

    @property
    def name(self) -> str:
        """Name of the study."""
        return self.spec.name

    @property
    def winner(self) -> str | None:
        """Key of the optimizer that is ahead of all others beyond noise; None if there is none."""
        report = build_report(self.spec, self._read(), describe_environment())
        return report.answer.winner

    def best(self, optimizer: str | None = None) -> Best:
        """Return the best hyperparameters of an optimizer.

        Args:
            optimizer: Its key; optional if the study has only one.

        Returns:
            The best complete trial of its search, or the one that the selection chose; of several
            searches the best.

        Raises:
            UnknownNameError: The study has no such optimizer, or several and none is named.
            NoResultError: No trial of its search has a value.
        """
        keys = tuple(self.spec.optimizers)
        key = optimizer or (keys[0] if len(keys) == 1 else "")
        if key not in keys:
            raise UnknownNameError(f"optimizer of study {self.name}", key, keys)
        spec, trials = self.spec.with_overrides(optimizers=(key,)), self._read()
        found = best_hyperparameters(spec, trials)
        if not found:
            raise NoResultError(f"study {self.name!r}: no trial of {key} has a value")
        best = found[0]
        python = render_best(spec, trials, "python")
        return Best(key, best.value, best.given, best.trial, best.values, python)

    def trials(self) -> pd.DataFrame:
        """Return all trials, including confirmation runs, as a table with one row per trial.

        Returns:
            Columns as in ``trials.csv`` without curves; hyperparameters as ``params_NAME``,
            further numbers as ``metrics_NAME``.
        """
        import pandas as pd

        rows = []
        for records in self._read().values():
            for record in records:
                row = record.to_dict()
                del row["curves"]
                params, metrics = row.pop("params"), row.pop("metrics")
                row |= {f"params_{key}": value for key, value in params.items()}
                rows.append(row | {f"metrics_{key}": value for key, value in metrics.items()})
        return pd.DataFrame(rows)

    def confirmed(self, optimizer: str) -> tuple[float, ...]:
        """Return the confirmed numbers of an optimizer's best hyperparameters, by seed.

        Args:
            optimizer: Its key.

        Returns:
            One number per run; infinite for a run that diverged or failed.
        """
        report = build_report(self.spec, self._read(), {})
        rows = [r for r in report.results if r.optimizer == optimizer and r.source == "best"]
        return tuple(value for row in rows for value in row.confirmed.values)

    def report(self, out: str | Path | None = None, formats: Sequence[str] = FORMATS) -> list[Path]:
        """Write the report.

        Args:
            out: Folder; that of the study when not given.
            formats: Some of those of ``ecd-tune report``, such as ``html`` and ``latex``.

        Returns:
            The files written.

        Raises:
            UnknownNameError: There is no such format.
        """
        folder = self._out if out is None else Path(out)
        return write_study_report(self.spec, self.storage, folder, tuple(formats))

    def _read(self) -> Trials:
        with Store.open(self.storage, create=False) as store:
            return fetch_trials(store, self.spec, curves=False)

    def __repr__(self) -> str:
        counts = {
            key.optimizer: sum(record.counts for record in records)
            for key, records in self._read().items()
            if key.stage is Stage.SEARCH
        }
        done = ", ".join(f"{key} {count}" for key, count in counts.items())
        return f"TunedStudy({self.name!r}, trials: {done})"
