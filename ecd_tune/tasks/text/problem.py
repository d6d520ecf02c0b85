"""Train a small language model on characters."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

import torch
from torch import Tensor
from torch.nn.functional import cross_entropy

from ecd_tune.errors import TaskError
from ecd_tune.records import Scalar, Stage
from ecd_tune.tasks._device import CPU, choose_device, to_device
from ecd_tune.tasks._groups import group_parameters
from ecd_tune.tasks.base import Split
from ecd_tune.tasks.data import data_root
from ecd_tune.tasks.definitions import check_options
from ecd_tune.tasks.glue.bert import noise_from
from ecd_tune.tasks.seeds import stream
from ecd_tune.tasks.text.characters import ALPHABET, read_text
from ecd_tune.tasks.text.definitions import TEXT_DEFS
from ecd_tune.tasks.text.network import Transformer

__all__ = ["CharacterModel", "CharacterProblem", "Size", "make"]

_JUDGED = 1024
"""Blocks of a split that judge, at most."""

_EVALUATE = 64


class CharacterProblem:
    """A language model with its own initial weights and order of the text.

    Args:
        task: Text and settings.
        parts: Characters by split; a split that is missing cannot be evaluated.
        seed: Decides initial weights, and where the blocks of each step begin.
    """

    metric: str | None = "loss"

    def __init__(self, task: CharacterModel, parts: Mapping[Split, Tensor], seed: int) -> None:
        self._task, self._parts, self._seed = task, parts, seed
        size = task.size
        with noise_from(stream(seed, "init")):
            network = Transformer(len(ALPHABET), size.width, size.layers, size.heads, size.block)
        self.network = network.to(task.device)
        self.parameters: list[Tensor] = list(self.network.parameters())
        self.groups = group_parameters(self.parameters, [network.symbols.weight])
        self.steps_per_epoch = task.epoch_steps

    def closure(self, step: int) -> Tensor:
        """Compute the mean cross-entropy of one batch, in nats per character, and its gradient."""
        for parameter in self.parameters:
            parameter.grad = None
        with torch.enable_grad():
            loss = self._loss(self._batch(step)).mean()
            loss.backward()  # type: ignore[no-untyped-call]
        return loss.detach()

    @torch.no_grad()
    def evaluate(self, split: Split) -> Mapping[str, float]:
        """Return ``loss``, nats per character, on the first blocks of one split.

        Raises:
            TaskError: The test split, in a problem built for the search.
        """
        if split not in self._parts:
            raise TaskError(
                f"char_lm: the {split} split is closed to a search run; build the problem with "
                "Stage.CONFIRM"
            )
        window = self._task.size.block + 1
        blocks = self._parts[split].unfold(0, window, window)[:_JUDGED]
        losses = torch.cat([self._loss(batch) for batch in torch.split(blocks, _EVALUATE)])
        return {"loss": float(losses.double().mean())}

    def examples(self, step: int) -> int:
        """Return the number of blocks in a step."""
        return self._task.batch_size

    def _loss(self, blocks: Tensor) -> Tensor:
        # [B, T + 1] to [B T]: each character but the first is predicted from those before it.
        blocks = to_device(blocks.long(), self._task.device)
        logits = self.network(blocks[:, :-1])
        target = blocks[:, 1:].flatten()
        return cross_entropy(logits.flatten(0, 1).float(), target, reduction="none")

    def _batch(self, step: int) -> Tensor:
        text, window = self._parts["train"], self._task.size.block + 1
        places = stream(self._seed, "batch", step)
        shape = (self._task.batch_size, 1)
        first = torch.randint(len(text) - window + 1, shape, generator=places)
        return text[first + torch.arange(window)]


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
class CharacterModel:
    """Text with the network for it.

    Attributes:
        parts: Characters by split, shape ``[N]``, uint8.
        size: Of the network.
        batch_size: Blocks in one step.
        epoch_steps: Steps that make one epoch.
        device: Where the network lies; the text stays on the CPU.
    """

    parts: Mapping[Split, Tensor]
    size: Size = field(default_factory=Size)
    batch_size: int = 32
    epoch_steps: int = 100
    device: torch.device = CPU

    def build(self, seed: int, stage: Stage) -> CharacterProblem:
        """Make a network; only in the confirmation does it hold the test text."""
        parts = dict(self.parts)
        if stage is not Stage.CONFIRM:
            del parts["test"]
        return CharacterProblem(self, parts, seed)

    def build_published(self, seed: int) -> CharacterProblem:
        """Make a network that trains on the text that validates too, and holds the test text."""
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
    return CharacterModel(
        parts=read_text(data_root(), int(chosen["split_seed"])),
        size=size,
        batch_size=int(chosen["batch_size"]),
        epoch_steps=int(chosen["epoch_steps"]),
        device=choose_device(str(chosen["device"])),
    )
