"""Stratified choices: exact sizes, correct shares, no repetition."""

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from ecd_tune.tasks._strata import sample_rows, split_rows

strata = st.lists(st.integers(0, 4), min_size=5, max_size=200).map(np.array)


@given(strata, st.data(), st.integers(0, 3))
def test_sampling_keeps_the_shares(groups, data, seed):
    count = data.draw(st.integers(0, len(groups)))
    rows = sample_rows(groups, count, seed)
    assert len(rows) == len(set(rows.tolist())) == count
    for stratum in set(groups.tolist()):
        share = count * (groups == stratum).sum() / len(groups)
        assert abs((groups[rows] == stratum).sum() - share) < 1 + 1e-9


@given(strata, st.integers(0, 3))
def test_splitting_is_a_partition_60_20_20(groups, seed):
    parts = split_rows(groups, seed)
    assert np.array_equal(np.sort(np.concatenate(list(parts.values()))), np.arange(len(groups)))
    for name, fifths in {"train": 3, "val": 1, "test": 1}.items():
        assert abs(len(parts[name]) - fifths * len(groups) / 5) < 1.21


def test_seed_decides():
    groups = np.arange(100) % 3
    assert np.array_equal(sample_rows(groups, 20, 1), sample_rows(groups, 20, 1))
    assert not np.array_equal(sample_rows(groups, 20, 1), sample_rows(groups, 20, 2))
