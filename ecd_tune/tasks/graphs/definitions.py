"""The graph tasks by name; imports no torch."""

from __future__ import annotations

from ecd_tune.records import Direction
from ecd_tune.registry import Option, TaskDef

__all__ = ["GRAPH_DEFS"]

_HIDDEN = Option(int, 256, "width of the two hidden layers", low=1)
_DROPOUT = Option(float, 0.5, "dropout after each hidden layer, in [0, 1)", low=0)
_DEVICE = Option(str, "auto", "auto (a GPU if there is one), cpu, cuda or cuda:N")
_SPLIT_SEED = Option(int, 0, "seed of the training/validation/test split (60/20/20)", low=0)
_SPLIT = Option(
    str,
    "public",
    "public: the Planetoid split (120 or 140 / 500 / 1000 nodes); random: 60/20/20 by class",
    choices=("public", "random"),
)

_SINGLE = {"hidden": _HIDDEN, "dropout": _DROPOUT}
_PLANETOID = {**_SINGLE, "split": _SPLIT, "split_seed": _SPLIT_SEED}
_ACCURACY = ("accuracy", "validation accuracy")
_ROC_AUC = ("roc_auc", "validation ROC-AUC, mean over the labels,")


def _define(
    name: str, title: str, metric: tuple[str, str], options: dict[str, Option], source: str
) -> TaskDef:
    return TaskDef(
        name=name,
        title=title,
        factory=f"ecd_tune.tasks.graphs.tasks:make_{name}",
        metric=f"best {metric[1]} over the epochs",
        direction=Direction.MAXIMIZE,
        budget_unit="epochs",
        options={**options, "device": _DEVICE},
        confirm_metric=f"test_{metric[0]}",
        source=source,
        groups=("matrices", "vectors"),
    )


GRAPH_DEFS: dict[str, TaskDef] = {
    definition.name: definition
    for definition in (
        _define(
            "ogbn_arxiv",
            "ogbn-arxiv, GraphSAGE",
            _ACCURACY,
            _SINGLE,
            "§4.3, B.4 and Table 3 of the paper; 169,343 nodes, split by time",
        ),
        _define(
            "ogbn_proteins",
            "ogbn-proteins, GraphSAGE",
            _ROC_AUC,
            {"hidden": _HIDDEN},
            "§4.3, B.4 and Table 3 of the paper; 132,534 nodes, split by species",
        ),
        _define(
            "cora",
            "Cora, GraphSAGE",
            _ACCURACY,
            _PLANETOID,
            "Planetoid; substitute for ogbn-arxiv: 2708 nodes, 7 classes",
        ),
        _define(
            "citeseer",
            "CiteSeer, GraphSAGE",
            _ACCURACY,
            _PLANETOID,
            "Planetoid; substitute for ogbn-arxiv: 3327 nodes, 6 classes",
        ),
        _define(
            "facebook",
            "Facebook pages, GraphSAGE",
            _ACCURACY,
            {**_SINGLE, "split_seed": _SPLIT_SEED},
            "MUSAE; substitute for ogbn-arxiv: 22,470 nodes, 4 classes",
        ),
        _define(
            "twitch",
            "Twitch DE, GraphSAGE",
            _ROC_AUC,
            {"hidden": _HIDDEN, "split_seed": _SPLIT_SEED},
            "MUSAE; substitute for ogbn-proteins: 9498 nodes, 2 labels (mature, partner)",
        ),
        _define(
            "blogcatalog",
            "BlogCatalog, GraphSAGE",
            _ROC_AUC,
            {"hidden": _HIDDEN, "split_seed": _SPLIT_SEED},
            "Tang and Liu, KDD 2009; substitute for ogbn-proteins: 10,312 nodes, 39 labels",
        ),
    )
}
"""The graph tasks by registry name."""
