"""Weights of many epochs on disk, read once at the end of a run."""

from __future__ import annotations

import shutil
import tempfile
import weakref
from collections.abc import Callable, Iterable
from pathlib import Path

import torch

from ecd_tune.errors import TaskError
from ecd_tune.objective.checkpoints.checkpoint import CheckpointHandle
from ecd_tune.objective.training.means import Weights
from ecd_tune.tasks import Problem

__all__ = ["EpochStore"]

_GIB = 2**30


class EpochStore:
    """Weights by epoch, in a temporary folder of this process.

    Args:
        max_gib: Maximum size in GiB.
        count: Epochs that will be kept.
        copies: Returns the handle to which an epoch's file is copied, where a resumed run finds it;
            None for a run that has no checkpoints.
    """

    def __init__(
        self, max_gib: float, count: int, copies: Callable[[int], CheckpointHandle] | None = None
    ) -> None:
        self._max_gib, self._count, self._copies = max_gib, count, copies
        self._copied: dict[int, CheckpointHandle] = {}
        self._temporary: Path | None = None

    def keep(self, epoch: int, weights: Weights) -> None:
        """Write the weights of one epoch; a file of that epoch is replaced.

        Args:
            epoch: Their epoch.
            weights: The weights.

        Raises:
            TaskError: All epochs together would not fit into the bound.
        """
        self._check_size(weights)
        path = self._path(epoch)
        torch.save(weights.to_dict(), path)
        if self._copies is not None:
            self._copied[epoch] = self._copies(epoch)
            self._copied[epoch].save(path.read_bytes())

    def take(self, epoch: int, like: Problem) -> Weights:
        """Read the weights of one epoch.

        Args:
            epoch: Their epoch.
            like: A problem that they must fit.

        Returns:
            The weights.
        """
        # They may have come from a place where others write: nothing in the file is run.
        held = torch.load(self._path(epoch), map_location="cpu", weights_only=True)
        return Weights.from_dict(held, like)

    def check(self, epochs: Iterable[int]) -> None:
        """Check that some epochs are there, and fetch those that are but copied.

        Args:
            epochs: The epochs.

        Raises:
            ValueError: One is not.
        """
        missing = [epoch for epoch in epochs if not self._fetch(epoch)]
        if missing:
            raise ValueError(f"the weights of epoch {missing[0]} are missing")

    def clear(self) -> None:
        """Remove all of it, the copies too."""
        for copy in self._copied.values():
            copy.clear()
        self._copied.clear()
        if self._temporary is not None:
            shutil.rmtree(self._temporary, ignore_errors=True)
            self._temporary = None

    def _fetch(self, epoch: int) -> bool:
        path = self._path(epoch)
        if not path.is_file() and self._copies is not None:
            self._copied[epoch] = self._copies(epoch)
            data = self._copied[epoch].load()
            if data is not None:
                path.write_bytes(data)
        return path.is_file()

    def _check_size(self, weights: Weights) -> None:
        size = sum(p.numel() * p.element_size() for p in weights.parameters)
        needed = size * self._count / _GIB
        if needed > self._max_gib:
            raise TaskError(
                f"[training.averaging]: the weights of {self._count} epochs need {needed:.3g} "
                f"GiB of disk, above max_gib = {self._max_gib:g}; raise it, or start later"
            )

    def _path(self, epoch: int) -> Path:
        if self._temporary is None:
            self._temporary = Path(tempfile.mkdtemp(prefix="ecd_tune-"))
            # A run that is interrupted leaves without a word.
            weakref.finalize(self, shutil.rmtree, self._temporary, ignore_errors=True)
        return self._temporary / f"{epoch:06d}.weights"
