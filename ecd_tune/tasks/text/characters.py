"""Sentences to numbers of characters."""

from __future__ import annotations

import unicodedata
from collections.abc import Iterable, Mapping
from functools import lru_cache
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from ecd_tune.tasks.base import Split
from ecd_tune.tasks.glue.tasks import load_tables

__all__ = ["ALPHABET", "SOURCES", "encode_text", "read_text"]

ALPHABET = "\n abcdefghijklmnopqrstuvwxyz0123456789.,'`\"!?;:-()/$%&"
"""The characters by number; a line ends a sentence."""

SOURCES = ("glue_cola", "glue_sst2")
"""The tasks whose sentences are the text."""

_NUMBERS = {character: number for number, character in enumerate(ALPHABET)}


def encode_text(sentences: Iterable[str]) -> Tensor:
    """Number the characters of some sentences, each with an end of line after it.

    Args:
        sentences: In order. Lower case, without accents, is what is numbered; what then is not
            in :data:`ALPHABET` is left out.

    Returns:
        Shape ``[N]``, uint8.
    """
    text = "".join(f"{' '.join(sentence.split())}\n" for sentence in sentences)
    plain = unicodedata.normalize("NFKD", text.lower())
    return torch.tensor([_NUMBERS[c] for c in plain if c in _NUMBERS], dtype=torch.uint8)


@lru_cache(maxsize=2)
def read_text(root: Path | None, split_seed: int) -> Mapping[Split, Tensor]:
    """Read the text.

    Args:
        root: The data root; an argument so that the cache distinguishes roots.
        split_seed: Decides which sentences validate, and the order of all.

    Returns:
        For each split its characters, shape ``[N]``, uint8.

    Raises:
        TaskError: Files are missing.
    """
    tables = [load_tables(name, split_seed) for name in SOURCES]
    parts: dict[Split, Tensor] = {}
    splits: tuple[Split, ...] = ("train", "val", "test")
    for split in splits:
        sentences = [text for table in tables for row in table[split].texts for text in row]
        order = np.random.default_rng(split_seed).permutation(len(sentences))
        parts[split] = encode_text(sentences[row] for row in order)
    return parts
