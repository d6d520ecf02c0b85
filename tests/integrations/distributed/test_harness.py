"""The harness: results by rank, and messages for ranks that fail, hang or die."""

from __future__ import annotations

import os
import time

import pytest
import torch
import torch.distributed as dist

from tests.integrations.distributed.harness import RankError, run_ranks

MODULE = "tests.integrations.distributed.test_harness"
pytestmark = pytest.mark.timeout(600)


def sums_ranks(folder):
    total = torch.tensor([dist.get_rank() + 1.0])
    dist.all_reduce(total)
    return dist.get_rank(), total


def fails_on_one(folder):
    if dist.get_rank() == 1:
        raise ValueError("the second rank is to blame")
    dist.all_reduce(torch.zeros(1))


def returns_what_cannot_be_pickled(folder):
    return lambda: None


def dies_on_one(folder):
    if dist.get_rank() == 1:
        os._exit(3)
    return "alive"


def hangs_on_one(folder):
    while dist.get_rank() == 1:
        time.sleep(0.1)


@pytest.fixture(scope="module")
def ranks():
    return run_ranks(
        MODULE,
        ["fails_on_one", "returns_what_cannot_be_pickled", "sums_ranks", "dies_on_one"],
    )


def test_each_rank_returns_its_result_after_others_failed(ranks):
    assert ranks.of("sums_ranks") == [(0, torch.tensor([3.0])), (1, torch.tensor([3.0]))]


def test_traceback_of_the_failing_rank_is_shown_and_the_other_is_released(ranks):
    with pytest.raises(AssertionError, match="the second rank is to blame") as raised:
        ranks.of("fails_on_one")
    assert "in fails_on_one" in str(raised.value)
    assert isinstance(ranks["fails_on_one"][0], RankError)


def test_result_that_cannot_be_pickled_is_an_error(ranks):
    with pytest.raises(AssertionError, match="pickle"):
        ranks.of("returns_what_cannot_be_pickled")


def test_dead_process_is_an_error(ranks):
    assert ranks["dies_on_one"][0] == "alive"
    with pytest.raises(AssertionError, match="its process died"):
        ranks.of("dies_on_one")


def test_hang_is_ended_and_located():
    results = run_ranks(MODULE, ["hangs_on_one", "sums_ranks"], deadline=5.0)
    with pytest.raises(AssertionError, match="in hangs_on_one"):
        results.of("hangs_on_one")
    assert all(isinstance(result, RankError) for result in results["sums_ranks"])
