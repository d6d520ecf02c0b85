"""The files of the GLUE tasks, and where they come from; imports no torch."""

from __future__ import annotations

from ecd_tune.tasks.data import Layout
from ecd_tune.tasks.data_sets import DataSet
from ecd_tune.tasks.glue.layouts import GLUE, layouts_of

__all__ = ["GLUE_DATA"]

_TERMS = "each task has its own terms: see gluebenchmark.com and the papers listed there"


_READERS = {"glue_cola": ("char_lm",), "glue_sst2": ("char_lm",)}
"""Tasks that read the files of another one."""


def _data_set(task: str) -> DataSet:
    tasks = (task, *_READERS.get(task, ()))
    return DataSet(task.replace("_", "-"), tasks, layouts_of(GLUE[task]), _TERMS)


_VOCABULARY = DataSet(
    "bert-vocabulary",
    tuple(GLUE),
    (
        Layout(
            "vocabulary",
            ("text/bert-base-uncased-vocab.txt",),
            "vocab.txt of bert-base-uncased, 30,522 lines",
        ),
    ),
    "Apache 2.0",
    only_if={"model": ("tiny",)},
)

GLUE_DATA: dict[str, DataSet] = {
    data_set.name: data_set for data_set in (*map(_data_set, GLUE), _VOCABULARY)
}
"""The data sets of the GLUE tasks by name."""
