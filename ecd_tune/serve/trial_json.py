"""Write a trial as the dashboard's page wants it, from pieces that are made once."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from typing import Any

from optuna.distributions import FloatDistribution

from ecd_tune.serve.dashboard_internals import (
    ARTIFACTS_ATTR_PREFIX,
    DASHBOARD_ARTIFACTS_ATTR_PREFIX,
    MAX_ATTR_LENGTH,
    get_note_from_system_attrs,
    serialize_distribution,
)
from ecd_tune.store.db.optuna_tables import parse_distribution
from ecd_tune.store.db.stored import StoredTrial

__all__ = ["SYSTEM_ATTRS", "TrialWriter"]

_FIXED, _CONSTRAINTS = "fixed_params", "constraints"
SYSTEM_ATTRS = (_FIXED, _CONSTRAINTS, f"{ARTIFACTS_ATTR_PREFIX}%")
_NO_NOTE = '{"version": 0, "body": ""}'


class TrialWriter:
    """Writes the trials of one study.

    Args:
        study_id: Optuna's study id.
        study_attrs: System attributes of the study, where the dashboard keeps notes on trials.
    """

    def __init__(self, study_id: int, study_attrs: Mapping[str, Any]) -> None:
        self._study_id = study_id
        # Most studies have neither notes nor artifacts: then nobody needs to look per trial.
        self._study_attrs = {
            key: value for key, value in study_attrs.items() if key.startswith("dashboard:")
        }
        self._names: dict[tuple[str, str], tuple[str, str] | None] = {}
        self._params: dict[tuple[str, float, str], str] = {}
        self._keys: dict[str, str] = {}

    def write(self, trial: StoredTrial) -> str:
        """Return a trial as JSON."""
        attrs = {key: json.loads(text) for key, text in trial.system_attrs}
        fixed = attrs.get(_FIXED, {})
        parts = [
            f'{{"trial_id": {trial.id}, "study_id": {self._study_id}, "number": {trial.number}',
            f'"state": "{trial.state.capitalize()}"',
            f'"params": [{", ".join([self._write_param(*param) for param in trial.params])}]',
            f'"fixed_params": {_write_fixed(fixed) if fixed else "[]"}',
            f'"user_attrs": [{", ".join([self._write_attr(*attr) for attr in trial.user_attrs])}]',
            f'"note": {self._write_note(trial.id)}',
            f'"artifacts": {self._write_artifacts(trial.id, attrs)}',
            f'"constraints": {json.dumps(attrs[_CONSTRAINTS]) if _CONSTRAINTS in attrs else "[]"}',
            f'"intermediate_values": {_write_steps(trial.points)}',
        ]
        if trial.values:
            parts.append(f'"values": [{", ".join([_write_number(v) for v in trial.values])}]')
        if trial.started is not None:
            parts.append(f'"datetime_start": "{trial.started.isoformat()}"')
        if trial.completed is not None:
            parts.append(f'"datetime_complete": "{trial.completed.isoformat()}"')
        return ", ".join(parts) + "}"

    def _write_param(self, name: str, value: float, distribution: str) -> str:
        try:
            frame = self._names[name, distribution]
        except KeyError:
            frame = self._names[name, distribution] = _frame(name, distribution)
        if frame is not None:
            number = repr(value)
            return f'{frame[0]}{number}, "param_external_value": "{number}{frame[1]}'
        # Whole numbers and choices come again and again.
        key = (name, value, distribution)
        text = self._params.get(key)
        if text is None:
            text = self._params[key] = _write_any_param(*key)
        return text

    def _write_attr(self, key: str, text: str) -> str:
        start = self._keys.get(key)
        if start is None:
            start = self._keys[key] = f'{{"key": {json.dumps(key)}, "value": '
        return f"{start}{_write_attr_value(text)}}}"

    def _write_note(self, trial_id: int) -> str:
        if not self._study_attrs:
            return _NO_NOTE
        return json.dumps(get_note_from_system_attrs(self._study_attrs, trial_id))

    def _write_artifacts(self, trial_id: int, attrs: Mapping[str, Any]) -> str:
        if not self._study_attrs and not attrs:
            return "[]"
        prefix = f"{DASHBOARD_ARTIFACTS_ATTR_PREFIX}{trial_id}:"
        texts = [v for k, v in self._study_attrs.items() if k.startswith(prefix)]
        texts += [v for k, v in attrs.items() if k.startswith(ARTIFACTS_ATTR_PREFIX)]
        found = [json.loads(text) for text in texts]
        return json.dumps([artifact for artifact in found if artifact is not None])


def _frame(name: str, text: str) -> tuple[str, str] | None:
    """Return what stands around a float's number twice; None for other parameters."""
    distribution = parse_distribution(text)
    if not isinstance(distribution, FloatDistribution):
        return None
    shown = json.dumps(serialize_distribution(distribution))
    return (
        f'{{"name": {json.dumps(name)}, "param_internal_value": ',
        f'", "param_external_pytyp": "{float}", "distribution": {shown}}}',
    )


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


def _write_fixed(fixed: Mapping[str, Any]) -> str:
    return json.dumps(
        [{"name": name, "param_external_value": str(value)} for name, value in fixed.items()]
    )


def _write_attr_value(text: str) -> str:
    if text.startswith('"'):
        return text
    value = json.loads(text)
    if isinstance(value, (bool, int, float)):
        return f'"{value}"'
    return json.dumps(json.dumps(value)[:MAX_ATTR_LENGTH])


def _write_steps(steps: list[tuple[int, float]]) -> str:
    if not steps:
        return "[]"
    written = [f'{{"step": {s}, "value": {_write_number(v)}}}' for s, v in sorted(steps)]
    return f"[{', '.join(written)}]"


def _write_number(value: float) -> str:
    # JSON has no word for what is not finite; the page reads it as text.
    return repr(value) if math.isfinite(value) else f'"{value}"'
