"""The data of a user task: tensors in memory, or a data set that a DataLoader reads.

The examples of a step depend only on the seed and the step number, and so do the random numbers
that a data set draws for each example: any step can be repeated.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import DataLoader, Dataset, IterableDataset, TensorDataset

from ecd_tune.errors import TaskError
from ecd_tune.tasks.seeds import seed_everything, stream

__all__ = ["DataSetPart", "ExampleSplit", "Reading", "TensorPart", "make_part"]

Batch = tuple[Any, ...]


@dataclass(frozen=True)
class Reading:
    """How examples become batches.

    Attributes:
        batch_size: Examples in one step; the last step of an epoch takes what is left.
        workers: Processes of the DataLoader that read a data set; 0 reads in this one.
        collate: Makes a batch of a list of examples; None as the DataLoader does by itself.
        device: Device of the model.
    """

    batch_size: int
    workers: int
    collate: Callable[[list[Any]], Any] | None
    device: torch.device


class ExampleSplit(Protocol):
    """The examples of one split."""

    @property
    def count(self) -> int:
        """How many examples there are."""
        ...

    def batch(self, seed: int, epoch: int, number: int) -> tuple[Batch, int]:
        """Return one batch of a shuffled epoch, and its number of examples."""
        ...

    def batches(self, seed: int) -> Iterator[tuple[Batch, int]]:
        """Iterate over all examples in their order, with the number of each batch."""
        ...


class TensorPart:
    """Examples in tensors, on the model's device.

    Args:
        tensors: Each with the examples as its first dimension.
        reading: How they become batches.

    Attributes:
        tensors: The tensors.
    """

    def __init__(self, tensors: tuple[Tensor, ...], reading: Reading) -> None:
        self.tensors = tuple(tensor.to(reading.device) for tensor in tensors)
        self._reading = reading
        self._order: tuple[tuple[int, int], tuple[Tensor, ...]] | None = None

    @property
    def count(self) -> int:
        """How many examples there are."""
        return len(self.tensors[0])

    def batch(self, seed: int, epoch: int, number: int) -> tuple[Batch, int]:
        """Return one batch of a shuffled epoch, and its number of examples."""
        if self._order is None or self._order[0] != (seed, epoch):
            rows = _shuffle(self.count, seed, epoch).to(self._reading.device)
            self._order = (seed, epoch), torch.split(rows, self._reading.batch_size)
        rows = self._order[1][number]
        return tuple(tensor[rows] for tensor in self.tensors), len(rows)

    def batches(self, seed: int) -> Iterator[tuple[Batch, int]]:
        """Iterate over all examples in their order.

        Yields:
            A batch, and its number of examples.
        """
        split = (torch.split(tensor, self._reading.batch_size) for tensor in self.tensors)
        for parts in zip(*split, strict=True):
            yield parts, len(parts[0])


class DataSetPart:
    """Examples of a torch data set, read by a DataLoader.

    Args:
        dataset: Has a length, and examples by number.
        reading: How they become batches.
    """

    def __init__(self, dataset: Dataset[Any], reading: Reading) -> None:
        self._dataset, self._reading = dataset, reading
        self._open: tuple[tuple[int, int, int], Iterator[Any]] | None = None
        self._last: tuple[tuple[int, int, int], Any] | None = None

    @property
    def count(self) -> int:
        """How many examples there are."""
        return len(self._dataset)  # type: ignore[arg-type]

    def batch(self, seed: int, epoch: int, number: int) -> tuple[Batch, int]:
        """Return one batch of a shuffled epoch, and its number of examples."""
        wanted, size = (seed, epoch, number), self._reading.batch_size
        if self._last is None or self._last[0] != wanted:
            if self._open is None or self._open[0] != wanted:
                rows = torch.split(_shuffle(self.count, seed, epoch), size)[number:]
                self._open = wanted, self._read([part.tolist() for part in rows], seed, epoch)
            found = next(self._open[1])
            self._open = (seed, epoch, number + 1), self._open[1]
            self._last = wanted, found
        return self._as_batch(self._last[1]), min(size, self.count - number * size)

    def batches(self, seed: int) -> Iterator[tuple[Batch, int]]:
        """Iterate over all examples in their order.

        Yields:
            A batch, and its number of examples.
        """
        parts = torch.split(torch.arange(self.count), self._reading.batch_size)
        rows = [part.tolist() for part in parts]
        for part, found in zip(rows, self._read(rows, seed, -1), strict=True):
            yield self._as_batch(found), len(part)

    def close(self) -> None:
        """End the processes that read ahead: the garbage collector would wait seconds for each."""
        self._open = None

    def _read(self, rows: list[list[int]], seed: int, epoch: int) -> Iterator[Any]:
        loader: DataLoader[Any] = DataLoader(
            _Seeded(self._dataset, seed, epoch),
            batch_sampler=rows,
            num_workers=self._reading.workers,
            collate_fn=self._reading.collate,
            generator=torch.Generator().manual_seed(0),  # the global one is the task's
        )
        return iter(loader)

    def _as_batch(self, batch: Any) -> Batch:
        moved = _to_device(batch, self._reading.device)
        return tuple(moved) if isinstance(moved, (list, tuple)) else (moved,)


class _Seeded(Dataset[Any]):
    """A data set whose examples draw the same random numbers whenever they are read.

    Args:
        dataset: The data set.
        seed: Of the run.
        epoch: In which it is read; -1 in no epoch of the training.
    """

    def __init__(self, dataset: Dataset[Any], seed: int, epoch: int) -> None:
        self._dataset, self._seed, self._epoch = dataset, seed, epoch

    def __getitem__(self, index: int) -> Any:
        seed_everything(self._seed, "example", self._epoch + 1, index)
        return self._dataset[index]


def make_part(split: str, data: Any, reading: Reading) -> ExampleSplit:
    """Convert a user's data of one split.

    Args:
        split: ``train``, ``val`` or ``test``, for messages.
        data: A tensor or array, a tuple or list of them, a TensorDataset, or any other data set
            with a length. Arrays of floating point become torch's default dtype, those of whole
            numbers with a sign int64.
        reading: How its examples become batches.

    Returns:
        The examples.

    Raises:
        TaskError: It is none of these, empty, or of tensors of unlike lengths.
    """
    if isinstance(data, TensorDataset):
        data = data.tensors
    if isinstance(data, DataLoader):
        raise TaskError(
            f"run.data({split}=…): is a DataLoader, whose order does not depend on the seed; pass "
            "its dataset, with batch_size, workers and collate"
        )
    if isinstance(data, IterableDataset):
        raise TaskError(
            f"run.data({split}=…): is an IterableDataset, without random access; use your own loop "
            "(run.keep, run.optimizer, run.epochs)"
        )
    part: ExampleSplit
    if isinstance(data, Dataset):
        part = DataSetPart(data, reading)
    else:
        tensors = tuple(_to_tensor(split, one) for one in _as_tuple(data))
        lengths = {len(tensor) for tensor in tensors}
        if len(lengths) != 1:
            shapes = ", ".join(str(tuple(tensor.shape)) for tensor in tensors) or "none"
            raise TaskError(
                f"run.data({split}=…): tensors need the same first dimension, the number of "
                f"examples; got {shapes}"
            )
        part = TensorPart(tensors, reading)
    if not part.count:
        raise TaskError(f"run.data({split}=…): has no examples")
    return part


def _as_tuple(data: Any) -> tuple[Any, ...]:
    return tuple(data) if isinstance(data, (tuple, list)) else (data,)


def _to_tensor(split: str, value: Any) -> Tensor:
    if isinstance(value, Tensor) and value.dim():
        return value.detach()
    if not isinstance(value, np.ndarray) or not value.ndim:
        raise TaskError(
            f"run.data({split}=…): contains {type(value).__name__}; pass tensors or arrays whose "
            "first dimension is the number of examples, such as (x, y), or a torch Dataset"
        )
    tensor = torch.from_numpy(np.ascontiguousarray(value))
    if tensor.is_floating_point():
        return tensor.to(torch.get_default_dtype())
    return tensor.long() if value.dtype.kind == "i" else tensor


def _shuffle(count: int, seed: int, epoch: int) -> Tensor:
    return torch.randperm(count, generator=stream(seed, "order", epoch))


def _to_device(value: Any, device: torch.device) -> Any:
    if isinstance(value, Mapping):
        return {key: _to_device(own, device) for key, own in value.items()}
    if isinstance(value, (list, tuple)):
        return [_to_device(own, device) for own in value]
    return value.to(device) if isinstance(value, Tensor) else value
