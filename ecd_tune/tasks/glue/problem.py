"""Fine-tune BERT on a GLUE task."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.nn.functional import cross_entropy, mse_loss

from ecd_tune.errors import TaskError
from ecd_tune.records import Stage
from ecd_tune.tasks._device import CPU, to_device
from ecd_tune.tasks._groups import group_parameters
from ecd_tune.tasks.base import Split
from ecd_tune.tasks.glue.bert import TinySize, build_classifier, noise_from
from ecd_tune.tasks.glue.metrics import score
from ecd_tune.tasks.glue.tokens import Encoded, join
from ecd_tune.tasks.seeds import stream

__all__ = ["Classification", "GlueProblem"]

_EVALUATE = 32
_SOURCES = ("matched", "mismatched")


class GlueProblem:
    """A classifier with its own initial weights, order of the data and dropout.

    Args:
        task: Data and settings.
        parts: Rows by split; a split that is missing cannot be evaluated.
        seed: Decides initial weights, order and dropout.
    """

    def __init__(self, task: Classification, parts: Mapping[Split, Encoded], seed: int) -> None:
        self._task, self._parts, self._seed = task, parts, seed
        self.metric: str | None = task.metric
        network = build_classifier(task.model, task.outputs, stream(seed, "init"), task.size)
        self.network = network.to(task.device)
        self.parameters: list[Tensor] = list(self.network.parameters())
        words: Any = self.network.get_input_embeddings
        self.groups = group_parameters(self.parameters, [words().weight])
        self.steps_per_epoch = -(-len(parts["train"]) // task.batch_size)
        self._batches: tuple[int, tuple[Tensor, ...]] = (-1, ())

    def closure(self, step: int) -> Tensor:
        """Compute the loss of one batch and its gradient."""
        for parameter in self.parameters:
            parameter.grad = None
        rows, train = self._rows(step), self._parts["train"]
        self.network.train()
        noise = noise_from(stream(self._seed, "dropout", step), self._task.device)
        with torch.enable_grad(), noise:
            labels = to_device(train.labels[rows], self._task.device)
            loss = _loss(self._logits(train, rows), labels)
            loss.backward()  # type: ignore[no-untyped-call]
        return loss.detach()

    @torch.no_grad()
    def evaluate(self, split: Split) -> Mapping[str, float]:
        """Return ``loss`` and the task's metric on one split.

        Where MNLI has two test files, its metric is the mean over both, and both are there too,
        as ``accuracy_matched`` and ``accuracy_mismatched``.

        Raises:
            TaskError: The test split, in a problem built for the search.
        """
        if split not in self._parts:
            raise TaskError(
                f"{self._task.name}: the {split} split is closed to a search run; build the "
                "problem with Stage.CONFIRM"
            )
        part, outputs = self._parts[split], self._outputs(self._parts[split])
        metric, sources = self._task.metric, torch.unique(part.sources).tolist()
        scores = {
            f"{metric}_{_SOURCES[source]}": score(
                metric,
                part.labels[part.sources == source].numpy(),
                outputs[part.sources == source].numpy(),
            )
            for source in sources
        }
        found = {metric: float(np.mean(list(scores.values())))}
        found["loss"] = float(_loss(outputs, part.labels))
        return found | (scores if len(scores) > 1 else {})

    def _outputs(self, part: Encoded) -> Tensor:
        self.network.eval()
        outputs = torch.empty(len(part), self._task.outputs)
        # Rows of like length together: less padding.
        for rows in torch.split(part.lengths.argsort(stable=True), _EVALUATE):
            outputs[rows] = self._logits(part, rows).cpu()
        return outputs

    def _logits(self, part: Encoded, rows: Tensor) -> Tensor:
        batch = {name: to_device(x, self._task.device) for name, x in part.batch(rows).items()}
        logits: Tensor = self.network(**batch).logits
        return logits.float()  # half precision is for inside the network

    def examples(self, step: int) -> int:
        """Return the number of rows in a step."""
        return len(self._rows(step))

    def _rows(self, step: int) -> Tensor:
        epoch, batch = divmod(step, self.steps_per_epoch)
        if self._batches[0] != epoch:
            order = stream(self._seed, "order", epoch)
            shuffled = torch.randperm(len(self._parts["train"]), generator=order)
            self._batches = (epoch, torch.split(shuffled, self._task.batch_size))
        return self._batches[1][batch]


@dataclass(frozen=True, eq=False)
class Classification:
    """Tokenised data with the network for it.

    Attributes:
        name: Registry name.
        parts: Rows by split.
        model: As for :func:`~ecd_tune.tasks.glue.bert.build_classifier`.
        outputs: Classes, or 1 for a number.
        metric: See :func:`~ecd_tune.tasks.glue.metrics.score`.
        batch_size: Examples in one step; the last step of an epoch takes what is left.
        device: Where the network lies; the data stays on the CPU.
        thinned: Whether ``train`` holds some of the training rows only, as the option
            ``subset`` asks.
        size: Of the network ``tiny``.
    """

    name: str
    parts: Mapping[Split, Encoded]
    model: str
    outputs: int
    metric: str
    batch_size: int
    device: torch.device = CPU
    thinned: bool = False
    size: TinySize = field(default_factory=TinySize)

    def build(self, seed: int, stage: Stage) -> GlueProblem:
        """Make a network; only in the confirmation does it hold the test rows."""
        parts = dict(self.parts)
        if stage is not Stage.CONFIRM:
            del parts["test"]
        return GlueProblem(self, parts, seed)

    def build_published(self, seed: int) -> GlueProblem:
        """Make a network that trains on the rows that validate too, and holds the test rows.

        Where a subset trains, it is the same one as under any other protocol.
        """
        train = self.parts["train"]
        if not self.thinned:
            train = join(train, self.parts["val"])
        return GlueProblem(self, {"train": train, "test": self.parts["test"]}, seed)


def _loss(outputs: Tensor, labels: Tensor) -> Tensor:
    if labels.is_floating_point():
        return mse_loss(outputs.squeeze(1), labels)
    return cross_entropy(outputs, labels)
