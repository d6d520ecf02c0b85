"""Rungs and brackets, compared with Optuna's Hyperband."""

from __future__ import annotations

import warnings
from collections import Counter
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from optuna.exceptions import ExperimentalWarning
from optuna.pruners import HyperbandPruner

from ecd_tune.errors import SpecError
from ecd_tune.records import RunRequest
from ecd_tune.spec import Rungs, StudySpec, parse_study


def make_spec(steps: int = 27, training: Any = None, **pruning: Any) -> StudySpec:
    return parse_study(
        {
            "name": "rungs",
            "task": {"name": "digits"},
            "budget": {"trials": 4, "steps": steps},
            "pruning": {"resume": True, **pruning},
            "training": training or {},
            "optimizers": {"adam": {"space": {"lr": {"low": 0.1, "high": 1.0}}}},
        }
    )


@pytest.mark.parametrize(
    ("steps", "pruning", "brackets"),
    [
        (27, {"kind": "successive_halving"}, [(1, 3, 9)]),
        (28, {"kind": "successive_halving"}, [(1, 3, 9, 27)]),
        (20, {"kind": "successive_halving", "least_epochs": 5, "reduction": 2}, [(5, 10)]),
        (20, {"kind": "successive_halving", "least_epochs": 20}, [()]),
        (27, {"kind": "hyperband"}, [(1, 3, 9), (3, 9), (9,), ()]),
        (20, {"kind": "hyperband"}, [(1, 3, 9), (3, 9), (9,)]),
        (8, {"kind": "hyperband", "least_epochs": 2, "reduction": 2}, [(2, 4), (4,), ()]),
    ],
)
def test_rungs(steps: int, pruning: dict[str, Any], brackets: list[tuple[int, ...]]) -> None:
    rungs = Rungs(make_spec(steps, **pruning), "adam")
    assert list(rungs.brackets) == brackets
    for number, epochs in enumerate(brackets):
        found = [rungs.until(number, promotions) for promotions in range(len(epochs) + 1)]
        assert found == [*epochs, None]


def test_rungs_are_at_evaluated_epochs() -> None:
    spec = make_spec(27, {"eval_every": 2}, kind="successive_halving")
    assert Rungs(spec, "adam").brackets == ((2, 4, 10),)
    spec = make_spec(27, {"eval_every": 20}, kind="successive_halving")
    assert Rungs(spec, "adam").brackets == ((20,),)


@settings(max_examples=40, deadline=None)
@given(st.integers(1, 4), st.integers(2, 5), st.integers(4, 90))
def test_shares_of_brackets_are_optunas(least: int, reduction: int, steps: int) -> None:
    spec = make_spec(steps, kind="hyperband", least_epochs=least, reduction=reduction)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ExperimentalWarning)
        peer = HyperbandPruner(least, steps, reduction)
        peer._try_initialization(None)  # type: ignore[arg-type]  # looks at no study here
    dealt, before = Rungs(spec, "adam")._dealt, 0
    theirs = peer._trial_allocation_budgets
    shares = [one - two for one, two in zip(dealt, [before, *dealt], strict=False)]
    assert shares == theirs


def test_trials_are_assigned_to_brackets_by_seed() -> None:
    spec = make_spec(27, kind="hyperband")
    rungs, key = Rungs(spec, "adam"), spec.key("adam")
    counts = Counter(rungs.bracket(key, RunRequest({}, seed)) for seed in range(4900))
    # 27, 12, 6 and 4 of 49; five standard deviations of a binomial are 175 and fewer.
    for number, share in enumerate((27, 12, 6, 4)):
        assert abs(counts[number] - 100 * share) < 175
    again = Rungs(spec, "adam")
    assert rungs.bracket(key, RunRequest({"lr": 1.0}, 7)) == again.bracket(key, RunRequest({}, 7))


def test_invalid_pruning_is_refused() -> None:
    with pytest.raises(SpecError, match="least_epochs = 28: a trial has 27 epochs"):
        make_spec(kind="successive_halving", least_epochs=28)
    with pytest.raises(SpecError, match="does not accept resume"):
        make_spec(kind="median")


def test_resume_false_keeps_the_fingerprint() -> None:
    plain, resumed = make_spec(kind="hyperband", resume=False), make_spec(kind="hyperband")
    assert plain.identity("adam")["pruning"] == {
        "kind": "hyperband",
        "least_epochs": 1,
        "reduction": 3,
    }
    assert resumed.identity("adam")["pruning"]["resume"] is True
