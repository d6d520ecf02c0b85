import itertools
import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from ecd_tune.analysis import (
    compare_paired,
    fewest_pairs,
    holm,
    signed_rank_p,
    smallest_detectable,
    smallest_p,
)
from ecd_tune.analysis.signed_rank import _pair_mean, equivalence_p, signed_rank_interval
from ecd_tune.records import Direction

MIN, MAX = Direction.MINIMIZE, Direction.MAXIMIZE


def enumerate_p(differences):
    """Count all sign patterns: the definition of the test."""
    kept = [d for d in differences if d != 0]
    ranks = stats.rankdata(np.abs(kept))
    observed = abs(sum(r * math.copysign(1, d) for r, d in zip(ranks, kept, strict=True)))
    patterns = list(itertools.product((-1, 1), repeat=len(kept)))
    sums = [abs(sum(s * r for s, r in zip(signs, ranks, strict=True))) for signs in patterns]
    return sum(total >= observed for total in sums) / len(patterns)


@given(st.lists(st.integers(-5, 5), min_size=1, max_size=9))
def test_p_with_ties_equals_the_enumeration_of_signs(differences):
    assert signed_rank_p(differences) == pytest.approx(enumerate_p(differences))


@pytest.mark.parametrize("n", [5, 12, 40])
def test_p_without_ties_is_scipys(n):
    differences = np.random.default_rng(n).normal(0.3, 1, n)
    expected = stats.wilcoxon(differences, method="exact").pvalue
    assert signed_rank_p(differences) == pytest.approx(expected, rel=1e-9)


def test_p_of_equal_sides_is_one():
    assert signed_rank_p([0.0, 0.0]) == 1.0


def test_infinite_differences_have_the_largest_rank():
    assert signed_rank_p([math.inf, 1.0, 2.0]) == signed_rank_p([9.0, 1.0, 2.0])
    assert signed_rank_p([-math.inf, 1.0, 2.0]) == signed_rank_p([-9.0, 1.0, 2.0])


def test_exact_p_for_hundreds_of_pairs():
    differences = np.random.default_rng(0).normal(0.0, 1, 300)
    expected = stats.wilcoxon(differences, method="approx").pvalue
    assert signed_rank_p(differences) == pytest.approx(expected, abs=2e-3)


def test_normal_approximation_for_thousands_of_pairs():
    differences = np.random.default_rng(0).normal(0.03, 1, 1500)
    expected = stats.wilcoxon(differences, method="approx").pvalue
    assert signed_rank_p(differences) == pytest.approx(expected, rel=1e-6)


def test_the_interval_is_that_of_hollander_and_wolfe():
    # Table 3.1, the Hamilton depression scale before and after a tranquilizer; examples 3.3, 3.4.
    before = [1.83, 0.50, 1.62, 2.48, 1.68, 1.88, 1.55, 3.06, 1.30]
    after = [0.878, 0.647, 0.598, 2.05, 1.06, 1.29, 1.06, 3.14, 1.29]
    found = compare_paired(dict(enumerate(after)), dict(enumerate(before)), MIN)
    assert found.effect == pytest.approx(-0.46)
    ends = found.effect_interval
    assert (ends.low, ends.high) == pytest.approx((-0.786, -0.010))


@given(st.lists(st.floats(-100, 100), min_size=1, max_size=12, unique_by=abs))
def test_the_interval_leaves_zero_out_where_the_test_rejects_it(differences):
    interval = signed_rank_interval(differences)
    assert (interval is None) is (len(differences) < 6)
    if interval and 0 not in {a + b for a in differences for b in differences}:
        assert (interval.low > 0 or interval.high < 0) is (signed_rank_p(differences) <= 0.05)


def test_the_interval_of_thousands_is_about_that_of_the_normal_distribution():
    differences = np.random.default_rng(0).normal(0.0, 1, 1500).tolist()
    ends = signed_rank_interval(differences)
    half = 1.96 / math.sqrt(3 / math.pi * 1500)
    assert (ends.high - ends.low) / 2 == pytest.approx(half, rel=0.05)


def test_the_interval_of_thousands_agrees_with_their_p_value():
    # Of the ranks 1 to 1001 those with a plus sum up to ``most`` or one more; to reject, at most
    # mean - 1.96 sd are allowed.
    n = 1001
    most = math.floor(n * (n + 1) / 4 - 1.959964 * math.sqrt(n * (n + 1) * (2 * n + 1) / 24))
    for total in (most, most + 1):
        plus, left = set(), total
        for rank in range(n, 0, -1):
            if rank <= left:
                plus.add(rank)
                left -= rank
        sizes = [rank if rank in plus else -rank for rank in range(1, n + 1)]
        interval = signed_rank_interval(sizes)
        assert (interval.high < 0) is (signed_rank_p(sizes) <= 0.05) is (total == most)


@given(
    st.lists(
        st.sampled_from([-math.inf, math.inf, 0.0, 1e-30, 0.5])
        | st.integers(-2, 2).map(float)
        | st.floats(-1e3, 1e3),
        min_size=1,
        max_size=12,
    ),
    st.data(),
)
def test_means_of_pairs_of_many_differences_are_found_without_listing_them(differences, data):
    halves = np.sort(differences) / 2
    with np.errstate(invalid="ignore"):
        means = np.nan_to_num(
            [a + b for a, b in itertools.combinations_with_replacement(halves, 2)],
            posinf=math.inf,
            neginf=-math.inf,
        )
    place = data.draw(st.integers(0, len(means) - 1))
    assert _pair_mean(halves, place) == pytest.approx(np.sort(means)[place], abs=1e-12)


def test_thousands_of_pairs_need_no_table_of_their_means():
    differences = np.random.default_rng(0).normal(0.0, 1, 1500)
    means = np.add.outer(differences, differences)[np.triu_indices(1500)] / 2
    found = compare_paired(dict(enumerate(differences)), dict.fromkeys(range(1500), 0.0), MIN)
    assert found.effect == pytest.approx(np.median(means), rel=1e-12)


def test_runs_without_a_value_on_both_sides_balance():
    differences = [math.inf, -math.inf, 0.0, 1.0, -1.0, 2.0, -2.0]
    ends = signed_rank_interval(differences)
    assert ends.low == -ends.high == -math.inf
    found = compare_paired({0: math.inf, 1: 1.0, 2: 1.0}, {0: 1.0, 1: math.inf, 2: 1.0}, MIN)
    assert found.effect == 0.0


def test_only_common_seeds_are_compared():
    found = compare_paired({1: 1.0, 2: 2.0, 3: 3.0}, {2: 3.0, 3: 3.0, 4: 0.0}, MIN)
    assert (found.pairs, found.wins, found.losses, found.ties) == (2, 1, 0, 1)
    assert (found.effect, found.lead) == (-0.5, 1)


@pytest.mark.parametrize(("direction", "wins"), [(MIN, 0), (MAX, 6)])
def test_direction_decides_who_wins(direction, wins):
    first = {seed: 0.9 + seed / 1000 for seed in range(6)}
    second = dict.fromkeys(range(6), 0.8)
    found = compare_paired(first, second, direction)
    assert (found.wins, found.losses) == (wins, 6 - wins)
    assert found.lead == (1 if wins else -1)
    assert found.effect == pytest.approx(0.1025)
    assert found.effect_interval.low == pytest.approx(0.1)
    assert found.p_value == pytest.approx(2 / 2**6)


def test_sides_are_symmetric():
    rng = np.random.default_rng(1)
    first = dict(enumerate(rng.lognormal(size=9)))
    second = dict(enumerate(rng.lognormal(size=9)))
    one, other = compare_paired(first, second, MIN), compare_paired(second, first, MIN)
    assert (one.wins, one.losses) == (other.losses, other.wins)
    assert one.effect == -other.effect
    assert one.p_value == other.p_value


def test_logarithms_give_ratios():
    first = {seed: 10.0**-seed for seed in range(7)}
    second = {seed: 100 * value for seed, value in first.items()}
    found = compare_paired(first, second, MIN, log=True)
    assert found.effect == pytest.approx(-2)
    assert (found.effect_interval.low, found.effect_interval.high) == pytest.approx((-2, -2))


def test_an_exact_zero_is_better_than_any_positive_value():
    found = compare_paired({0: 0.0, 1: 0.0}, {0: 1e-300, 1: 0.0}, MIN, log=True)
    assert (found.wins, found.ties) == (1, 1)


@pytest.mark.parametrize("direction", Direction)
def test_diverged_run_loses_and_two_diverged_runs_tie(direction):
    worst = direction.sign * math.inf
    found = compare_paired({0: worst, 1: worst, 2: 1.0}, {0: 1.0, 1: worst, 2: worst}, direction)
    assert (found.wins, found.losses, found.ties) == (1, 1, 1)
    assert found.sd is None


def test_mostly_diverged_has_no_finite_difference():
    found = compare_paired(dict.fromkeys(range(6), math.inf), dict.fromkeys(range(6), 1.0), MIN)
    assert found.effect == math.inf
    assert found.p_value == pytest.approx(2 / 64)


def test_no_common_seeds():
    found = compare_paired({1: 1.0}, {2: 1.0}, MIN)
    assert found.pairs == 0
    assert (found.effect, found.p_value, found.share_interval) == (None, None, None)


def test_equal_accuracies():
    same = dict.fromkeys(range(10), 0.97)
    found = compare_paired(same, same, MAX)
    assert (found.ties, found.effect, found.p_value) == (10, 0.0, 1.0)
    assert (found.lead, found.sd) == (0, 0.0)


@pytest.mark.parametrize("n", [1, 2, 5, 9])
def test_smallest_p_is_that_of_equal_signs(n):
    assert smallest_p(n) == signed_rank_p(range(1, n + 1))


@pytest.mark.parametrize(("comparisons", "pairs"), [(1, 6), (2, 7), (3, 7), (6, 8), (10, 9)])
def test_the_fewest_pairs_are_the_first_whose_smallest_p_is_enough(comparisons, pairs):
    assert fewest_pairs(comparisons) == pairs
    assert comparisons * smallest_p(pairs) < 0.05 <= comparisons * smallest_p(pairs - 1)
    assert smallest_detectable(pairs - 1, 1.0, comparisons) is None
    assert smallest_detectable(pairs, 1.0, comparisons) > 0


@pytest.mark.parametrize(("n", "comparisons"), [(12, 1), (12, 6), (40, 3)])
def test_detectable_shift_has_power_80_percent(n, comparisons):
    shift = smallest_detectable(n, 2.0, comparisons)
    draws = np.random.default_rng(5).normal(shift, 2.0, (600, n))
    seen = np.mean([comparisons * signed_rank_p(row) < 0.05 for row in draws])
    assert 0.72 < seen < 0.88  # the standard error of the share is .016


def test_no_detectable_shift_without_spread():
    assert smallest_detectable(10, 0.0, 1) is smallest_detectable(10, None, 1) is None


def test_holm_by_hand():
    # 0.01 * 3, then 0.02 * 2, then the running maximum holds the last one up.
    assert holm([0.03, 0.01, None, 0.02]) == pytest.approx((0.04, 0.03, None, 0.04))
    assert holm([0.6, 0.9]) == (1.0, 1.0)
    assert holm([]) == ()


@given(st.lists(st.floats(0, 1), min_size=1, max_size=8))
def test_holm_keeps_order_and_never_lowers(p_values):
    adjusted = holm(p_values)
    assert all(p <= a <= 1 for p, a in zip(p_values, adjusted, strict=True))
    order = np.argsort(p_values, kind="stable")
    assert all(adjusted[a] <= adjusted[b] for a, b in itertools.pairwise(order))


@pytest.mark.parametrize("n", [5, 12, 40])
def test_equivalence_is_two_one_sided_tests_of_scipys(n):
    differences = np.random.default_rng(n).normal(0.1, 1, n)
    for margin in (0.05, 0.5, 2.0):
        above = stats.wilcoxon(differences + margin, alternative="greater", method="exact").pvalue
        below = stats.wilcoxon(differences - margin, alternative="less", method="exact").pvalue
        found = equivalence_p(list(differences), margin)
        assert found == pytest.approx(max(above, below), rel=1e-9)


@given(st.lists(st.integers(-5, 5), min_size=1, max_size=12), st.integers(1, 12))
def test_equivalence_is_symmetric_and_exact(differences, margin):
    found = equivalence_p(differences, margin)
    assert found == pytest.approx(equivalence_p([-d for d in differences], margin))
    assert 0 < found <= 1
    if min(differences) >= margin:
        assert found == 1.0
    if max(map(abs, differences)) < margin:
        assert found == pytest.approx(2.0 ** -len(differences))


def test_infinite_difference_is_never_equivalent():
    assert equivalence_p([math.inf] * 8, 1e9) == 1.0
    assert equivalence_p([0.0] * 8, 1e-9) == pytest.approx(2.0**-8)


def test_no_equivalence_without_a_margin():
    assert compare_paired({1: 0.0}, {1: 0.1}, MIN).equivalence_p is None
    assert compare_paired({1: 0.0}, {2: 0.1}, MIN, margin=1.0).equivalence_p is None
