"""Rows of a GLUE task from its files.

Quotes in these files are text and not quoting, files may begin with a byte order mark, and
words such as "NA" are words.
"""

from __future__ import annotations

import csv
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from ecd_tune.errors import TaskError
from ecd_tune.tasks._strata import RowNumbers
from ecd_tune.tasks.glue.layouts import GlueTask

__all__ = ["GlueTable", "read_official", "read_single", "read_table"]


@dataclass(frozen=True, eq=False)
class GlueTable:
    """Some rows.

    Attributes:
        texts: For each row its sentence or two.
        labels: Class, int64, or number, float32; shape ``[N]``.
        sources: Number of the file that a row is from, shape ``[N]``: the parts of MNLI's dev
            set are scored one by one.
        groups: Values that no two parts of a split may share, shape ``[N, 2]``, or None.
    """

    texts: tuple[tuple[str, ...], ...]
    labels: NDArray[Any]
    sources: NDArray[np.int64]
    groups: NDArray[Any] | None = None

    def __len__(self) -> int:
        return len(self.texts)

    def take(self, rows: RowNumbers) -> GlueTable:
        """Return some rows as a separate table."""
        groups = None if self.groups is None else self.groups[rows]
        texts = tuple(self.texts[row] for row in rows)
        return GlueTable(texts, self.labels[rows], self.sources[rows], groups)


def read_official(task: GlueTask, folder: Path) -> tuple[GlueTable, GlueTable]:
    """Read the files of the official download.

    Args:
        task: The task.
        folder: Their folder.

    Returns:
        Training rows, and rows to test on: of all dev files that exist.
    """
    names = (*task.sentences, task.label)
    dev = [folder / name for name in task.dev if (folder / name).is_file()]
    train = read_table(task, folder / task.train, names, task.columns)
    tests = [read_table(task, path, names, task.columns) for path in dev]
    sources = [np.full(len(table), number) for number, table in enumerate(tests)]
    test = GlueTable(
        tuple(text for table in tests for text in table.texts),
        np.concatenate([table.labels for table in tests]),
        np.concatenate(sources),
    )
    return train, test


def read_single(task: GlueTask, folder: Path) -> GlueTable:
    """Read the substitute file.

    Args:
        task: The task.
        folder: Its folder.

    Returns:
        All of its rows.
    """
    names = task.single_names or (*task.sentences, task.label)
    columns = task.single_columns
    return read_table(task, folder / task.single, names, columns, task.groups)


def read_table(
    task: GlueTask,
    path: Path,
    names: tuple[str, ...],
    columns: tuple[str, ...] = (),
    groups: tuple[str, ...] = (),
) -> GlueTable:
    """Read one file.

    Args:
        task: The task.
        path: A ``.tsv`` or ``.jsonl`` file.
        names: Columns of the sentences, and of the label last.
        columns: Names of all columns of a file without a header.
        groups: Columns for :attr:`GlueTable.groups`.

    Returns:
        Its rows, less those that break off before the label; the official QQP has a few.

    Raises:
        TaskError: A column is missing, or a label is none of the task's.
    """
    frame = _read_frame(path, columns)
    if lacking := [name for name in (*names, *groups) if name not in frame]:
        raise TaskError(
            f"{path} has no column {', '.join(lacking)}; known: {', '.join(map(str, frame))}"
        )
    frame = frame[frame[names[-1]] != ""]
    texts = tuple(frame[list(names[:-1])].itertuples(index=False, name=None))
    labels = _read_labels(task, frame[names[-1]], path)
    keys = frame[list(groups)].to_numpy(dtype=np.int64) if groups else None
    return GlueTable(texts, labels, np.zeros(len(frame), dtype=np.int64), keys)


def _read_frame(path: Path, columns: tuple[str, ...]) -> pd.DataFrame:
    if path.suffix == ".jsonl":
        lines: pd.DataFrame = pd.read_json(path, lines=True, dtype=False)
        return lines
    return pd.read_csv(
        path,
        sep="\t",
        quoting=csv.QUOTE_NONE,
        encoding="utf-8-sig",
        keep_default_na=False,
        dtype=str,
        header=None if columns else "infer",
        names=list(columns) or None,
    )


def _read_labels(task: GlueTask, column: pd.Series[Any], path: Path) -> NDArray[Any]:
    if not task.classes:
        return pd.to_numeric(column).to_numpy(dtype=np.float32, copy=True)
    numbers = column.map({label: number for number, label in enumerate(task.classes)})
    if numbers.isna().any():
        strange = column[numbers.isna()].iloc[0]
        raise TaskError(f"{path} has the label {strange!r}; {task.title} has {task.classes}")
    return numbers.to_numpy(dtype=np.int64, copy=True)
