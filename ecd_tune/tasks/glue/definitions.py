"""The GLUE tasks by name; imports no torch."""

from __future__ import annotations

from ecd_tune.records import Direction
from ecd_tune.registry import Option, TaskDef
from ecd_tune.tasks.glue.layouts import GLUE, GlueTask

__all__ = ["GLUE_DEFS"]

_WORDS = {
    "matthews": "Matthews correlation",
    "f1": "F1",
    "accuracy": "accuracy",
    "spearman": "Spearman correlation",
}

_OPTIONS = {
    "model": Option(
        str,
        "bert-base-uncased",
        "name of a BERT in the Hugging Face cache, a folder, or tiny: a small one with 2 heads, "
        "trained from scratch",
    ),
    "width": Option(int, 128, "hidden size of tiny, an even number", low=8),
    "layers": Option(int, 2, "layers of tiny", low=1),
    "batch_size": Option(int, 8, "examples per step", low=1),
    "max_length": Option(int, 0, "longest input in tokens; 0: 512, or 64 for tiny", low=0),
    "subset": Option(
        float, 1.0, "training rows to use: a fraction up to 1, or a number above 1", low=1e-6
    ),
    "device": Option(str, "auto", "auto (a GPU if there is one), cpu, cuda or cuda:N"),
    "split_seed": Option(int, 0, "seed of the training/validation split", low=0),
}


def _define(name: str, task: GlueTask) -> TaskDef:
    return TaskDef(
        name=name,
        title=f"GLUE {task.title}, BERT",
        factory=f"ecd_tune.tasks.glue.tasks:make_{name.removeprefix('glue_')}",
        metric=f"best validation {_WORDS[task.metric]} over the epochs",
        direction=Direction.MAXIMIZE,
        budget_unit="epochs",
        options=_OPTIONS,
        confirm_metric=f"test_{task.metric}",
        source="§4.4, B.5 and Table 4 of the paper" if task.title != "WNLI" else "GLUE benchmark",
        groups=("embeddings", "matrices", "vectors"),
    )


GLUE_DEFS: dict[str, TaskDef] = {name: _define(name, task) for name, task in GLUE.items()}
"""The GLUE tasks by registry name."""
