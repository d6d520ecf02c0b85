"""Fine-tune BERT on a GLUE task."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property, lru_cache
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn.functional import cross_entropy, mse_loss, pad

from ecd_tune.records import Stage
from ecd_tune.tasks._device import CPU
from ecd_tune.tasks._groups import group_parameters
from ecd_tune.tasks.base import Split, part_of
from ecd_tune.tasks.functional import Batch, FunctionalProblem, Measured
from ecd_tune.tasks.glue.bert import TinySize, build_classifier
from ecd_tune.tasks.glue.metrics import score
from ecd_tune.tasks.glue.tokens import Encoded, join
from ecd_tune.tasks.seeds import stream
from ecd_tune.tasks.stacked_networks import StacksNetworks

__all__ = ["Classification", "GlueProblem"]

_EVALUATE = 32
_SOURCES = ("matched", "mismatched")


class GlueProblem(FunctionalProblem):
    """A classifier with its own initial weights, order of the data and dropout.

    Args:
        task: Data and settings.
        parts: Rows by split; a split that is missing cannot be evaluated.
        seed: Decides initial weights, order and dropout.
    """

    def __init__(self, task: Classification, parts: Mapping[Split, Encoded], seed: int) -> None:
        self._task, self._parts = task, parts
        network = build_classifier(task.model, task.outputs, stream(seed, "init"), task.size)
        steps = -(-len(parts["train"]) // task.batch_size)
        super().__init__(network.to(task.device), seed, steps)
        self.metric: str | None = task.metric
        words: Any = self.network.get_input_embeddings
        self.groups = group_parameters(self.parameters, [words().weight])
        self._there = {name: task.place(part) for name, part in parts.items()}
        self._epoch = lru_cache(maxsize=2)(self._draw_epoch)

    def batch(self, step: int) -> Batch:
        """Return tokens, types and mask, ``[B, T]`` each, and labels ``[B]`` of a step."""
        rows, longest = self._rows(step)
        train = self._there["train"]
        return (*train.batch(rows, longest), train.labels[rows])

    def stack_batches(self, problems: Sequence[FunctionalProblem], steps: Sequence[int]) -> Batch:
        """Return batches with padding to the longest of all of them."""
        batches = [p.batch(step) for p, step in zip(problems, steps, strict=True)]
        longest = max(tokens.shape[1] for tokens, *_ in batches)
        *tokens, labels = zip(*batches, strict=True)
        filled = [[pad(own, (0, longest - own.shape[1])) for own in column] for column in tokens]
        return tuple(torch.stack(column) for column in (*filled, list(labels)))

    def loss(self, network: nn.Module, *batch: Tensor) -> Tensor:
        """Return cross-entropy or mean squared error."""
        *tokens, labels = batch
        return _loss(_logits(network, *tokens), labels)

    def evaluation_batches(self, split: Split) -> Iterator[tuple[Batch, int]]:
        """Iterate over a split, rows of like length together: less padding.

        Yields:
            Tokens, types and mask of a batch, and its number of rows.

        Raises:
            TaskError: The test split, in a problem built for the search.
        """
        part = part_of(self._task.name, self._parts, split)
        order = _by_length(part)
        for rows, longest in _batches(part, order, _EVALUATE, self._task.device):
            yield self._there[split].batch(rows, longest), len(rows)

    def measure(self, network: nn.Module, *batch: Tensor) -> tuple[Tensor, ...]:
        """Return the logits."""
        return (_logits(network, *batch),)

    def summarise(self, split: Split, measured: Measured) -> Mapping[str, float]:
        """Return ``loss`` and the task's metric on one split.

        Where MNLI has two test files, its metric is the mean over both, and both are there too,
        as ``accuracy_matched`` and ``accuracy_mismatched``.
        """
        part = self._parts[split]
        outputs = torch.empty(len(part), self._task.outputs)
        outputs[_by_length(part)] = torch.cat([logits for (logits,), _ in measured]).cpu()
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

    def examples(self, step: int) -> int:
        """Return the number of rows in a step."""
        return len(self._rows(step)[0])

    def _rows(self, step: int) -> tuple[Tensor, int]:
        epoch, batch = divmod(step, self.steps_per_epoch)
        return self._epoch(epoch)[batch]

    def _draw_epoch(self, epoch: int) -> list[tuple[Tensor, int]]:
        train, generator = self._parts["train"], stream(self.seed, "order", epoch)
        order = torch.randperm(len(train), generator=generator)
        return _batches(train, order, self._task.batch_size, self._task.device)


@dataclass(frozen=True, eq=False)
class Classification(StacksNetworks):
    """Tokenised data with the network for it.

    Attributes:
        name: Registry name.
        parts: Rows by split.
        model: As for :func:`~ecd_tune.tasks.glue.bert.build_classifier`.
        outputs: Classes, or 1 for a number.
        metric: See :func:`~ecd_tune.tasks.glue.metrics.score`.
        batch_size: Examples in one step; the last step of an epoch takes what is left.
        device: Device of the network, and the tokens.
        thinned: Whether ``train`` contains only some of the training rows (option ``subset``).
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

    @cached_property
    def _placed(self) -> dict[int, Encoded]:
        return {id(part): part.to(self.device) for part in self.parts.values()}

    def place(self, part: Encoded) -> Encoded:
        """Return a part on the network's device; those of the task are copied once.

        Args:
            part: One of ``parts``, or another.
        """
        return self._placed.get(id(part)) or part.to(self.device)

    def build(self, seed: int, stage: Stage) -> GlueProblem:
        """Build a network; it holds the test rows only in the confirmation."""
        parts = dict(self.parts)
        if stage is not Stage.CONFIRM:
            del parts["test"]
        return GlueProblem(self, parts, seed)

    def build_published(self, seed: int) -> GlueProblem:
        """Build a network that also trains on the validation rows, and holds the test rows.

        Where a subset trains, it is the same one as under any other protocol.
        """
        train = self.parts["train"]
        if not self.thinned:
            train = join(train, self.parts["val"])
        return GlueProblem(self, {"train": train, "test": self.parts["test"]}, seed)


def _batches(
    part: Encoded, order: Tensor, size: int, device: torch.device
) -> list[tuple[Tensor, int]]:
    """Split an order into batches: rows on a device, padded to the longest of them."""
    lengths = [int(own.max()) for own in torch.split(part.lengths[order], size)]
    return list(zip(torch.split(order.to(device), size), lengths, strict=True))


def _by_length(part: Encoded) -> Tensor:
    return part.lengths.argsort(stable=True)


def _logits(network: nn.Module, ids: Tensor, types: Tensor, mask: Tensor) -> Tensor:
    # The additive mask: for a mask of another shape the library reads its values.
    added = (1.0 - mask)[:, None, None, :] * torch.finfo(torch.float32).min
    added = added.expand(-1, 1, mask.shape[1], -1)
    found = network(input_ids=ids, token_type_ids=types, attention_mask=added)
    logits: Tensor = found.logits
    return logits.float()  # half precision is for inside the network


def _loss(outputs: Tensor, labels: Tensor) -> Tensor:
    if labels.is_floating_point():
        return mse_loss(outputs.squeeze(1), labels)
    return cross_entropy(outputs, labels)
