"""Which data sets a task reads with its options, and which of them are missing; no torch."""

from __future__ import annotations

from collections.abc import Mapping

from ecd_tune.records import Scalar
from ecd_tune.registry import TASKS
from ecd_tune.tasks.data import data_root
from ecd_tune.tasks.data_sets import DataSet
from ecd_tune.tasks.glue.data_sets import GLUE_DATA
from ecd_tune.tasks.graphs.data_sets import GRAPH_DATA
from ecd_tune.tasks.images.definitions import IMAGE_DATA

__all__ = ["DATA_SETS", "missing_data", "needed_data"]

DATA_SETS: dict[str, DataSet] = {**IMAGE_DATA, **GRAPH_DATA, **GLUE_DATA}
"""All data sets by name."""


def needed_data(task: str, options: Mapping[str, Scalar]) -> list[DataSet]:
    """Find the data sets that a task reads.

    Args:
        task: Registry name.
        options: Those that a study sets; the others have their defaults.
    """
    given = {name: option.default for name, option in TASKS.get(task).options.items()}
    return [one for one in DATA_SETS.values() if one.needed_by(task, {**given, **options})]


def missing_data(task: str, options: Mapping[str, Scalar]) -> list[DataSet]:
    """Find the data sets that a task would not find.

    Args:
        task: Registry name.
        options: Those that a study sets; the others have their defaults.

    Returns:
        Data sets that are not complete under the data root. Data from elsewhere, such as the cache
        of Hugging Face, are not checked.
    """
    root = data_root()
    return [one for one in needed_data(task, options) if one.found(root) is None]
