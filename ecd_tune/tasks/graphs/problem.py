"""Train GraphSAGE on all nodes at once: one step is one epoch."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from sklearn.metrics import roc_auc_score
from torch import Tensor
from torch.nn.functional import binary_cross_entropy_with_logits, cross_entropy

from ecd_tune.errors import TaskError
from ecd_tune.records import Stage
from ecd_tune.tasks._device import generator_on
from ecd_tune.tasks._groups import group_parameters
from ecd_tune.tasks.base import Split
from ecd_tune.tasks.graphs.sage import Sage, SparseMatrix
from ecd_tune.tasks.seeds import stream

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


class GraphProblem:
    """A network with its own initial weights and dropout.

    Every node's features and edges are seen in training, the labels of the training nodes
    alone; a problem built for the search does not hold the labels of the test nodes.

    Args:
        task: The graph and the shape of the network.
        parts: Nodes by split; a split that is missing cannot be evaluated.
        seed: Decides initial weights and dropout.
    """

    steps_per_epoch = 1

    def __init__(self, task: GraphTask, parts: Mapping[Split, NodePart], seed: int) -> None:
        self._task, self._parts, self._seed = task, parts, seed
        self.metric: str | None = task.metric
        start = stream(seed, "init")
        self._network = Sage(task.widths, task.normalise, task.dropout, start, task.device)
        self.parameters = self._network.parameters
        self.groups = group_parameters(self.parameters)

    def closure(self, step: int) -> Tensor:
        """Compute the loss on the training nodes and its gradient."""
        for parameter in self.parameters:
            parameter.grad = None
        part = self._parts["train"]
        with torch.enable_grad():
            noise = generator_on(stream(self._seed, "dropout", step), self._task.device)
            outputs = self._forward(noise)
            loss = _loss(outputs[part.nodes], part.labels)
            loss.backward()  # type: ignore[no-untyped-call]
        return loss.detach()

    @torch.no_grad()
    def evaluate(self, split: Split) -> Mapping[str, float]:
        """Return ``loss`` and ``accuracy`` or ``roc_auc`` on the nodes of one split.

        Raises:
            TaskError: The test split, in a problem built for the search.
        """
        if split not in self._parts:
            raise TaskError(
                f"{self._task.name}: the {split} split is closed to a search run; build the "
                "problem with Stage.CONFIRM"
            )
        part = self._parts[split]
        outputs = self._forward(None)[part.nodes]
        loss = float(_loss(outputs, part.labels))
        if part.labels.dim() == 2:
            return {"roc_auc": mean_roc_auc(part.labels, outputs), "loss": loss}
        hits = (outputs.argmax(1) == part.labels).double().mean()
        return {"accuracy": float(hits), "loss": loss}

    def examples(self, step: int) -> int:
        """Return the number of training nodes, all of which each step sees."""
        return len(self._parts["train"].nodes)

    @torch.no_grad()
    def renew_statistics(self) -> None:
        """Recompute the running statistics for the present parameters, by one training pass.

        For parameters that no step has led to: averaged ones, or earlier ones put back.
        """
        noise = generator_on(stream(self._seed, "statistics"), self._task.device)
        self._network(self._task.features, self._task.mean, noise, momentum=1.0)

    def state_dict(self) -> dict[str, Any]:
        """Return the running statistics of the batch normalisation."""
        return {"statistics": [tensor.clone() for tensor in self._network.statistics]}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Take running statistics up again.

        Args:
            state: What :meth:`state_dict` returned.

        Raises:
            ValueError: It is of a network of another shape.
        """
        for own, saved in zip(self._network.statistics, state["statistics"], strict=True):
            if own.shape != saved.shape:
                raise ValueError(f"statistics are {tuple(own.shape)}, saved {tuple(saved.shape)}")
            own.copy_(saved)

    def _forward(self, noise: torch.Generator | None) -> Tensor:
        return self._network(self._task.features, self._task.mean, noise)


@dataclass(frozen=True, eq=False)
class GraphTask:
    """A graph with the shape of the network for it.

    Attributes:
        name: Registry name.
        mean: Averages over neighbours, shape ``[N, N]``.
        features: Shape ``[N, F]``.
        parts: Nodes and labels by split.
        widths: Layer widths from input to output.
        normalise: Batch normalisation.
        dropout: Probability of dropout.
        device: Where network, features and parts lie.
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
        """Make a network; only in the confirmation does it hold the labels of the test nodes."""
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
        raise TaskError("no label occurs with both values, so there is no ROC curve; split anew")
    return float(np.mean([roc_auc_score(y[:, label], x[:, label]) for label in both]))


def _loss(outputs: Tensor, labels: Tensor) -> Tensor:
    if labels.dim() == 2:
        return binary_cross_entropy_with_logits(outputs, labels)
    return cross_entropy(outputs, labels)
