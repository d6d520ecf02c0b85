"""Noise equals published Threefry words, and depends on seed, step and element only."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from ecd_tune.optim.params.noise import BLOCK, Noise, aligned, threefry

ONES = 0xFFFFFFFF
PI = (0x243F6A88, 0x85A308D3, 0x13198A2E, 0x03707344)
MORE_PI = (0xA4093822, 0x299F31D0, 0x082EFA98, 0xEC4E6C89)
KNOWN_ANSWERS = [
    # Random123, tests/kat_vectors: counter, key, answer of threefry4x32 with 13 rounds.
    ((0,) * 4, (0,) * 4, (0x531C7E4F, 0x39491EE5, 0x2C855A92, 0x3D6ABF9A)),
    ((ONES,) * 4, (ONES,) * 4, (0xC4189358, 0x1C9CC83A, 0xD5881C67, 0x6A0A89E0)),
    (PI, MORE_PI, (0x4AA71D8F, 0x734738C2, 0x431FC6A8, 0xAE6DEBF1)),
]


@pytest.mark.parametrize(("counter", "key", "answer"), KNOWN_ANSWERS)
@pytest.mark.parametrize("kind", ["numpy", "torch"])
def test_known_answers(kind, counter, key, answer):
    def words(values):
        arrays = [np.array([v], dtype=np.uint32) for v in values]
        if kind == "numpy":
            return arrays
        return [torch.from_numpy(a.view(np.int32)) for a in arrays]

    found = [int(word[0]) & ONES for word in threefry(words(key), words(counter))]
    assert tuple(found) == answer


def whole(noise, step, n, dtype=torch.float64):
    return noise.normal(step, n, [(0, n)], dtype)


@given(
    st.integers(1, 3000),
    st.integers(0, 2**40),
    st.lists(st.tuples(st.floats(0, 1), st.floats(0, 1)), min_size=1, max_size=4),
)
def test_number_depends_on_seed_step_and_element_only(n, step, cuts):
    everything = whole(Noise(3), step, n)
    spans = [(int(a * n), int(b * (n - int(a * n)))) for a, b in cuts]
    noise = Noise(3)
    noise.normal(step - 1 if step else 5, n, spans, torch.float64)  # whatever was drawn before
    parts = torch.cat([everything[a : a + k] for a, k in spans])
    assert torch.equal(noise.normal(step, n, spans, torch.float64), parts)


@pytest.mark.parametrize("n", [1, 10, 63, 64, 65, 1000, 70_000])
def test_rows_of_a_batch_equal_single_runs(n):
    batch, singles = Noise([5, -6, 2**62]), [Noise(5), Noise(-6), Noise(2**62)]
    for step in (0, 1, 2, 70, 71):
        rows = batch.normal(step, n, [(0, n)], torch.float32)
        for row, single in zip(rows, singles, strict=True):
            assert torch.equal(row, whole(single, step, n, torch.float32))


def test_torch_and_numpy_make_the_same_numbers():
    device = Noise(9)
    device._device = torch.device("cpu", 0)
    numbers = whole(Noise(9), 3, 1000, torch.float32)
    device._on_host = False
    assert torch.equal(whole(device, 3, 1000, torch.float32), numbers)


def test_float32_and_float64_are_the_same_numbers():
    single, double = (whole(Noise(2), 1, 100_000, d) for d in (torch.float32, torch.float64))
    torch.testing.assert_close(single.double(), double, rtol=2e-6, atol=2e-6)


def test_no_number_is_repeated():
    noise = Noise(1)
    rows = torch.stack([whole(noise, step, 130) for step in range(3000)])
    assert len(rows.flatten().unique()) > 0.999 * rows.numel()
    assert not torch.equal(rows[0], whole(Noise(2), 0, 130))
    uniform = noise.uniform(0, 130, [(0, 130)], torch.float64)
    assert not torch.equal(uniform, rows[0])


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_distribution_is_normal(dtype):
    n = 1 << 20
    z = whole(Noise(7), 4, n, dtype).double()
    for moment, expected, variance in ((1, 0, 1), (2, 1, 2), (3, 0, 15), (4, 3, 96)):
        assert abs((z**moment).mean() - expected) < 4.5 * math.sqrt(variance / n), moment
    assert stats.kstest(z.numpy(), "norm").pvalue > 1e-3
    for size in (3.0, 4.0):
        expected = n * 2 * stats.norm.sf(size)
        assert abs((z.abs() > size).sum() - expected) < 5 * math.sqrt(expected), size


def test_neighbours_steps_and_tensors_are_independent():
    n = 1 << 18
    first, second = (whole(Noise(11), step, n) for step in (0, 1))
    bound = 4.5 / math.sqrt(n)
    for lag in (1, 2, 15, 16, 17, 32, 48, 63, 64, 128):
        assert abs((first[lag:] * first[:-lag]).mean()) < bound, lag
        assert abs((first[lag:].square() * first[:-lag].square()).mean() - 1) < 3 * bound, lag
    assert abs((first * second).mean()) < bound
    assert abs((first * whole(Noise(12), 0, n)).mean()) < bound


def test_uniform_moments_and_range():
    u = Noise(1).uniform(2, 42_000, [(0, 42_000)], torch.float64)
    assert -0.5 <= u.min() < u.max() < 0.5
    assert abs(u.mean()) < 4 / math.sqrt(12 * 42_000)
    assert abs(u.var() - 1 / 12) < 4 / math.sqrt(180 * 42_000)


def test_tensors_of_a_block_begin_with_a_block():
    assert (aligned(10, 5), aligned(10, BLOCK), aligned(BLOCK, BLOCK)) == (10, BLOCK, BLOCK)
