"""Random numbers as a pure function of a key and a position: the same on every device.

SplitMix64 (Steele, Lea and Flood, OOPSLA 2014), whose n-th number is ``mix(key + n γ)``. Any number
can be asked for by itself, and a key that ``torch.vmap`` maps gives each row its own numbers.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.functional import dropout
from torch.overrides import TorchFunctionMode

__all__ = ["CounterDropout", "has_dropout", "integers", "uniform"]

_GAMMA = 0x9E3779B97F4A7C15
_SITE = 0xD1342543DE82EF95  # odd, as γ is: the dropouts of one forward pass have their own numbers
_ROUNDS = ((30, 0xBF58476D1CE4E5B9), (27, 0x94D049BB133111EB))
_LAST = 31
_COLUMNS = 256
_BITS = 24  # of a float32


def uniform(key: Tensor, rows: Tensor, columns: int) -> Tensor:
    """Return numbers in [0, 1), each a multiple of 2^-24.

    Args:
        key: int64; 0-d, or one for each position, ``[N]``.
        rows: Positions, int64, ``[N]``, from 0 to 2^55.
        columns: Numbers for each position, up to 256.

    Returns:
        Shape ``[N, columns]``, float32; row n depends only on its key and ``rows[n]``.
    """
    position = rows[:, None] * _COLUMNS + torch.arange(columns, device=rows.device)
    bits = _mix(position * _signed(_GAMMA) + key.reshape(-1, 1))
    return _shifted(bits, 64 - _BITS).float() * 2.0**-_BITS


def integers(key: Tensor, rows: Tensor, high: int) -> Tensor:
    """Return whole numbers from 0 to ``high - 1``.

    Args:
        key: int64; 0-d, or one for each position, ``[N]``.
        rows: Positions, int64, ``[N]``.
        high: Up to 2^40, so that no number is likelier than another by more than 2^-23.

    Returns:
        Shape ``[N]``, int64; number n depends only on its key and ``rows[n]``.
    """
    return _shifted(_mix(rows * _signed(_GAMMA) + key), 1) % high


class CounterDropout(TorchFunctionMode):
    """While it is entered, ``torch.nn.functional.dropout`` draws from a key and a position.

    16 random bits decide whether a number is kept, so the probability is rounded to 2^-16. A
    position is that in each dimension: longer padding changes no number that was there.

    Args:
        key: 0-d, int64, on the device of the input.
    """

    def __init__(self, key: Tensor) -> None:
        super().__init__()
        self._key, self._site = key, 0

    def __torch_function__(
        self, func: Callable[..., Any], types: Any, args: Any = (), kwargs: Any = None
    ) -> Any:
        """Call ``func``, or draw in its place."""
        if func is dropout:
            return self._drop(*args, **(kwargs or {}))
        return func(*args, **(kwargs or {}))

    def _drop(
        self, x: Tensor, p: float = 0.5, training: bool = True, inplace: bool = False
    ) -> Tensor:
        if not training or p == 0:
            return x
        self._site += 1
        key = self._key + _signed(self._site * _SITE)
        bits = _sixteen_bits(key, x.shape or torch.Size([1])).reshape(x.shape)
        # 2^15 is no int16.
        kept = bits >= min(round(p * 2**16) - 2**15, 2**15 - 1)
        factor = kept.to(x.dtype) / (1 - p) if p < 1 else torch.zeros_like(x)
        return x.mul_(factor) if inplace else x * factor


def has_dropout(network: nn.Module) -> bool:
    """Return whether a network has a module that drops single numbers in training.

    Args:
        network: The network.
    """
    return any(isinstance(module, nn.Dropout) and module.p > 0 for module in network.modules())


def _sixteen_bits(key: Tensor, shape: torch.Size) -> Tensor:
    """Return whole numbers from -2^15 to 2^15 - 1, int16; four share one number of 64 bits."""
    *sides, last = shape
    counts = (*sides, -(-last // 4))
    bits = 64 // len(counts)
    position = key
    for number, count in enumerate(counts):
        after = len(counts) - 1 - number
        factor = _signed(_GAMMA << (bits * after))
        own = torch.arange(count, device=key.device) * factor
        position = position + own.view(count, *(1 for _ in range(after)))
    found: Tensor = _mix(position).view(torch.int16)[..., :last]
    return found


def _mix(z: Tensor) -> Tensor:
    for shift, factor in _ROUNDS:
        z = (z ^ _shifted(z, shift)) * _signed(factor)
    return z ^ _shifted(z, _LAST)


def _shifted(z: Tensor, by: int) -> Tensor:
    # Torch's shift of int64 fills up with the sign.
    shifted: Tensor = (z >> by) & (2 ** (64 - by) - 1)
    return shifted


def _signed(value: int) -> int:
    """Return the int64 with the lowest 64 bits of a whole number."""
    return (value + 2**63) % 2**64 - 2**63
