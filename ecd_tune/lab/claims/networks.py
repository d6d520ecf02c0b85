"""How many parameters the paper's networks have, counted from the shapes of their layers.

Arithmetic only, without torch; the tests count the networks of ``ecd_tune.tasks`` themselves.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from itertools import pairwise

__all__ = ["NETWORKS"]

_BERT_WORDS, _BERT_PLACES, _BERT_SEGMENTS = 30_522, 512, 2


def _linear(fan_in: int, fan_out: int, bias: bool = True) -> int:
    return (fan_in + bias) * fan_out


def _convolution(fan_in: int, width: int, size: int, bias: bool = False) -> int:
    return (fan_in * size**2 + bias) * width


def _norm(width: int) -> int:
    return 2 * width


def count_wide_resnet(depth: int = 28, widen: int = 10, classes: int = 100) -> int:
    """WRN-depth-widen for 32 × 32 images, every convolution with a bias (B.2 and public code)."""
    blocks, fan_in = (depth - 4) // 6, 16
    total = _convolution(3, fan_in, 3, bias=True)
    for width in (16 * widen, 32 * widen, 64 * widen):
        for _ in range(blocks):
            total += _norm(fan_in) + _convolution(fan_in, width, 3, bias=True)
            total += _norm(width) + _convolution(width, width, 3, bias=True)
            if fan_in != width:
                total += _convolution(fan_in, width, 1, bias=True)
            fan_in = width
    return total + _norm(fan_in) + _linear(fan_in, classes)


def count_resnet18(classes: int, stem: int) -> int:
    """ResNet-18 of basic blocks whose first convolution is ``stem`` pixels wide (B.2, B.3)."""
    fan_in = 64
    total = _convolution(3, fan_in, stem) + _norm(fan_in)
    for width in (64, 128, 256, 512):
        for _ in range(2):
            total += _convolution(fan_in, width, 3) + _convolution(width, width, 3)
            total += 2 * _norm(width)
            if fan_in != width:
                total += _convolution(fan_in, width, 1) + _norm(width)
            fan_in = width
    return total + _linear(fan_in, classes)


def count_sage(widths: tuple[int, ...], norm: bool) -> int:
    """GraphSAGE: a matrix with bias for the neighbours, one without for the node (B.4)."""
    layers = sum(_linear(a, b) + _linear(a, b, bias=False) for a, b in pairwise(widths))
    return layers + norm * sum(_norm(width) for width in widths[1:-1])


def count_bert(outputs: int = 2, width: int = 768, layers: int = 12, inner: int = 3072) -> int:
    """BERT-base with pooler and a linear head (B.5)."""
    embeddings = (_BERT_WORDS + _BERT_PLACES + _BERT_SEGMENTS) * width + _norm(width)
    attention = 4 * _linear(width, width) + _norm(width)
    feed_forward = _linear(width, inner) + _linear(inner, width) + _norm(width)
    pooler = _linear(width, width)
    return embeddings + layers * (attention + feed_forward) + pooler + _linear(width, outputs)


NETWORKS: Mapping[str, Callable[[], int]] = {
    "sage-arxiv": lambda: count_sage((128, 256, 256, 40), norm=True),
    "sage-proteins": lambda: count_sage((8, 256, 256, 112), norm=False),
    "resnet18-tiny": lambda: count_resnet18(200, stem=3),
    "resnet18": lambda: count_resnet18(1000, stem=7),
    "wrn-28-10": count_wide_resnet,
    "bert-base": count_bert,
}
"""Number of parameters of each network that Table 5 has, by name."""
