"""Random numbers as a function of a key and a position."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch.func import vmap
from torch.nn import functional as F

from ecd_tune.tasks.counter import CounterDropout, _mix, has_dropout, integers, uniform

COUNT = 200_000
KEYS = st.integers(-(2**63), 2**63 - 1)


def splitmix(seed: int, count: int) -> list[int]:
    """The published algorithm (Steele, Lea and Flood 2014), one number after the other."""
    word, found = 2**64 - 1, []
    for number in range(count):
        z = (seed + number * 0x9E3779B97F4A7C15) & word
        z = ((z ^ (z >> 30)) * 0xBF58476D1CE4E5B9) & word
        z = ((z ^ (z >> 27)) * 0x94D049BB133111EB) & word
        found.append(z ^ (z >> 31))
    return found


def test_the_first_numbers_of_seed_0_are_the_published_ones() -> None:
    # Of java.util.SplittableRandom and of the reference code; the first state is γ, not 0.
    assert splitmix(0, 4)[1:] == [0xE220A8397B1DCDAF, 0x6E789E6AA1B965F4, 0x06C45D188009454F]


@given(KEYS)
def test_numbers_are_those_of_the_algorithm(key: int) -> None:
    position = torch.arange(5) * (0x9E3779B97F4A7C15 - 2**64)
    found = [value % 2**64 for value in _mix(position + key).tolist()]
    assert found == splitmix(key % 2**64, 5)


@given(KEYS, st.lists(st.integers(0, 2**40), min_size=1, max_size=20, unique=True))
def test_a_row_depends_on_its_key_and_position_alone(key: int, rows: list[int]) -> None:
    keys, places = torch.full((len(rows),), key), torch.tensor(rows)
    together = uniform(keys, places, 3)
    assert torch.equal(together, uniform(torch.tensor(key), places, 3))
    assert torch.equal(together[-1:], uniform(torch.tensor(key), places[-1:], 3))
    assert ((together >= 0) & (together < 1)).all()


def test_uniform_numbers_are_uniform_and_independent() -> None:
    x = uniform(torch.tensor(3), torch.arange(COUNT), 3).double().numpy()
    bound = 5 / math.sqrt(COUNT)
    for power in (1, 2, 3):  # moments 1/(k + 1), within five standard errors
        assert np.abs((x**power).mean(0) - 1 / (power + 1)).max() < bound / 2
    centred = (x - 0.5) * math.sqrt(12)
    assert np.abs(np.corrcoef(centred.T) - np.eye(3)).max() < bound
    assert np.abs((centred[1:] * centred[:-1]).mean(0)).max() < bound
    other = uniform(torch.tensor(4), torch.arange(COUNT), 3).double().numpy()
    assert np.abs(((other - 0.5) * math.sqrt(12) * centred).mean(0)).max() < bound


def test_whole_numbers_are_uniform() -> None:
    found = integers(torch.tensor(3), torch.arange(COUNT), 10)
    counts = found.bincount(minlength=10)
    assert (counts - COUNT / 10).square().sum() / (COUNT / 10) < 27.9  # chi², 9 degrees, p = .001
    assert torch.equal(found[5:6], integers(torch.tensor(3), torch.tensor([5]), 10))


@pytest.mark.parametrize("p", [0.1, 0.5])
@pytest.mark.parametrize("shape", [(COUNT,), (400, 500), (20, 2, 50, 101)])
def test_dropout_keeps_its_share_and_the_mean(shape: tuple[int, ...], p: float) -> None:
    x = torch.ones(shape)
    with CounterDropout(torch.tensor(1)):
        first, second = (F.dropout(x, p) for _ in range(2))
    for found in (first, second):
        assert set(found.unique().tolist()) == {0.0, torch.tensor(1.0).div(1 - p).item()}
        assert float((found == 0).double().mean()) == pytest.approx(p, abs=2.5 / math.sqrt(COUNT))
    both = float(((first == 0) & (second == 0)).double().mean())
    assert both == pytest.approx(p * p, abs=2.5 / math.sqrt(COUNT))
    along = (first.flatten()[1:] == 0) & (first.flatten()[:-1] == 0)
    assert float(along.double().mean()) == pytest.approx(p * p, abs=2.5 / math.sqrt(COUNT))


def test_dropout_of_everything_of_one_number_and_in_place() -> None:
    with CounterDropout(torch.tensor(1)):
        assert torch.equal(F.dropout(torch.ones(3, 5), 1.0), torch.zeros(3, 5))
        assert float(F.dropout(torch.tensor(2.0), 0.5)) in (0.0, 4.0)
        x = torch.ones(50)
        assert F.dropout(x, 0.5, inplace=True) is x
        assert 0 < int((x == 0).sum()) < 50


def test_dropout_of_a_row_is_its_own_under_vmap_and_padding_changes_nothing() -> None:
    keys, x = torch.tensor([5, -9, 2**62]), torch.rand(3, 4, 6, 8)

    def drop(key: torch.Tensor, own: torch.Tensor) -> torch.Tensor:
        with CounterDropout(key):
            return F.dropout(own, 0.3)

    together = vmap(drop)(keys, x)
    for row, key in enumerate(keys):
        assert torch.equal(together[row], drop(key, x[row]))
        padded = drop(key, F.pad(x[row], (0, 5, 0, 3)))
        assert torch.equal(padded[:, :6, :8], together[row])


def test_dropout_is_torchs_outside_training_or_the_context() -> None:
    x = torch.ones(1000)
    with CounterDropout(torch.tensor(1)):
        assert F.dropout(x, 0.5, training=False) is x
        inside = F.dropout(x, 0.5)
    torch.manual_seed(0)
    outside = F.dropout(x, 0.5)
    assert not torch.equal(inside, outside)
    assert has_dropout(torch.nn.Sequential(torch.nn.Dropout(0.1)))
    assert not has_dropout(torch.nn.Sequential(torch.nn.Dropout(0.0), torch.nn.ReLU()))
