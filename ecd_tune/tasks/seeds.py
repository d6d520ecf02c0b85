"""Independent streams of random numbers from one seed."""

from __future__ import annotations

import random
from collections.abc import Iterator
from contextlib import contextmanager
from zlib import crc32

import numpy as np
import torch

from ecd_tune.tasks._device import CPU

__all__ = ["derive_seed", "noise_from", "seed_everything", "stream"]


def derive_seed(seed: int, *purpose: str | int) -> int:
    """Return a seed for one purpose of one run.

    Two purposes of one seed are independent. One seed for all would be wrong: initial weights,
    order of the data and the optimizer's noise would use the same numbers.

    Args:
        seed: Seed of the run, >= 0.
        purpose: Its purpose, for example ``"order", epoch``.

    Returns:
        A whole number below 2**63.
    """
    words = [crc32(part.encode()) if isinstance(part, str) else part for part in purpose]
    sequence = np.random.SeedSequence(seed, spawn_key=tuple(words))
    return int(sequence.generate_state(1, np.uint64)[0]) >> 1


def stream(seed: int, *purpose: str | int) -> torch.Generator:
    """Return a generator for one purpose of one run.

    Args:
        seed: Seed of the run, >= 0.
        purpose: As for :func:`derive_seed`.

    Returns:
        A new generator on the CPU.
    """
    return torch.Generator().manual_seed(derive_seed(seed, *purpose))


def seed_everything(seed: int, *purpose: str | int) -> None:
    """Seed the global generators of torch, numpy and Python, for code that is not ours.

    Args:
        seed: Seed of the run, >= 0.
        purpose: As for :func:`derive_seed`.
    """
    derived = derive_seed(seed, *purpose)
    torch.manual_seed(derived)
    np.random.seed(derived & 0xFFFFFFFF)
    random.seed(derived)


@contextmanager
def noise_from(generator: torch.Generator, device: torch.device = CPU) -> Iterator[None]:
    """Let torch's global random numbers follow a seed for a while, and continue as before.

    ``transformers`` draws initial weights from them, and a compiled network dropout.

    Args:
        generator: Its seed is used.
        device: A GPU whose numbers follow it too.

    Yields:
        Nothing.
    """
    seed, gpu = generator.initial_seed(), device.type == "cuda"
    with torch.random.fork_rng(devices=[torch.cuda.current_device()] if gpu else []):
        torch.default_generator.manual_seed(seed)
        if gpu:
            torch.cuda.manual_seed(seed)
        yield
