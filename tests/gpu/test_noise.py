"""The kernels' random numbers equal those of ecd_tune.optim.params.noise."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
import triton
import triton.language as tl
from scipy import stats

from ecd_tune.optim.fused.triton_noise import normals, threefry
from ecd_tune.optim.params.noise import Noise
from ecd_tune.optim.params.noise import threefry as reference

SEEDS = [0, 7, -5, 2**62 + 12345]
FIRST = [0, 2**32 - 100, 2**45]


@triton.jit
def numbers_kernel(words, normal, keys, n: tl.constexpr, DOUBLE: tl.constexpr):
    seed, first = tl.load(keys), tl.load(keys + 1) + tl.program_id(0).to(tl.int64) * n
    c = tl.arange(0, n)
    x0, x1, x2, x3 = threefry(seed, first + c)
    z0, z1, z2, z3 = normals(seed, first + c, DOUBLE)
    at = tl.program_id(0) * n + c
    rows = tl.num_programs(0) * n
    tl.store(words + at, x0.to(tl.int64))
    tl.store(words + rows + at, x1.to(tl.int64))
    tl.store(words + 2 * rows + at, x2.to(tl.int64))
    tl.store(words + 3 * rows + at, x3.to(tl.int64))
    block = 64 * (at // 16) + at % 16
    tl.store(normal + block, z0)
    tl.store(normal + block + 16, z1)
    tl.store(normal + block + 32, z2)
    tl.store(normal + block + 48, z3)


def drawn(device, seed, first, counters, dtype, programs=1):
    """Return words ``[4, k]`` and normal numbers in the order of the stream."""
    words = torch.zeros((4, counters * programs), dtype=torch.int64, device=device)
    numbers = torch.zeros(4 * counters * programs, dtype=dtype, device=device)
    keys = torch.tensor([seed, first], device=device)
    numbers_kernel[(programs,)](words, numbers, keys, counters, dtype == torch.float64)
    return words.cpu(), numbers.cpu()


@pytest.mark.parametrize("seed", SEEDS)
@pytest.mark.parametrize("first", FIRST)
def test_random_words_are_bit_equal(device, seed, first):
    found, _ = drawn(device, seed, first, 128, torch.float32)
    place = np.arange(first, first + 128, dtype=np.uint64)
    zero = np.zeros(128, dtype=np.uint32)
    counter = [place.astype(np.uint32), (place >> np.uint64(32)).astype(np.uint32), zero, zero]
    bits = seed % 2**64
    key = [np.array([word], dtype=np.uint32) for word in (bits % 2**32, bits >> 32, 0, 0)]
    expected = reference(key, [word.copy() for word in counter])
    assert found.tolist() == [word.astype(np.int64).tolist() for word in expected]


@pytest.mark.parametrize(("dtype", "error"), [(torch.float32, 1e-6), (torch.float64, 1e-14)])
def test_normal_numbers_match(device, dtype, error):
    n = 64 * 128
    _, found = drawn(device, 7, 16 * 128 * 3, 2048, dtype)
    exact = Noise(7).normal(3, n, [(0, n)], torch.float64)
    assert ((found - exact).abs() <= error * (1 + exact.abs())).all()


def test_polynomials_are_accurate_over_the_whole_range(device):
    # The words of the known numbers leave out the ends: all float32 radii and angles are there.
    _, found = drawn(device, 11, 0, 1024, torch.float32, programs=4)
    exact = Noise(11).normal(0, len(found), [(0, len(found))], torch.float64)
    assert (found - exact).abs().max() < 2e-6


@pytest.mark.skipif(not torch.cuda.is_available(), reason="1e7 draws need a GPU")
def test_distribution_is_normal():
    _, z = drawn(torch.device("cuda"), 5, 0, 1024, torch.float32, programs=2500)
    z = z.double().numpy()
    n = len(z)
    assert abs(z.mean()) < 5 / math.sqrt(n)
    assert abs(z.var() - 1) < 5 * math.sqrt(2 / n)
    assert abs((z**3).mean()) < 5 * math.sqrt(15 / n)
    assert abs((z**4).mean() - 3) < 5 * math.sqrt(96 / n)
    assert stats.kstest(z[:1_000_000], "norm").pvalue > 1e-4
    for size in (3.0, 4.0, 5.0):
        expected = 2 * stats.norm.sf(size) * n
        assert abs((abs(z) > size).sum() - expected) < 5 * math.sqrt(expected)
    for lag in (1, 2, 3, 16, 32, 64, 1000):
        assert abs((z[lag:] * z[:-lag]).mean()) < 5 / math.sqrt(n - lag)
