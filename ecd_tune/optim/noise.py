"""Seeded normal draws that can be stopped and taken up again.

Draws are made several steps at a time, since a call of the generator costs as much as many
numbers. What is saved is the generator's state before the present chunk and how many of its
rows are used up, so that a restored source goes on with exactly the same numbers.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

__all__ = ["NoiseBatch", "NoiseSource"]

_CHUNK = 4096
"""Numbers drawn at once, if one step needs fewer."""


class NoiseSource:
    """Vectors of independent standard normal numbers, the same for the same seed.

    Args:
        seed: Seed of the generator.
        device: Where the numbers are drawn and lie; CPU and GPU draw different ones.
    """

    def __init__(self, seed: int, device: torch.device | str = "cpu") -> None:
        self._generator = torch.Generator(device=device).manual_seed(seed)
        self._before = self._generator.get_state()
        self._chunk: Tensor | None = None
        self._row = 0

    def draw(self, n: int, dtype: torch.dtype) -> Tensor:
        """Return the next vector.

        Args:
            n: Length; another length than before discards the rest of the chunk.
            dtype: Floating dtype; float64 and float32 draw different numbers.

        Returns:
            Shape ``[n]``; not to be written to.
        """
        chunk = self._chunk
        if chunk is None or self._row == len(chunk) or chunk.shape[1] != n or chunk.dtype != dtype:
            chunk = self.fill(n, dtype)
        row = chunk[self._row]
        self._row += 1
        return row

    def uniform(self, n: int, dtype: torch.dtype) -> Tensor:
        """Return ``n`` numbers from the uniform law on [-½, ½); discards a chunk under way."""
        self._chunk, self._row = None, 0
        device = self._generator.device
        numbers = torch.rand(n, generator=self._generator, dtype=dtype, device=device)
        self._before = self._generator.get_state()
        return numbers - 0.5

    def state_dict(self) -> dict[str, Any]:
        """Return tensors and numbers from which :meth:`load_state_dict` goes on."""
        shape = [0, 0] if self._chunk is None else list(self._chunk.shape)
        kind = "" if self._chunk is None else str(self._chunk.dtype).removeprefix("torch.")
        return {
            "generator": self._before.clone(),
            "row": self._row,
            "length": shape[1],
            "dtype": kind,
        }

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Go on where the saved source stood.

        Args:
            state: What :meth:`state_dict` returned, from a source on the same kind of device.
        """
        self._generator.set_state(state["generator"].cpu())
        self._before = self._generator.get_state()
        self._chunk, self._row = None, 0
        if state["dtype"]:
            self.fill(state["length"], getattr(torch, state["dtype"]))
            self._row = state["row"]

    def fill(self, n: int, dtype: torch.dtype) -> Tensor:
        """Draw and return the next chunk, shape ``[rows, n]``, discarding what is left."""
        self._before = self._generator.get_state()
        rows = max(1, _CHUNK // max(n, 1))
        flat = torch.randn(
            rows * n, generator=self._generator, dtype=dtype, device=self._generator.device
        )
        self._chunk, self._row = flat.view(rows, n), 0
        return self._chunk


class NoiseBatch:
    """One :class:`NoiseSource` for each of B trials, drawn together.

    Args:
        seeds: Seed of each trial.
        device: As in :class:`NoiseSource`.

    Attributes:
        sources: The source of each trial.
    """

    def __init__(self, seeds: Sequence[int], device: torch.device | str = "cpu") -> None:
        self.sources = [NoiseSource(seed, device) for seed in seeds]
        self._chunk: Tensor | None = None
        self._row = 0

    def draw(self, n: int, dtype: torch.dtype) -> Tensor:
        """Return the next vector of every trial, shape ``[B, n]``; not to be written to.

        Row b is what ``NoiseSource(seeds[b])`` gives. ``n`` and ``dtype`` never change.
        """
        if self._chunk is None or self._row == len(self._chunk):
            self._chunk = torch.stack([s.fill(n, dtype) for s in self.sources], dim=1)
            self._row = 0
        row = self._chunk[self._row]
        self._row += 1
        return row
