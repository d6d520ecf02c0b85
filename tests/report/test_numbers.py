import math
from types import SimpleNamespace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ecd_tune.analysis import Interval
from ecd_tune.report import format_number
from ecd_tune.report.words.numbers import (
    format_duration,
    format_p,
    format_scalar,
    format_within,
    quantile_format,
)


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (0.0, "0"),
        (0.97134, "0.9713"),
        (0.1, "0.1"),
        (0.99994, "0.9999"),
        (0.99996, "0.99996"),
        (1 - 1.5e-9, "0.999999998"),
        (1.00001, "1"),
        (0.001, "0.001"),
        (0.00099999, "0.001"),
        (0.000999, "9.99e-04"),
        (1.23456e-30, "1.235e-30"),
        (572680.3, "5.727e+05"),
        (99999.9, "1e+05"),
        (12345.6, "12350"),
        (-3.14159, "-3.142"),
        (100.0, "100"),
        (None, "–"),
        (math.nan, "NaN"),
        (math.inf, "∞"),
        (-math.inf, "-∞"),
    ],
)
def test_four_digits(value, text):
    assert format_number(value) == text


def test_infinity_can_have_another_label():
    assert format_number(-math.inf, infinite="diverged") == "diverged"


@given(st.floats(-1e308, 1e308))
def test_printed_value_is_close(value):
    assert float(format_number(value)) == pytest.approx(value, rel=5.1e-4, abs=1e-320)


@given(st.floats(allow_nan=False, allow_infinity=False))
def test_hyperparameters_read_back_exactly(value):
    assert float(format_scalar(value)) == value
    assert format_scalar(np.float64(value)) == format_scalar(value)


def test_scalars_of_other_kinds():
    assert [format_scalar(v) for v in (True, False, 3, "hold")] == ["true", "false", "3", "hold"]


@pytest.mark.parametrize(
    ("value", "spread", "text"),
    [
        (0.77694, 0.0086, "0.7769"),
        (0.7, 0.0086, "0.7000"),
        (0.9694, 0.058, "0.969"),
        (12.3456, 1.2, "12.3"),
        (1234.5, 120.0, "1230"),
        (0.5, None, "0.5"),
        (0.5, 0.0, "0.5"),
        (math.inf, 0.1, "diverged"),
        (3.14159e-7, 1.2e-9, "3.142e-07"),
    ],
)
def test_numbers_are_rounded_to_their_uncertainty(value, spread, text):
    assert format_within(value, spread, "diverged") == text


@pytest.mark.parametrize(("p", "text"), [(None, "–"), (3e-9, "< 0.0001"), (0.01234, "0.012")])
def test_p(p, text):
    assert format_p(p) == text


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (None, "–"),
        (0.5, "0.5 s"),
        (12.34, "12.3 s"),
        (245.0, "4 min 05 s"),
        (7380.0, "2 h 03 min"),
        (7199.9, "2 h 00 min"),
    ],
)
def test_durations(seconds, text):
    assert format_duration(seconds) == text


def test_an_optimizer_whose_runs_all_diverge_does_not_change_the_digits_of_others():
    lost, sure = (
        Interval(low, high, "", 0.95) for low, high in ((math.inf, math.inf), (0.70, 0.72))
    )
    for intervals in ((lost, sure), (sure, lost)):
        rows = [SimpleNamespace(median_interval=interval) for interval in intervals]
        assert quantile_format(rows, log=False)(0.71234) == "0.712"
