"""Read trials into a sampler's view, one statement a table."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import sqlalchemy as sa
from optuna.trial import FrozenTrial
from optuna.trial import TrialState as OptunaState

from ecd_tune.store import _optuna_schema as optuna_schema

__all__ = ["fill_trials"]


def fill_trials(
    connection: sa.Connection, study_id: int, shown: Mapping[int, FrozenTrial], first: int
) -> None:
    """Read what trials hold: parameters, system attributes, values, reports of pruned ones.

    Args:
        connection: A transaction.
        study_id: Optuna's study id.
        shown: Trial id to the trial, filled in place; one that has parameters keeps them.
        first: Number from which on all trials of the study are new.
    """
    for condition in _where(study_id, shown, first):
        _fill_values(connection, shown, condition)
    bare = {trial_id: trial for trial_id, trial in shown.items() if not trial.params}
    for condition in _where(study_id, bare, first):
        _fill_params(connection, bare, condition)


def _where(
    study_id: int, shown: Mapping[int, FrozenTrial], first: int
) -> Iterator[sa.ColumnElement[bool]]:
    trials = optuna_schema.trials
    known = [trial_id for trial_id, trial in shown.items() if trial.number < first]
    if known:
        yield trials.c.trial_id.in_(known)
    if len(known) < len(shown):
        yield (trials.c.study_id == study_id) & (trials.c.number >= first)


def _fill_params(
    connection: sa.Connection,
    shown: Mapping[int, FrozenTrial],
    condition: sa.ColumnElement[bool],
) -> None:
    columns: tuple[sa.Column[Any], ...]
    table = optuna_schema.trial_params
    columns = (table.c.param_name, table.c.param_value, table.c.distribution_json)
    for trial, name, value, text in _select(
        connection, shown, condition, table.c.param_id, columns
    ):
        distribution = optuna_schema.parse_distribution(text)
        trial.params[name] = distribution.to_external_repr(value)
        trial.distributions[name] = distribution
    table = optuna_schema.trial_system_attributes
    columns = (table.c.key, table.c.value_json)
    for trial, key, text in _select(
        connection, shown, condition, table.c.trial_system_attribute_id, columns
    ):
        trial.system_attrs[key] = optuna_schema.load_attr(text)


def _fill_values(
    connection: sa.Connection,
    shown: Mapping[int, FrozenTrial],
    condition: sa.ColumnElement[bool],
) -> None:
    columns: tuple[sa.Column[Any], ...]
    if all(trial.state is OptunaState.RUNNING for trial in shown.values()):
        return
    table = optuna_schema.trial_values
    columns = (table.c.value, table.c.value_type)
    for trial, value, kind in _select(
        connection, shown, condition, table.c.trial_value_id, columns
    ):
        trial.value = optuna_schema.to_value(value, kind)
    # Samplers look at the reports of pruned trials only.
    if not any(trial.state is OptunaState.PRUNED for trial in shown.values()):
        return
    table = optuna_schema.intermediate_values
    columns = (table.c.step, table.c.intermediate_value, table.c.intermediate_value_type)
    for trial, step, value, kind in _select(
        connection, shown, condition, table.c.trial_intermediate_value_id, columns
    ):
        trial.intermediate_values[step] = optuna_schema.to_intermediate(value, kind)


def _select(
    connection: sa.Connection,
    shown: Mapping[int, FrozenTrial],
    condition: sa.ColumnElement[bool],
    order: sa.Column[int],
    columns: Sequence[sa.Column[Any]],
) -> Iterator[tuple[Any, ...]]:
    """Yield the trial and some columns of each of its rows in one of Optuna's tables."""
    table, trials = order.table, optuna_schema.trials
    statement = (
        sa.select(table.c.trial_id, *columns)
        .join(trials, trials.c.trial_id == table.c.trial_id)
        .where(condition)
        .order_by(order)
    )
    for trial_id, *cells in connection.execute(statement):
        trial = shown.get(trial_id)
        if trial is not None:
            yield trial, *cells
