"""The nine tasks, their metrics, and the format of their files. Plain values.

Each task has the layout of the official download. For three of them a single public file
substitutes for missing official ones; it is then split three ways.
"""

from __future__ import annotations

from dataclasses import dataclass

from ecd_tune.tasks.data import Layout

__all__ = ["GLUE", "GlueTask", "layouts_of"]

_OFFICIAL = "the task's archive at gluebenchmark.com/tasks, unpacked into glue/"
_NO_YES, _ENTAILMENT = ("0", "1"), ("entailment", "not_entailment")


@dataclass(frozen=True)
class GlueTask:
    """One task of the benchmark.

    Attributes:
        title: As the benchmark writes it; also the name of its folder.
        sentences: Columns of the text: one, or two for pairs.
        label: Column of the label.
        metric: ``matthews``, ``f1``, ``accuracy`` or ``spearman``.
        classes: Labels in the order of the network's outputs; empty for a number 0 … 5.
        columns: Names of the columns of files without a header; empty where they have one.
        train: Official file to train and validate on.
        dev: Official files to test on, the first of them needed.
        single: Substitute file for all of them, or empty.
        single_columns: Like ``columns``, for that file.
        single_names: Its names for ``(*sentences, label)`` where they differ.
        groups: Columns whose values must not be in two splits of the substitute file.
    """

    title: str
    sentences: tuple[str, ...]
    label: str
    metric: str = "accuracy"
    classes: tuple[str, ...] = _NO_YES
    columns: tuple[str, ...] = ()
    train: str = "train.tsv"
    dev: tuple[str, ...] = ("dev.tsv",)
    single: str = ""
    single_columns: tuple[str, ...] = ()
    single_names: tuple[str, ...] = ()
    groups: tuple[str, ...] = ()

    @property
    def outputs(self) -> int:
        """Outputs that a network needs."""
        return len(self.classes) or 1


_PAIR = ("sentence1", "sentence2")
_QQP = ("id", "qid1", "qid2", "question1", "question2", "is_duplicate")

GLUE: dict[str, GlueTask] = {
    "glue_cola": GlueTask(
        "CoLA",
        ("sentence",),
        "label",
        metric="matthews",
        columns=("source", "label", "mark", "sentence"),
    ),
    "glue_sst2": GlueTask("SST-2", ("sentence",), "label"),
    "glue_mrpc": GlueTask("MRPC", ("#1 String", "#2 String"), "Quality", metric="f1"),
    "glue_stsb": GlueTask("STS-B", _PAIR, "score", metric="spearman", classes=()),
    "glue_rte": GlueTask("RTE", _PAIR, "label", classes=_ENTAILMENT),
    "glue_wnli": GlueTask("WNLI", _PAIR, "label"),
    "glue_qnli": GlueTask(
        "QNLI", ("question", "sentence"), "label", classes=_ENTAILMENT, single="dev.tsv"
    ),
    "glue_qqp": GlueTask(
        "QQP",
        ("question1", "question2"),
        "is_duplicate",
        metric="f1",
        single="subset_from_train.tsv",
        single_columns=_QQP,
        groups=("qid1", "qid2"),
    ),
    "glue_mnli": GlueTask(
        "MNLI",
        _PAIR,
        "gold_label",
        classes=("entailment", "neutral", "contradiction"),
        dev=("dev_matched.tsv", "dev_mismatched.tsv"),
        single="dev_matched.jsonl",
        single_names=("premise", "hypothesis", "label"),
    ),
}
"""The tasks by registry name."""


def layouts_of(task: GlueTask) -> tuple[Layout, ...]:
    """Return the possible layouts of a task's files under the data root.

    Args:
        task: The task.

    Returns:
        ``official``, and ``single`` for a substitute file.
    """
    folder = f"glue/{task.title}"
    needed = (f"{folder}/{task.train}", f"{folder}/{task.dev[0]}")
    more = tuple(f"{folder}/{name}" for name in task.dev[1:])
    official = Layout("official", needed, _OFFICIAL, optional=more)
    if not task.single:
        return (official,)
    source = "a public part of it that is split three ways"
    return official, Layout("single", (f"{folder}/{task.single}",), source)
