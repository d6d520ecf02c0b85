"""``[launch]``: where workers start; not part of a study's identity."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ecd_tune.errors import SpecError
from ecd_tune.spec import StudySpec, parse_minutes, parse_study


def study(**launch: Any) -> StudySpec:
    return parse_study(
        {
            "name": "a",
            "task": {"name": "zakharov"},
            "budget": {"trials": 1, "steps": 1},
            "launch": launch,
            "optimizers": {"sgd": {"space": {"lr": 0.1}}},
        }
    )


def test_launch_table_does_not_change_the_fingerprint() -> None:
    there = study(on="slurm", workers=4, time="4:00:00", options={"account": "me"})
    assert there.launch.workers == 4
    assert there.fingerprint("sgd") == study().fingerprint("sgd")


@given(st.integers(0, 30), st.integers(0, 23), st.integers(0, 59), st.integers(0, 59))
def test_a_time_is_read_as_slurm_reads_it(
    days: int, hours: int, minutes: int, seconds: int
) -> None:
    expected = days * 1440 + hours * 60 + minutes + (seconds > 0)
    text = f"{days}-{hours}:{minutes:02}:{seconds:02}"
    if expected:
        assert parse_minutes(text) == expected
        assert parse_minutes(str(expected)) == expected
    else:
        with pytest.raises(ValueError, match="at least a minute"):
            parse_minutes(text)


@pytest.mark.parametrize("text", ["", "an hour", "1:2:3:4", "4:00", "-5", "1.5", "٤"])
def test_a_wrong_time_is_one_message(text: str) -> None:
    with pytest.raises(SpecError, match=r"\[launch\]: time: .*expected minutes"):
        study(time=text)


def test_both_rules_for_gpus_are_refused() -> None:
    with pytest.raises(SpecError, match="mutually exclusive"):
        study(gpus_per_worker=1, workers_per_gpu=2)
