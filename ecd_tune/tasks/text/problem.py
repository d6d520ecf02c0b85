"""Train a small language model on characters."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from functools import lru_cache

import torch
from torch import Tensor, nn
from torch.nn.functional import cross_entropy

from ecd_tune.errors import TaskError
from ecd_tune.records import Scalar, Stage
from ecd_tune.tasks._device import CPU, choose_device
from ecd_tune.tasks._groups import group_parameters
from ecd_tune.tasks.base import Split, part_of
from ecd_tune.tasks.counter import integers
from ecd_tune.tasks.data import data_root
from ecd_tune.tasks.definitions import check_options
from ecd_tune.tasks.functional import Batch, FunctionalProblem, Measured
from ecd_tune.tasks.seeds import derive_seed, noise_from, stream
from ecd_tune.tasks.stacked_networks import StacksNetworks
from ecd_tune.tasks.text.characters import ALPHABET, read_text
from ecd_tune.tasks.text.definitions import TEXT_DEFS
from ecd_tune.tasks.text.network import Transformer

__all__ = ["CharacterModel", "CharacterProblem", "Size", "make"]

_EVALUATED = 1024
"""Maximum number of blocks for an evaluation."""

_EVALUATE = 64


class CharacterProblem(FunctionalProblem):
    """A language model with its own initial weights and order of the text.

    Args:
        task: Text and settings.
        parts: Characters by split; a split that is missing cannot be evaluated.
        seed: Decides initial weights, and where the blocks of each step begin.
    """

    metric: str | None = "loss"

    def __init__(self, task: CharacterModel, parts: Mapping[Split, Tensor], seed: int) -> None:
        self._task, self._parts = task, parts
        size = task.size
        with noise_from(stream(seed, "init")):
            network = Transformer(len(ALPHABET), size.width, size.layers, size.heads, size.block)
        super().__init__(network.to(task.device), seed, task.epoch_steps)
        self.groups = group_parameters(self.parameters, [network.symbols.weight])
        self._window = size.block + 1
        self._start = lru_cache(maxsize=2)(self._draw_start)

    def batch(self, step: int) -> Batch:
        """Return the blocks of a step, ``[B, T + 1]``."""
        text, size = self._parts["train"], self._task.batch_size
        epoch, number = divmod(step, self.steps_per_epoch)
        examples = torch.arange(number * size, (number + 1) * size, device=text.device)
        places = torch.arange(self._window, device=text.device)
        first = integers(self._start(epoch), examples, len(text) - self._window + 1)
        return (text[first[:, None] + places].long(),)

    def loss(self, network: nn.Module, *batch: Tensor) -> Tensor:
        """Return the mean cross-entropy, in nats per character."""
        return _losses(network, *batch).mean()

    def evaluation_batches(self, split: Split) -> Iterator[tuple[Batch, int]]:
        """Iterate over the first blocks of a split.

        Yields:
            Blocks, and their number.

        Raises:
            TaskError: The test split, in a problem built for the search.
        """
        part = part_of("char_lm", self._parts, split)
        everything = part.unfold(0, self._window, self._window)[:_EVALUATED]
        for blocks in torch.split(everything, _EVALUATE):
            yield (blocks.long(),), len(blocks)

    def measure(self, network: nn.Module, *batch: Tensor) -> tuple[Tensor, ...]:
        """Return the loss of each character."""
        return (_losses(network, *batch),)

    def summarise(self, split: Split, measured: Measured) -> Mapping[str, float]:
        """Return ``loss``, nats per character."""
        return {"loss": float(torch.cat([losses for (losses,), _ in measured]).double().mean())}

    def examples(self, step: int) -> int:
        """Return the number of blocks in a step."""
        return self._task.batch_size

    def _draw_start(self, epoch: int) -> Tensor:
        """Return the seed of the positions of an epoch's blocks."""
        return torch.tensor(derive_seed(self.seed, "batch", epoch), device=self._task.device)


def _losses(network: nn.Module, blocks: Tensor) -> Tensor:
    # [B, T + 1] to [B T]: each character but the first is predicted from those before it.
    logits = network(blocks[:, :-1])
    target = blocks[:, 1:].flatten()
    return cross_entropy(logits.flatten(0, 1).float(), target, reduction="none")


@dataclass(frozen=True)
class Size:
    """Size of the network.

    Attributes:
        width: Of the residual stream.
        layers: Number of layers.
        heads: Attention heads of a layer.
        block: Characters of a block.
    """

    width: int = 64
    layers: int = 2
    heads: int = 2
    block: int = 64


@dataclass(frozen=True, eq=False)
class CharacterModel(StacksNetworks):
    """Text with the network for it.

    Attributes:
        parts: Characters by split, shape ``[N]``, uint8.
        size: Of the network.
        batch_size: Blocks in one step.
        epoch_steps: Steps that make one epoch.
        device: Device of the network and the text.
    """

    parts: Mapping[Split, Tensor]
    size: Size = field(default_factory=Size)
    batch_size: int = 32
    epoch_steps: int = 100
    device: torch.device = CPU

    def build(self, seed: int, stage: Stage) -> CharacterProblem:
        """Build a network; it holds the test text only in the confirmation."""
        parts = dict(self.parts)
        if stage is not Stage.CONFIRM:
            del parts["test"]
        return CharacterProblem(self, parts, seed)

    def build_published(self, seed: int) -> CharacterProblem:
        """Build a network that also trains on the validation text, and holds the test text."""
        train = torch.cat([self.parts["train"], self.parts["val"]])
        return CharacterProblem(self, {"train": train, "test": self.parts["test"]}, seed)


def make(**options: Scalar) -> CharacterModel:
    """Make the task.

    Args:
        **options: As declared in :mod:`ecd_tune.tasks.text.definitions`.

    Returns:
        The task.

    Raises:
        TaskError: An option is not allowed, or files are missing.
    """
    chosen = check_options(TEXT_DEFS["char_lm"], options)
    size = Size(*(int(chosen[name]) for name in ("width", "layers", "heads", "block")))
    if size.width % size.heads:
        raise TaskError(f"char_lm: width = {size.width} must be a multiple of heads = {size.heads}")
    device = choose_device(str(chosen["device"]))
    texts = read_text(data_root(), int(chosen["split_seed"]))
    return CharacterModel(
        parts={split: text.to(device) for split, text in texts.items()},
        size=size,
        batch_size=int(chosen["batch_size"]),
        epoch_steps=int(chosen["epoch_steps"]),
        device=device,
    )
