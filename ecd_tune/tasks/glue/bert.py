"""The BERT classifier and its tokenizer, from ``transformers`` (extra ``glue``).

Nothing is downloaded: weights come from the Hugging Face cache or a folder. ``tiny`` needs
none; only the vocabulary of bert-base-uncased, which it reads from the data root.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from importlib import import_module
from typing import Any

import torch

from ecd_tune.errors import TaskError
from ecd_tune.tasks._device import CPU
from ecd_tune.tasks.data import Layout, find_layout

__all__ = ["TINY", "build_classifier", "load_tokenizer", "noise_from"]

TINY = "tiny"
"""Name of the small network that is trained from scratch."""

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


def build_classifier(model: str, outputs: int, start: torch.Generator) -> torch.nn.Module:
    """Build BERT with a linear layer on its pooled output.

    Args:
        model: As for :func:`load_tokenizer`.
        outputs: Classes, or 1 for a number.
        start: Its seed draws whatever no file gives: the last layer, or everything.

    Returns:
        The network; called with a batch, its answer has ``logits``, shape ``[B, outputs]``.
    """
    # Eager attention: the fused kernels need not add in the same order each time.
    settings = {"num_labels": outputs, "attn_implementation": "eager"}
    with noise_from(start):
        if model != TINY:
            name = "BertForSequenceClassification"
            network: torch.nn.Module = _load(name, model, use_safetensors=True, **settings)
            return network.float()
        library = _import("transformers")
        config = library.BertConfig(
            hidden_size=128,
            num_hidden_layers=2,
            num_attention_heads=2,
            intermediate_size=512,
            **settings,
        )
        network = library.BertForSequenceClassification(config)
        return network


@contextmanager
def noise_from(generator: torch.Generator, device: torch.device = CPU) -> Iterator[None]:
    """Let torch's global random numbers follow a seed for a while, and go on as before.

    ``transformers`` draws initial weights and dropout from them.

    Args:
        generator: Its seed is taken.
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


def _load(name: str, model: str, **settings: Any) -> Any:
    kind = getattr(_import("transformers"), name)
    try:
        return kind.from_pretrained(model, local_files_only=True, **settings)
    except (OSError, ValueError) as error:
        raise TaskError(
            f"model = {model!r} is neither {TINY!r}, nor a folder with config.json, "
            "model.safetensors and tokenizer.json, nor in the Hugging Face cache; "
            f"`hf download {model}` puts it there. It could not be loaded: "
            f"{str(error).splitlines()[0]}"
        ) from error


def _import(name: str) -> Any:
    try:
        return import_module(name)
    except ImportError as error:
        raise TaskError(
            f"the GLUE tasks need {name}: install it with pip install 'ecd_tune[glue]'"
        ) from error
