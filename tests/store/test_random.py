"""Random points are those of Optuna's random sampler."""

from __future__ import annotations

import optuna
from hypothesis import given
from hypothesis import strategies as st

from ecd_tune.space import Space
from ecd_tune.space.parse import parse_space
from ecd_tune.store.sampling.random_points import draw_random


@st.composite
def spaces(draw: st.DrawFn) -> Space:
    """Ranges of both kinds, with and without a logarithm, choices, and a condition."""
    low = draw(st.floats(1e-6, 10.0))
    least = draw(st.integers(1, 5))
    values = draw(st.lists(st.sampled_from("abcde"), min_size=2, max_size=4, unique=True))
    data = {
        "linear": {"low": -low, "high": low + draw(st.floats(1e-3, 1e3))},
        "choice": values,
        "whole": {"low": least, "high": least + draw(st.integers(1, 9)), "type": "int"},
        "log": {"low": low, "high": low * draw(st.floats(1.5, 1e6)), "log": True},
        "fixed": 3.0,
        "log_whole": {"low": least, "high": least + 40, "log": True, "type": "int"},
        "sometimes": {"low": 0.0, "high": 1.0, "when": {"choice": values[:2]}},
    }
    return parse_space(data)


@given(space=spaces(), seed=st.integers(0, 2**32 - 1))
def test_points_are_those_of_optuna_s_random_sampler(space: Space, seed: int) -> None:
    study = optuna.create_study(sampler=optuna.samplers.RandomSampler(seed))
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    for point in draw_random(space, 3, seed):
        trial = study.ask()
        assert point.params == space.suggest(trial)
        assert dict(point.distributions) == trial.distributions
        assert point.system_attrs == {}
