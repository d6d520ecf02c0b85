"""Random numbers as a pure function of (seed, step, element): there is no generator to save.

The generator is Threefry-4x32 with 13 rounds (Salmon, Moraes, Dror, Shaw: *Parallel random
numbers: as easy as 1, 2, 3*, SC 2011). A run has one long stream per seed. The numbers of a step
begin at ``step * stride``; element ``i`` of the vector of all parameters takes number ``i`` of
them. So a number depends neither on which parameters have a gradient, nor on how the parameters
are sharded, nor on the rows that run beside it in a batch.

Numbers come in blocks of 64, from 16 counters of four 32-bit words each: word ``w`` of lane ``l``
is number ``16 w + l`` of its block. Words 0 and 1 make two normal numbers (Box-Muller), as do
words 2 and 3. The same words are used for float32 and float64.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor

__all__ = ["BLOCK", "Noise", "Span", "aligned", "threefry"]

BLOCK = 64
"""Numbers of one block."""

Span = tuple[int, int]
"""First element and length."""

Words = Any
"""A tensor of int32 or a numpy array of uint32: the same 32 bits."""

_LANES = 16
_ROUNDS = 13
_ROTATIONS = ((10, 26), (11, 21), (13, 27), (23, 5), (6, 20), (17, 11), (25, 10), (18, 20))
_PARITY = 0x1BD11BDA

_AHEAD = 1 << 16
"""Numbers that are made at once: of several steps, where one step needs fewer."""
_PIECE = 1 << 12
"""Blocks that are made at once on a CPU, so that they stay in its cache."""

_NORMAL, _UNIFORM = 0, 1


def threefry(key: Sequence[Words], counter: Sequence[Words]) -> list[Words]:
    """Return four random words for each counter.

    Args:
        key: Four words, broadcasting against the counters.
        counter: Four words for each counter, all of one shape.

    Returns:
        Four words for each counter.
    """
    schedule = [*key, key[0] ^ key[1] ^ key[2] ^ key[3] ^ _PARITY]
    x = [c + k for c, k in zip(counter, key, strict=True)]
    for number in range(_ROUNDS):
        a, b = _ROTATIONS[number % 8]
        left, right = (1, 3) if number % 2 == 0 else (3, 1)
        _mix(x, 0, left, a)
        _mix(x, 2, right, b)
        if number % 4 == 3:
            turn = number // 4 + 1
            for i in range(4):
                x[i] += schedule[(turn + i) % 5]
            x[3] += turn
    return x


def _mix(x: list[Words], to: int, other: int, bits: int) -> None:
    x[to] += x[other]
    wrapped = x[other] >> (32 - bits)
    if isinstance(wrapped, Tensor):  # the sign came along
        wrapped &= (1 << bits) - 1
    x[other] <<= bits
    x[other] |= wrapped
    x[other] ^= x[to]


def aligned(offset: int, size: int) -> int:
    """Return where ``size`` elements begin that may not begin before ``offset``.

    Tensors of a block or more begin with a block, so that a kernel can make whole blocks.
    """
    return -(-offset // BLOCK) * BLOCK if size >= BLOCK else offset


class Noise:
    """The random numbers of one run, or of B runs.

    Args:
        seed: One seed, or B of them; 64 bits of each are used.
        device: Where the numbers are made.
    """

    def __init__(self, seed: int | Sequence[int], device: torch.device | str = "cpu") -> None:
        seeds = [seed] if isinstance(seed, int) else list(seed)
        self._single = isinstance(seed, int)
        self._device = torch.device(device)
        self._on_host = self._device.type == "cpu"
        bits = np.array([s % (1 << 64) for s in seeds], dtype=np.uint64)[:, None]
        self._key = [(bits >> np.uint64(shift)).astype(np.uint32) for shift in (0, 32)]
        self._blocks: tuple[object, Tensor] | None = None
        self._made: tuple[object, int, Tensor] | None = None

    def normal(self, step: int, size: int, spans: Sequence[Span], dtype: torch.dtype) -> Tensor:
        """Return standard normal numbers.

        Args:
            step: Number of the step, >= 0.
            size: Elements of all parameters together.
            spans: Which of them are wanted.
            dtype: float32 or float64; both come from the same random words.

        Returns:
            Shape ``[k]``, or ``[B, k]``, with k the length of the spans together; not to be
            written to.
        """
        return self._numbers(_NORMAL, step, size, spans, dtype)

    def uniform(self, step: int, size: int, spans: Sequence[Span], dtype: torch.dtype) -> Tensor:
        """Return numbers from the uniform law on [-½, ½); arguments as for :meth:`normal`."""
        return self._numbers(_UNIFORM, step, size, spans, dtype)

    def _numbers(
        self, kind: int, step: int, size: int, spans: Sequence[Span], dtype: torch.dtype
    ) -> Tensor:
        if not spans:
            rows = () if self._single else (len(self._key[0]),)
            return torch.zeros((*rows, 0), dtype=dtype, device=self._device)
        stride = size if size < BLOCK else aligned(size, BLOCK)
        of_step = stride if stride < BLOCK else sum(length for _, length in spans)
        what = (kind, stride, tuple(spans), dtype)
        known = self._made is not None and self._made[0] == what
        if (
            self._made is None
            or not known
            or not 0 <= step - self._made[1] < self._made[2].shape[1]
        ):
            # Many runs want the numbers of their first step alone, and continue in fused form.
            ahead = max(1, _AHEAD // max(of_step * len(self._key[0]), 1)) if known else 1
            self._made = (what, step, self._make(kind, step, ahead, stride, spans, dtype))
        _, first, made = self._made
        numbers = made[:, step - first]
        return numbers[0] if self._single else numbers

    def _make(
        self,
        kind: int,
        step: int,
        count: int,
        stride: int,
        spans: Sequence[Span],
        dtype: torch.dtype,
    ) -> Tensor:
        """Return the numbers of ``count`` steps, ``[B, count, k]``."""
        if stride % BLOCK:  # the steps follow each other within the blocks
            first, last = step * stride // BLOCK, -(-(step + count) * stride // BLOCK)
            blocks = torch.arange(first, last, device=self._device)
            flat = self._of_blocks(kind, blocks, dtype)
            skip = step * stride - first * BLOCK
            rows = flat[:, skip : skip + count * stride].reshape(len(flat), count, stride)
            return torch.cat([rows[..., a : a + n] for a, n in spans], dim=-1)
        of_step = self._blocks_of(spans)
        begins = torch.arange(step, step + count, device=self._device) * (stride // BLOCK)
        flat = self._of_blocks(kind, (begins[:, None] + of_step).flatten(), dtype)
        rows = flat.view(len(flat), count, len(of_step) * BLOCK)
        parts, at = [], 0
        for start, length in spans:
            skip = start % BLOCK
            parts.append(rows[..., at + skip : at + skip + length])
            at += -(-(skip + length) // BLOCK) * BLOCK if length else 0
        return parts[0] if len(parts) == 1 else torch.cat(parts, dim=-1)

    def _blocks_of(self, spans: Sequence[Span]) -> Tensor:
        key = tuple(spans)
        if self._blocks is None or self._blocks[0] != key:
            ranges = [
                torch.arange(a // BLOCK, -(-(a + n) // BLOCK) if n else a // BLOCK) for a, n in key
            ]
            self._blocks = (key, torch.cat(ranges).to(self._device))
        return self._blocks[1]

    def _of_blocks(self, kind: int, blocks: Tensor, dtype: torch.dtype) -> Tensor:
        """Return the numbers of whole blocks, ``[B, 64 * len(blocks)]``."""
        rows = len(self._key[0])
        piece = -(-_PIECE // rows) if self._on_host else len(blocks)
        out = torch.empty(
            (rows, len(blocks), BLOCK // _LANES, _LANES),
            dtype=dtype,
            device=self._device,
        )
        for begin in range(0, len(blocks), max(piece, 1)):
            part = blocks[begin : begin + piece]
            self._fill(out[:, begin : begin + piece], kind, part)
        return out.flatten(1)

    def _fill(self, out: Tensor, kind: int, blocks: Tensor) -> None:
        lanes = torch.arange(_LANES, device=blocks.device)
        place = (blocks[:, None] * _LANES + lanes).flatten().expand(len(out), -1)
        words = self._words(kind, place)
        if kind == _UNIFORM:
            numbers = [word.to(out.dtype) * 2.0**-32 for word in words]
        else:
            pairs = ((words[0], words[1]), (words[2], words[3]))
            numbers = [z for a, b in pairs for z in _box_muller(a, b, out.dtype)]
        for w, number in enumerate(numbers):
            out[:, :, w] = number.view(len(out), len(blocks), _LANES)

    def _words(self, kind: int, place: Tensor) -> list[Tensor]:
        """Return the four words of each counter, int32, shaped as ``place``, int64."""
        low, high = self._key
        key = [low, high, np.full_like(low, kind), np.zeros_like(low)]
        halves = place.to(torch.int32), (place >> 32).to(torch.int32)
        if self._on_host:
            # numpy's unsigned shifts are one operation where torch needs two.
            begin = [half.numpy().view(np.uint32) for half in halves]
            counter = [*begin, np.zeros_like(begin[0]), np.zeros_like(begin[0])]
            made = threefry(key, counter)
            return [torch.from_numpy(word.view(np.int32)) for word in made]
        there = [torch.from_numpy(word.view(np.int32)).to(self._device) for word in key]
        zero = torch.zeros_like(halves[0])
        words: list[Tensor] = threefry(there, [*halves, zero, zero])
        return words


def _box_muller(size: Tensor, angle: Tensor, dtype: torch.dtype) -> tuple[Tensor, Tensor]:
    # 31 bits in [0, 2**31): small ones, which make the tails, are exact in float32.
    size ^= size >> 31
    radius = size.to(dtype).add_(0.5).mul_(2.0**-31).log_().mul_(-2.0).abs_().sqrt_()
    turned = angle.to(dtype).mul_(math.pi * 2.0**-31)
    return radius * turned.cos(), radius.mul_(turned.sin())
