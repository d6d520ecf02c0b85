"""A small GPT that predicts the next character."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn.functional import gelu, scaled_dot_product_attention

__all__ = ["Transformer"]


class _Layer(nn.Module):
    def __init__(self, width: int, heads: int) -> None:
        super().__init__()
        self.heads = heads
        self.attention_norm = nn.LayerNorm(width)
        self.queries_keys_values = nn.Linear(width, 3 * width)
        self.attention_out = nn.Linear(width, width)
        self.forward_norm = nn.LayerNorm(width)
        self.widen = nn.Linear(width, 4 * width)
        self.narrow = nn.Linear(4 * width, width)

    def forward(self, x: Tensor) -> Tensor:
        batch, length, width = x.shape
        parts = self.queries_keys_values(self.attention_norm(x))
        parts = parts.view(batch, length, 3, self.heads, width // self.heads)
        queries, keys, values = parts.permute(2, 0, 3, 1, 4).unbind()
        seen = scaled_dot_product_attention(queries, keys, values, is_causal=True)
        x = x + self.attention_out(seen.transpose(1, 2).reshape(batch, length, width))
        narrowed: Tensor = self.narrow(gelu(self.widen(self.forward_norm(x))))
        return x + narrowed


class Transformer(nn.Module):
    """A causal transformer with norms before its layers and learned positions.

    Args:
        symbols: Number of symbols.
        width: Width of the residual stream.
        layers: Number of layers.
        heads: Attention heads of a layer; divides ``width``.
        block: Longest input.
    """

    def __init__(self, symbols: int, width: int, layers: int, heads: int, block: int) -> None:
        super().__init__()
        self.symbols = nn.Embedding(symbols, width)
        self.positions = nn.Embedding(block, width)
        self.layers = nn.Sequential(*(_Layer(width, heads) for _ in range(layers)))
        self.norm = nn.LayerNorm(width)
        self.head = nn.Linear(width, symbols)

    def forward(self, text: Tensor) -> Tensor:
        """Return the logits of each next symbol.

        Args:
            text: Numbers of symbols, shape ``[B, T]``, int64; T up to ``block``.

        Returns:
            Shape ``[B, T, symbols]``; the logits at t depend only on the text up to t.
        """
        place = torch.arange(text.shape[1], device=text.device)
        x = self.symbols(text) + self.positions(place)
        logits: Tensor = self.head(self.norm(self.layers(x)))
        return logits
