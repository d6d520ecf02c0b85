"""Independent streams of random numbers from one seed."""

from __future__ import annotations

from zlib import crc32

import numpy as np
import torch

__all__ = ["stream"]


def stream(seed: int, *purpose: str | int) -> torch.Generator:
    """Return a generator for one purpose of one run.

    Two purposes of one seed are independent. Seeding all of them alike would not do: initial
    weights, order of the data and the optimizer's noise would come from the same numbers.

    Args:
        seed: Seed of the run, >= 0.
        purpose: What it is for, for example ``"order", epoch``.

    Returns:
        A new generator on the CPU.
    """
    words = [crc32(part.encode()) if isinstance(part, str) else part for part in purpose]
    sequence = np.random.SeedSequence(seed, spawn_key=tuple(words))
    return torch.Generator().manual_seed(int(sequence.generate_state(1, np.uint64)[0]) >> 1)
