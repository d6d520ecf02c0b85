"""Rounding intervals of printed numbers, and completeness of the paper's numbers."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ecd_tune.lab.claims.printed import Number, read_printed

OPTIMIZERS = {"ECDSep", "SGD", "Adam", "AdamW"}


@pytest.mark.parametrize(
    ("text", "value", "half_unit"),
    [("82.50", 82.5, 0.005), ("82.5", 82.5, 0.05), ("2e5", 2e5, 5e4), ("56e6", 56e6, 5e5)],
)
def test_the_last_digit_is_that_of_the_text(text, value, half_unit):
    number = Number(text)
    assert number.value == value
    assert number.half_unit == pytest.approx(half_unit)


@given(st.integers(-10_000, 10_000), st.floats(-0.02, 0.02))
def test_number_represents_its_rounding_interval(hundredths, shift):
    number = Number(f"{hundredths / 100:.2f}")
    inside = abs(shift) < 0.005 * (1 - 1e-6)
    outside = abs(shift) > 0.005 * (1 + 1e-6)
    stands = number.stands_for(hundredths / 100 + shift)
    assert stands or not inside
    assert not (stands and outside)


def test_halves_may_be_rounded_either_way():
    assert Number("82.50").stands_for(82.495)
    assert Number("82.49").stands_for(82.495)
    assert Number("0.13").stands_for(0.125)


def test_every_row_of_the_tables_has_all_optimizers_and_a_scan():
    printed = read_printed()
    assert [len(printed.of_table(f"Table {i}")) for i in (2, 3, 4)] == [3, 2, 8]
    for row in printed.experiments:
        assert set(row.results) == OPTIMIZERS == set(printed.grids[row.grid])
        for name, result in row.results.items():
            assert len(result.runs) >= 2
            assert set(result.best) <= set(printed.grids[row.grid][name])
    assert set(printed.average) == set(printed.average_glue) == OPTIMIZERS
    assert len(printed.scaling) == 6
    assert set(printed.large_bounce) <= {row.name for row in printed.scaling}
