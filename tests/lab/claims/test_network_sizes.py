"""Numbers of parameters by arithmetic; tests/tasks counts them in the networks."""

from __future__ import annotations

import pytest

from ecd_tune.lab.claims.networks import NETWORKS, count_bert, count_resnet18
from ecd_tune.lab.claims.printed import read_printed

SIZES = {
    "sage-arxiv": 218_664,
    "sage-proteins": 193_136,
    "resnet18-tiny": 11_271_432,
    "resnet18": 11_689_512,
    "wrn-28-10": 36_546_980,
    "bert-base": 109_483_778,
}


@pytest.mark.parametrize(("name", "size"), SIZES.items())
def test_networks_of_table_5(name, size):
    assert NETWORKS[name]() == size


def test_table_5_names_these_and_no_others():
    assert {row.network for row in read_printed().scaling} == set(NETWORKS) == set(SIZES)


def test_heads_differ_by_number_of_classes():
    assert count_bert(3) - count_bert(2) == 769
    assert count_bert(2) - count_bert(1) == 769
    assert count_resnet18(1000, stem=7) - count_resnet18(999, stem=7) == 513
    assert count_resnet18(10, stem=7) - count_resnet18(10, stem=3) == 3 * 64 * (49 - 9)
