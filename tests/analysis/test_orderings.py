"""The best of k trials over all orders, against counting the orders."""

import math
from itertools import permutations

import pytest

from ecd_tune.analysis.orderings import best_after
from ecd_tune.records import Direction


@pytest.mark.parametrize("direction", Direction)
@pytest.mark.parametrize("share", [0.25, 0.5, 0.75])
def test_quantiles_are_those_of_all_orders(direction, share):
    values = [3.0, 1.0, None, 2.0, 2.0]
    worst = direction.sign * math.inf
    found = best_after(values, range(1, 6), share, direction)
    pick = min if direction is Direction.MINIMIZE else max
    for k, value in zip(range(1, 6), found, strict=True):
        bests = [
            pick(worst if v is None else v for v in order[:k]) for order in permutations(values)
        ]
        bests.sort(key=lambda v: direction.sign * v)
        assert value == bests[math.ceil(share * len(bests)) - 1]


def test_worst_value_without_any_finite_value():
    assert best_after([None, None], [1, 2], 0.5, Direction.MINIMIZE) == (math.inf, math.inf)


def test_works_with_thousands_of_trials():
    values = [float(v) for v in range(3000)]
    assert best_after(values, [1, 3000], 0.5, Direction.MINIMIZE) == (1499.0, 0.0)
