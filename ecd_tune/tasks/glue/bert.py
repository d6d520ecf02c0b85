"""The BERT classifier and its tokenizer, from ``transformers`` (extra ``glue``).

Nothing is downloaded: weights come from the Hugging Face cache or a folder. ``tiny`` needs
none; only the vocabulary of bert-base-uncased, which it reads from the data root.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from importlib import import_module
from typing import Any

import torch

from ecd_tune.errors import TaskError
from ecd_tune.tasks.data import Layout, find_layout
from ecd_tune.tasks.seeds import noise_from

__all__ = ["TINY", "TinySize", "build_classifier", "load_tokenizer"]

TINY = "tiny"
"""Name of the small network that is trained from scratch."""

_BASE_STD, _BASE_WIDTH = 0.02, 768
"""Of BERT-base: standard deviation of its initial weights, and its hidden size."""


@dataclass(frozen=True)
class TinySize:
    """Size of the small network.

    Attributes:
        width: Hidden size; the feed-forward layers have four times as much.
        layers: Number of layers.
    """

    width: int = 128
    layers: int = 2


_VOCABULARY = Layout(
    "vocabulary",
    ("text/bert-base-uncased-vocab.txt",),
    "vocab.txt of bert-base-uncased, 30,522 lines",
)


def load_tokenizer(model: str, max_length: int) -> Any:
    """Load the WordPiece tokenizer of a network.

    Args:
        model: ``"tiny"``, a name in the Hugging Face cache, or a folder.
        max_length: Longer inputs lose tokens at the end of the longer sentence.

    Returns:
        A ``tokenizers.Tokenizer``.
    """
    if model == TINY:
        _, root = find_layout("glue, model tiny", (_VOCABULARY,))
        library = _import("tokenizers")
        tokenizer = library.BertWordPieceTokenizer(str(root / _VOCABULARY.files[0]), lowercase=True)
    else:
        tokenizer = _load("AutoTokenizer", model).backend_tokenizer
        tokenizer.no_padding()
    tokenizer.enable_truncation(max_length)
    return tokenizer


def build_classifier(
    model: str, outputs: int, start: torch.Generator, size: TinySize | None = None
) -> torch.nn.Module:
    """Build BERT with a linear layer on its pooled output.

    The initial weights of ``tiny`` are as much larger than those of BERT-base (0.02) as a layer has
    the same gain: their standard deviation is 0.02 √(768 / width).

    Args:
        model: As for :func:`load_tokenizer`.
        outputs: Classes, or 1 for a number.
        start: Its seed initialises the weights that no file contains: the last layer, or all.
        size: Of ``tiny``; None for the default.

    Returns:
        The network; its output for a batch has ``logits``, shape ``[B, outputs]``.
    """
    # Eager attention: the fused kernels need not add in the same order each time.
    settings = {"num_labels": outputs, "attn_implementation": "eager"}
    with noise_from(start):
        if model != TINY:
            name = "BertForSequenceClassification"
            network: torch.nn.Module = _load(name, model, use_safetensors=True, **settings)
            return network.float()
        library, size = _import("transformers"), size or TinySize()
        config = library.BertConfig(
            hidden_size=size.width,
            num_hidden_layers=size.layers,
            num_attention_heads=2,
            intermediate_size=4 * size.width,
            initializer_range=_BASE_STD * math.sqrt(_BASE_WIDTH / size.width),
            **settings,
        )
        network = library.BertForSequenceClassification(config)
        return network


def _load(name: str, model: str, **settings: Any) -> Any:
    kind = getattr(_import("transformers"), name)
    try:
        return kind.from_pretrained(model, local_files_only=True, **settings)
    except (OSError, ValueError) as error:
        raise TaskError(
            f"model = {model!r} is neither {TINY!r}, nor a folder with config.json, "
            "model.safetensors and tokenizer.json, nor in the Hugging Face cache; "
            f"`hf download {model}` downloads it. It could not be loaded: "
            f"{str(error).splitlines()[0]}"
        ) from error


def _import(name: str) -> Any:
    try:
        return import_module(name)
    except ImportError as error:
        raise TaskError(
            f"the GLUE tasks need {name}: install it with pip install 'ecd_tune[glue]'"
        ) from error
