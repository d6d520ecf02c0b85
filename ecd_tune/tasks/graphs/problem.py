"""Train GraphSAGE on all nodes at once: one step is one epoch."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

import numpy as np
import torch
from sklearn.metrics import roc_auc_score
from torch import Tensor, nn
from torch.nn.functional import binary_cross_entropy_with_logits, cross_entropy

from ecd_tune.errors import TaskError
from ecd_tune.records import Stage
from ecd_tune.tasks._groups import group_parameters
from ecd_tune.tasks.base import Split, part_of
from ecd_tune.tasks.functional import Batch, FunctionalProblem, Measured
from ecd_tune.tasks.graphs.sage import Sage, SparseMatrix
from ecd_tune.tasks.seeds import stream
from ecd_tune.tasks.stacked_networks import StacksNetworks

__all__ = ["GraphProblem", "GraphTask", "NodePart", "mean_roc_auc"]


@dataclass(frozen=True)
class NodePart:
    """The nodes of one part.

    Attributes:
        nodes: Their numbers, shape ``[K]``.
        labels: Classes ``[K]``, int64, or 0/1 ``[K, L]``, float32.
    """

    nodes: Tensor
    labels: Tensor


class GraphProblem(FunctionalProblem):
    """A network with its own initial weights and dropout.

    Training uses the features and edges of all nodes, but only the labels of the training nodes; a
    problem built for the search does not hold the labels of the test nodes.

    Args:
        task: The graph and the shape of the network.
        parts: Nodes by split; a split that is missing cannot be evaluated.
        seed: Decides initial weights and dropout.
    """

    def __init__(self, task: GraphTask, parts: Mapping[Split, NodePart], seed: int) -> None:
        self._task, self._parts = task, parts
        network = Sage(task.widths, task.normalise, task.dropout, stream(seed, "init"))
        super().__init__(network.to(task.device), seed, steps_per_epoch=1)
        self.metric: str | None = task.metric
        self.groups = group_parameters(self.parameters)

    def batch(self, step: int) -> Batch:
        """Return nothing: each step sees the whole graph."""
        return ()

    def loss(self, network: nn.Module, *batch: Tensor) -> Tensor:
        """Return the loss on the training nodes."""
        part = self._parts["train"]
        return _loss(self._outputs(network, part), part.labels)

    def evaluation_batches(self, split: Split) -> Iterator[tuple[Batch, int]]:
        """Iterate over all nodes of a split at once.

        Yields:
            Nodes and their labels, and their number.

        Raises:
            TaskError: The test split, in a problem built for the search.
        """
        part = part_of(self._task.name, self._parts, split)
        yield (part.nodes, part.labels), len(part.nodes)

    def measure(self, network: nn.Module, *batch: Tensor) -> tuple[Tensor, ...]:
        """Return the outputs of nodes, and their loss."""
        part = NodePart(*batch)
        outputs = self._outputs(network, part)
        return outputs, _loss(outputs, part.labels)

    def summarise(self, split: Split, measured: Measured) -> Mapping[str, float]:
        """Return ``loss`` and ``accuracy`` or ``roc_auc`` on the nodes of one split."""
        (((outputs, loss), _),) = measured
        labels = self._parts[split].labels.to(outputs.device)
        if labels.dim() == 2:
            return {"roc_auc": mean_roc_auc(labels, outputs), "loss": float(loss)}
        hits = (outputs.argmax(1) == labels).double().mean()
        return {"accuracy": float(hits), "loss": float(loss)}

    def examples(self, step: int) -> int:
        """Return the number of training nodes, all of which each step sees."""
        return len(self._parts["train"].nodes)

    def _outputs(self, network: nn.Module, part: NodePart) -> Tensor:
        outputs: Tensor = network(self._task.features, self._task.mean)
        return outputs[part.nodes]


@dataclass(frozen=True, eq=False)
class GraphTask(StacksNetworks):
    """A graph with the shape of the network for it.

    Attributes:
        name: Registry name.
        mean: Averages over neighbours, shape ``[N, N]``.
        features: Shape ``[N, F]``.
        parts: Nodes and labels by split.
        widths: Layer widths from input to output.
        normalise: Batch normalisation.
        dropout: Probability of dropout.
        device: Device of network, features and splits.
    """

    name: str
    mean: SparseMatrix
    features: Tensor | SparseMatrix
    parts: Mapping[Split, NodePart]
    widths: tuple[int, ...]
    normalise: bool
    dropout: float
    device: torch.device

    @property
    def metric(self) -> str:
        """``"roc_auc"`` for 0/1 labels, ``"accuracy"`` for classes."""
        return "roc_auc" if self.parts["train"].labels.dim() == 2 else "accuracy"

    def build(self, seed: int, stage: Stage) -> GraphProblem:
        """Build a network; it holds the labels of the test nodes only in the confirmation."""
        parts = dict(self.parts)
        if stage is not Stage.CONFIRM:
            del parts["test"]
        return GraphProblem(self, parts, seed)


def mean_roc_auc(truth: Tensor, scores: Tensor) -> float:
    """Average the area under the ROC curve over labels.

    Args:
        truth: 0/1, shape ``[K, L]``.
        scores: Higher for more likely, same shape.

    Returns:
        The mean over the labels of which both values occur; NaN where a score is not finite.

    Raises:
        TaskError: No label has both values.
    """
    if not scores.isfinite().all():
        return math.nan
    y, x = truth.cpu().numpy(), scores.cpu().numpy()
    both = np.flatnonzero((y.min(0) == 0) & (y.max(0) == 1))
    if len(both) == 0:
        raise TaskError(
            "no label occurs with both values, so there is no ROC curve; use another split"
        )
    return float(np.mean([roc_auc_score(y[:, label], x[:, label]) for label in both]))


def _loss(outputs: Tensor, labels: Tensor) -> Tensor:
    if labels.dim() == 2:
        return binary_cross_entropy_with_logits(outputs, labels)
    return cross_entropy(outputs, labels)
