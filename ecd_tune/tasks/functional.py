"""A network whose training loss is a pure function of its tensors and a batch."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from functools import lru_cache
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm

from ecd_tune.tasks.base import Split
from ecd_tune.tasks.counter import CounterDropout, has_dropout
from ecd_tune.tasks.seeds import noise_from, stream

__all__ = ["Batch", "FunctionalProblem", "Measured"]

Batch = tuple[Any, ...]
"""Tensors, where problems are to be stacked; then of equal shape for the same step of an epoch."""

Measured = Sequence[tuple[tuple[Tensor, ...], int]]
"""Result of :meth:`FunctionalProblem.measure` for each batch, and its number of examples."""


class FunctionalProblem(ABC):
    """A problem defined by its batches and by functions of its network.

    The data of a step, dropout included, depends only on the seed and the step number, so that
    :class:`~ecd_tune.tasks.stacked_networks.StackedNetworks` can compute many at once.

    Args:
        network: The network, with its initial values, on its device.
        seed: Decides everything random.
        steps_per_epoch: Steps that make one epoch.

    Attributes:
        network: The network.
        parameters: Those of the network that are trained.
        steps_per_epoch: As given.
    """

    metric: str | None = None

    def __init__(self, network: nn.Module, seed: int, steps_per_epoch: int) -> None:
        self.network, self.seed, self.steps_per_epoch = network, seed, steps_per_epoch
        self.parameters: list[Tensor] = [p for p in network.parameters() if p.requires_grad]
        self._keys = lru_cache(maxsize=2)(self._draw_keys) if has_dropout(network) else None
        self._last: tuple[int, Batch] | None = None

    @abstractmethod
    def batch(self, step: int) -> Batch:
        """Return the examples of a step, on the network's device.

        Args:
            step: Number of the step, from 0.
        """

    @abstractmethod
    def loss(self, network: nn.Module, *batch: Any) -> Tensor:
        """Return the training loss of a batch, 0-d; a pure function of its arguments.

        Args:
            network: The network, with any values.
            batch: As :meth:`batch` returns it.
        """

    @abstractmethod
    def evaluation_batches(self, split: Split) -> Iterator[tuple[Batch, int]]:
        """Iterate over a split for evaluation, with the number of examples of each batch.

        Args:
            split: The split; the same for every seed.

        Raises:
            TaskError: The test split, in a problem built for the search.
        """

    @abstractmethod
    def measure(self, network: nn.Module, *batch: Any) -> tuple[Tensor, ...]:
        """Return the measurements of one batch of a split; a pure function of its arguments.

        Args:
            network: The network, with any values.
            batch: As :meth:`evaluation_batches` returns it.
        """

    @abstractmethod
    def summarise(self, split: Split, measured: Measured) -> Mapping[str, float]:
        """Return the metrics of a split, ``loss`` among them.

        Args:
            split: The split.
            measured: Of its batches, in their order.
        """

    @abstractmethod
    def examples(self, step: int) -> int:
        """Return the number of examples in a step."""

    def stack_batches(self, problems: Sequence[FunctionalProblem], steps: Sequence[int]) -> Batch:
        """Return batches of like problems, each tensor with the problems as its first dimension.

        Args:
            problems: Of the same task.
            steps: Number of the step of each; their batches have equal numbers of examples.
        """
        batches = [p.batch(step) for p, step in zip(problems, steps, strict=True)]
        return tuple(torch.stack(column) for column in zip(*batches, strict=True))

    def begin_pass(self, *purpose: str | int) -> None:  # noqa: B027  # most need nothing
        """Hook before the single network of this problem processes a batch.

        Args:
            purpose: As for :func:`~ecd_tune.tasks.seeds.derive_seed`.
        """

    def check_loss(self, loss: Any) -> None:  # noqa: B027
        """Check the result of :meth:`loss`; raises if it is not a loss."""

    def closure(self, step: int) -> Tensor:
        """Compute the loss of one batch and its gradient; moves running statistics."""
        self.network.train()
        for parameter in self.parameters:
            parameter.grad = None
        self._last = None  # only one batch is on the device at a time
        batch = self.batch(step)
        self._last = (step, batch)
        self.begin_pass("step", step)
        with torch.enable_grad(), self._drawing(step, "step"):
            loss = self.loss(self.network, *batch)
            self.check_loss(loss)
            loss.backward()  # type: ignore[no-untyped-call]
        return loss.detach()

    def training_loss(self, network: nn.Module, key: Tensor | None, *batch: Any) -> Tensor:
        """Return the loss of a batch with the dropout of a key.

        Args:
            network: The network, with any values.
            key: See :class:`~ecd_tune.tasks.counter.CounterDropout`; None: none is drawn.
            batch: As :meth:`batch` returns it.
        """
        with nullcontext() if key is None else CounterDropout(key):
            return self.loss(network, *batch)

    def key(self, step: int) -> Tensor | None:
        """Return the key of the dropout of a step, 0-d, or None without dropout.

        Args:
            step: Number of the step, from 0.
        """
        if self._keys is None:
            return None
        epoch, number = divmod(step, self.steps_per_epoch)
        return self._keys(epoch)[number]

    @torch.no_grad()
    def pass_forward(self, step: int) -> None:
        """Run the network on a step's batch once more; moves running statistics again."""
        last = self._last
        self.network.train()
        batch = last[1] if last is not None and last[0] == step else self.batch(step)
        self.begin_pass("again", step)
        with self._drawing(step, "again"):
            self.loss(self.network, *batch)

    @torch.no_grad()
    def evaluate(self, split: Split) -> Mapping[str, float]:
        """Return the metrics of one split, with the running statistics and without dropout.

        Raises:
            TaskError: The test split, in a problem built for the search.
        """
        self.network.eval()
        self.begin_pass("evaluate", split)
        # Nothing is read here: on a GPU no batch waits for the one before.
        measured = [
            (self.measure(self.network, *batch), count)
            for batch, count in self.evaluation_batches(split)
        ]
        return self.summarise(split, measured)

    @torch.no_grad()
    def renew_statistics(self) -> None:
        """Recompute the running statistics of normalisations for the present parameters.

        One pass over the training data as in the first epoch, every batch with the same weight (a
        cumulative average): which an averaged network needs before its evaluation.
        """
        layers = [m for m in self.network.modules() if isinstance(m, _BatchNorm)]
        momenta = [layer.momentum for layer in layers]
        for layer in layers:
            layer.reset_running_stats()
            layer.momentum = None
        for step in range(self.steps_per_epoch if layers else 0):
            self._last = None
            self.pass_forward(step)
        for layer, momentum in zip(layers, momenta, strict=True):
            layer.momentum = momentum

    def state_dict(self) -> dict[str, Any]:
        """Return the buffers: the only state besides the parameters that steps change."""
        return {name: buffer.clone() for name, buffer in self.network.named_buffers()}

    @torch.no_grad()
    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Restore the buffers.

        Args:
            state: Returned by :meth:`state_dict`.

        Raises:
            ValueError: They are those of another network.
        """
        own = dict(self.network.named_buffers())
        shapes = [{k: tuple(v.shape) for k, v in held.items()} for held in (own, state)]
        if shapes[0] != shapes[1]:
            raise ValueError(f"the buffers have shapes {shapes[0]}, the saved ones {shapes[1]}")
        for name, buffer in own.items():
            buffer.copy_(state[name])

    def _drawing(self, step: int, purpose: str) -> AbstractContextManager[Any]:
        """Return the context in which the dropout of a pass is drawn."""
        key = self.key(step)
        if key is None:
            return nullcontext()
        if getattr(self.network, "_compiled_call_impl", None) is not None:
            # A compiled network draws only from the global generators.
            return noise_from(stream(self.seed, "dropout", purpose, step), key.device)
        return CounterDropout(key if purpose == "step" else ~key)

    def _draw_keys(self, epoch: int) -> Tensor:
        generator = stream(self.seed, "dropout", epoch)
        keys = torch.randint(2**63 - 1, (self.steps_per_epoch,), generator=generator)
        return keys.to(self.parameters[0].device)
