"""Seeded noise: resumable at any point, and the same alone as in a batch."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from ecd_tune.optim.noise import NoiseBatch, NoiseSource


@given(st.integers(1, 9000), st.integers(0, 40), st.sampled_from([torch.float32, torch.float64]))
def test_restored_source_goes_on_with_the_same_numbers(n, before, dtype):
    source, other = NoiseSource(3), NoiseSource(4)
    for _ in range(before):
        source.draw(n, dtype)
    other.load_state_dict(source.state_dict())
    for _ in range(3):
        assert torch.equal(source.draw(n, dtype), other.draw(n, dtype))


@pytest.mark.parametrize("n", [1, 10, 3000])
def test_batch_rows_are_single_sources(n):
    batch, singles = NoiseBatch([5, 6]), [NoiseSource(5), NoiseSource(6)]
    for _ in range(4097 // n + 2):
        rows = batch.draw(n, torch.float64)
        for row, single in zip(rows, singles, strict=True):
            assert torch.equal(row, single.draw(n, torch.float64))


def test_normal_and_uniform_moments():
    source = NoiseSource(1)
    z = torch.cat([source.draw(7, torch.float64) for _ in range(6000)])
    assert abs(z.mean().item()) < 4 / 42_000**0.5
    assert abs(z.var().item() - 1) < 4 * (2 / 42_000) ** 0.5
    u = source.uniform(42_000, torch.float64)
    assert -0.5 <= u.min().item() < u.max().item() < 0.5
    assert abs(u.mean().item()) < 4 / (12 * 42_000) ** 0.5


def test_rows_are_not_repeated():
    source = NoiseSource(1)
    rows = torch.stack([source.draw(10, torch.float32) for _ in range(1000)])
    assert len(rows.unique(dim=0)) == 1000


def test_uniform_between_draws_can_be_resumed():
    source, other = NoiseSource(3), NoiseSource(4)
    source.draw(5, torch.float64)
    source.uniform(5, torch.float64)
    other.load_state_dict(source.state_dict())
    assert torch.equal(source.draw(5, torch.float64), other.draw(5, torch.float64))
