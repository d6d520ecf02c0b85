"""A problem of the first form of a task of one's own."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import torch
from torch import Tensor
from torch.nn.modules.batchnorm import _BatchNorm

from ecd_tune.errors import TaskError
from ecd_tune.tasks.base import Split
from ecd_tune.tasks.own.data import Batch
from ecd_tune.tasks.own.run import Description
from ecd_tune.tasks.seeds import seed_everything

__all__ = ["ModelProblem", "total"]


class ModelProblem:
    """A model with its data, loss and score.

    What a step sees, dropout included, follows from the seed and the number of the step alone.

    Args:
        description: What the task says.
        seed: Decides order and everything else that is random.

    Attributes:
        description: What the task says.
    """

    def __init__(self, description: Description, seed: int) -> None:
        self.description, self._seed = description, seed
        self.network, self._train = description.model, description.parts["train"]
        self.parameters: list[Tensor] = [p for p in self.network.parameters() if p.requires_grad]
        self.metric: str | None = description.metric
        self.steps_per_epoch = -(-self._train.count // description.batch_size)

    def closure(self, step: int) -> Tensor:
        """Compute the loss of one batch and its gradient; moves running statistics.

        Raises:
            TaskError: The loss is no number that can be differentiated.
        """
        batch = self.batch(step)
        self.network.train()
        for parameter in self.parameters:
            parameter.grad = None
        seed_everything(self._seed, "step", step)
        with torch.enable_grad():
            loss = self.description.loss(self.network, *batch)
            _check_loss(self.description.loss, loss)
            loss.backward()  # type: ignore[no-untyped-call]
        return loss.detach()

    @torch.no_grad()
    def pass_forward(self, step: int) -> None:
        """Compute a step's loss once more as in training; moves running statistics again."""
        batch = self.batch(step)
        self.network.train()
        seed_everything(self._seed, "again", step)
        self.description.loss(self.network, *batch)

    @torch.no_grad()
    def evaluate(self, split: Split) -> Mapping[str, float]:
        """Return the metric and ``loss`` on one split, means over its examples.

        Raises:
            TaskError: The test split, in a problem built for the search.
        """
        part = self.description.parts.get(split)
        if part is None:
            raise TaskError(
                f"the {split} split is closed to a search run; build the problem with Stage.CONFIRM"
            )
        self.network.eval()
        seed_everything(self._seed, "evaluate", split)
        names = dict.fromkeys(("loss", self.description.metric))
        device = self.parameters[0].device
        sums = {name: torch.zeros((), dtype=_wide(device), device=device) for name in names}
        for batch, count in part.batches(self._seed):
            for name, function in self.judges():
                sums[name] += total(name, function, function(self.network, *batch), count)
        return {name: float(value) / part.count for name, value in sums.items()}

    def examples(self, step: int) -> int:
        """Return the number of examples of a step."""
        number, size = step % self.steps_per_epoch, self.description.batch_size
        return min(size, self._train.count - number * size)

    @torch.no_grad()
    def renew_statistics(self) -> None:
        """Recompute the running statistics of normalisations for the present parameters.

        One pass over the training data, every batch with the same weight.
        """
        layers = [m for m in self.network.modules() if isinstance(m, _BatchNorm)]
        momenta = [layer.momentum for layer in layers]
        for layer in layers:
            layer.reset_running_stats()
            layer.momentum = None
        self.network.train()
        for number in range(self.steps_per_epoch if layers else 0):
            batch, _ = self._train.batch(self._seed, 0, number)
            seed_everything(self._seed, "statistics", number)
            self.description.loss(self.network, *batch)
        for layer, momentum in zip(layers, momenta, strict=True):
            layer.momentum = momentum

    def state_dict(self) -> dict[str, Any]:
        """Return the buffers: what steps may change beside the parameters."""
        return {name: buffer.clone() for name, buffer in self.network.named_buffers()}

    @torch.no_grad()
    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Take the buffers up again.

        Args:
            state: What :meth:`state_dict` returned.

        Raises:
            ValueError: They are those of another model.
        """
        own = dict(self.network.named_buffers())
        shapes = [{k: tuple(v.shape) for k, v in held.items()} for held in (own, state)]
        if shapes[0] != shapes[1]:
            raise ValueError(f"the buffers are {shapes[0]}, the saved ones {shapes[1]}")
        for name, buffer in own.items():
            buffer.copy_(state[name])

    def batch(self, step: int) -> Batch:
        """Return the examples of a step."""
        epoch, number = divmod(step, self.steps_per_epoch)
        return self._train.batch(self._seed, epoch, number)[0]

    def judges(self) -> list[tuple[str, Callable[..., Any]]]:
        """Return what judges a split, by the name of the number."""
        score, metric = self.description.score, self.description.metric
        own = [] if score is None or metric == "loss" else [(metric, score)]
        return [("loss", self.description.loss), *own]


def _wide(device: torch.device) -> torch.dtype:
    return torch.float32 if device.type == "mps" else torch.float64


def total(name: str, function: Callable[..., Any], value: Any, count: int) -> Tensor:
    """Return the sum over a batch of what a function says of it: a mean, or one number each.

    Args:
        name: ``"loss"`` or the metric.
        function: Has said it.
        value: What it says.
        count: Examples of the batch.

    Returns:
        0-d.

    Raises:
        TaskError: It says neither.
    """
    tensor = value if isinstance(value, Tensor) else torch.as_tensor(value)
    if tensor.dim() == 0:
        return tensor.double() * count
    if len(tensor) != count:
        raise TaskError(
            f"run.{'loss' if name == 'loss' else 'score'}: {_place(function)} returned shape "
            f"{tuple(tensor.shape)} for {count} examples; one number for each, or their mean"
        )
    return tensor.double().flatten(1).mean(1).sum() if tensor.dim() > 1 else tensor.double().sum()


def _check_loss(function: Callable[..., Any], loss: Any) -> None:
    if not isinstance(loss, Tensor) or loss.numel() != 1 or loss.dim():
        found = tuple(loss.shape) if isinstance(loss, Tensor) else type(loss).__name__
        raise TaskError(
            f"run.loss: {_place(function)} returned {found}; one number is needed, a tensor of "
            "shape (), such as the mean over the batch"
        )
    if not loss.requires_grad:
        raise TaskError(
            f"run.loss: {_place(function)} returned a loss without a gradient; does it pass "
            "through the model, without detach() or .item()?"
        )


def _place(function: Callable[..., Any]) -> str:
    code = getattr(function, "__code__", None)
    name = getattr(function, "__name__", type(function).__name__)
    return f"{name} ({code.co_filename}, line {code.co_firstlineno})" if code else name
