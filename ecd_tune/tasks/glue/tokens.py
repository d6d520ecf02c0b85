"""Text to WordPiece numbers, once, and batches of them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor

from ecd_tune.tasks.glue.tables import GlueTable

__all__ = ["Encoded", "encode", "join"]


@dataclass(frozen=True, eq=False)
class Encoded:
    """Tokenised rows, one after the other.

    Attributes:
        ids: Numbers of the tokens of all rows, ``[CLS] … [SEP]`` each, int32.
        types: 1 for tokens of the second sentence, int8.
        starts: Where each row begins, and the end of the last, shape ``[N + 1]``.
        labels: Class, int64, or number, float32; shape ``[N]``.
        sources: As in :class:`~ecd_tune.tasks.glue.tables.GlueTable`.
    """

    ids: Tensor
    types: Tensor
    starts: Tensor
    labels: Tensor
    sources: Tensor

    def __len__(self) -> int:
        return len(self.labels)

    @property
    def lengths(self) -> Tensor:
        """Tokens of each row, shape ``[N]``."""
        return self.starts.diff()

    def to(self, device: torch.device) -> Encoded:
        """Return the same on a device."""
        fields = (self.ids, self.types, self.starts, self.labels, self.sources)
        return Encoded(*(tensor.to(device) for tensor in fields))

    def batch(self, rows: Tensor, longest: int) -> tuple[Tensor, Tensor, Tensor]:
        """Return rows as a network takes them, padded to the longest of them.

        Args:
            rows: Their numbers, shape ``[B]``, where the tokens are.
            longest: Tokens of the longest of them, T.

        Returns:
            Numbers of the tokens, of their sentences, and 1 where there is one; shape ``[B, T]``,
            int64.
        """
        lengths = self.lengths[rows]
        place = torch.arange(longest, device=rows.device)
        mask = place < lengths.unsqueeze(1)
        index = torch.where(mask, self.starts[rows].unsqueeze(1) + place, 0)
        ids, types = (torch.where(mask, own[index], 0).long() for own in (self.ids, self.types))
        return ids, types, mask.long()  # [PAD] is 0


def encode(tokenizer: Any, table: GlueTable) -> Encoded:
    """Tokenise rows.

    Args:
        tokenizer: A ``tokenizers.Tokenizer`` that truncates and does not pad.
        table: The rows.

    Returns:
        Their tokens and labels.
    """
    texts = [text if len(text) == 2 else text[0] for text in table.texts]
    found = tokenizer.encode_batch(texts)
    starts = np.cumsum([0, *(len(row.ids) for row in found)])
    ids = np.fromiter((i for row in found for i in row.ids), np.int32, starts[-1])
    types = np.fromiter((i for row in found for i in row.type_ids), np.int8, starts[-1])
    arrays = (ids, types, starts, table.labels, table.sources)
    return Encoded(*(torch.tensor(array) for array in arrays))


def join(first: Encoded, second: Encoded) -> Encoded:
    """Join the rows of two parts, those of the first before those of the second.

    Args:
        first: Some rows.
        second: Others, with labels of the same kind.

    Returns:
        All of them.
    """
    return Encoded(
        torch.cat([first.ids, second.ids]),
        torch.cat([first.types, second.types]),
        torch.cat([first.starts, second.starts[1:] + first.starts[-1]]),
        torch.cat([first.labels, second.labels]),
        torch.cat([first.sources, second.sources]),
    )
