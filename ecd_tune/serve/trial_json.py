"""Write trials as the dashboard's page wants it, from pieces that are made once."""

from __future__ import annotations

import json
import math
import re
from collections.abc import Iterable
from functools import lru_cache
from typing import Any

from optuna.distributions import FloatDistribution

from ecd_tune.serve.dashboard_internals import (
    MAX_ATTR_LENGTH,
    serialize_distribution,
    serialize_frozen_trial,
)
from ecd_tune.serve.fast_reads import freeze
from ecd_tune.store.db.optuna_tables import parse_distribution
from ecd_tune.store.db.stored import StoredTrial

__all__ = ["SYSTEM_ATTRS", "write_trials"]

SYSTEM_ATTRS = ("fixed_params", "constraints", "artifacts:%")
"""System attributes of a trial that the page shows."""

_OF_A_TRIAL = re.compile(r"dashboard:(?:artifacts:)?(\d+):")


def write_trials(trials: Iterable[StoredTrial], study_id: int, study_attrs: dict[str, Any]) -> str:
    """Write the trials of one study; the dashboard itself writes those that have more than most.

    Args:
        trials: The trials.
        study_id: Optuna's study id.
        study_attrs: System attributes of the study, where the dashboard keeps notes on trials.

    Returns:
        A list, as JSON.
    """
    noted = {int(match[1]) for match in map(_OF_A_TRIAL.match, study_attrs) if match}
    written = [
        json.dumps(serialize_frozen_trial(study_id, freeze(trial), study_attrs))
        if trial.system_attrs or trial.id in noted
        else _write_trial(trial, study_id)
        for trial in trials
    ]
    return f"[{', '.join(written)}]"


def _write_trial(trial: StoredTrial, study_id: int) -> str:
    parts = [
        f'{{"trial_id": {trial.id}, "study_id": {study_id}, "number": {trial.number}',
        f'"state": "{trial.state.capitalize()}"',
        f'"params": [{", ".join([_write_param(*param) for param in trial.params])}]',
        f'"user_attrs": [{", ".join([_write_attr(*attr) for attr in trial.user_attrs])}]',
        f'"intermediate_values": [{", ".join([_write_point(*p) for p in sorted(trial.points)])}]',
        '"note": {"version": 0, "body": ""}, "fixed_params": [], "artifacts": []',
        '"constraints": []',
    ]
    if trial.values:
        parts.append(f'"values": [{", ".join([_write_number(v) for v in trial.values])}]')
    for name, moment in (("start", trial.started), ("complete", trial.completed)):
        if moment is not None:
            parts.append(f'"datetime_{name}": "{moment.isoformat()}"')
    return ", ".join(parts) + "}"


def _write_param(name: str, value: float, distribution: str) -> str:
    frame = _frame(name, distribution)
    if frame is None:
        return _write_any_param(name, value, distribution)
    return f'{frame[0]}{value!r}, "param_external_value": "{value!r}{frame[1]}'


@lru_cache(1000)
def _frame(name: str, text: str) -> tuple[str, str] | None:
    """Return the text around a float's value, which occurs twice; None for other parameters."""
    distribution = parse_distribution(text)
    if not isinstance(distribution, FloatDistribution):
        return None
    shown = json.dumps(serialize_distribution(distribution))
    return (
        f'{{"name": {json.dumps(name)}, "param_internal_value": ',
        f'", "param_external_pytyp": "{float}", "distribution": {shown}}}',
    )


@lru_cache(10_000)  # whole numbers and choices come again and again
def _write_any_param(name: str, value: float, text: str) -> str:
    distribution = parse_distribution(text)
    external = distribution.to_external_repr(value)
    return json.dumps(
        {
            "name": name,
            "param_internal_value": distribution.to_internal_repr(external),
            "param_external_value": str(external),
            "param_external_pytyp": str(type(external)),
            "distribution": serialize_distribution(distribution),
        }
    )


def _write_attr(key: str, text: str) -> str:
    if not text.startswith('"'):
        value = json.loads(text)
        number = isinstance(value, (bool, int, float))
        text = f'"{value}"' if number else json.dumps(json.dumps(value)[:MAX_ATTR_LENGTH])
    return f'{{"key": {json.dumps(key)}, "value": {text}}}'


def _write_point(step: int, value: float) -> str:
    return f'{{"step": {step}, "value": {_write_number(value)}}}'


def _write_number(value: float) -> str:
    # JSON has no word for what is not finite; the page reads it as text.
    return repr(value) if math.isfinite(value) else f'"{value}"'
