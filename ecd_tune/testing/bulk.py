"""Fill a study with finished trials, thousands at once, to measure at size."""

from __future__ import annotations

import numpy as np
import sqlalchemy as sa
from optuna.trial import TrialState as OptunaState

from ecd_tune.records import Params
from ecd_tune.space import Space
from ecd_tune.spec import StudySpec
from ecd_tune.store import Store
from ecd_tune.store.db import optuna_tables, tables
from ecd_tune.store.db.cells import utc_now
from ecd_tune.store.sampling.points import StoredPoint
from ecd_tune.store.studies import find_study
from ecd_tune.store.trials.counts import count_trials
from ecd_tune.store.trials.insert import Draft, insert_trials

__all__ = ["fill_study"]


def fill_study(store: Store, spec: StudySpec, optimizer: str, count: int) -> None:
    """Add finished trials at random points to the search of one optimizer.

    Args:
        store: The store; the study was created there.
        spec: The study.
        optimizer: Key of the optimizer.
        count: How many trials.
    """
    space, rng = spec.optimizers[optimizer].space, np.random.default_rng(0)
    points = [space.draw(rng) for _ in range(count)]
    trials = optuna_tables.trials
    with store._database.write() as connection:
        study_id = find_study(connection, spec.key(optimizer)).study_id
        counts = count_trials(connection, study_id, new=count)
        first = counts.next_number
        drafts = [_draft(space, point, first + offset) for offset, point in enumerate(points)]
        ids = insert_trials(connection, study_id, drafts, counts, running_on="bulk:0")
        done = {"state": OptunaState.COMPLETE, "datetime_complete": utc_now()}
        fresh = (trials.c.study_id == study_id, trials.c.number >= first)
        connection.execute(sa.update(trials).where(*fresh).values(done))
        mine = tables.runs.c.trial_id.in_(sa.select(trials.c.trial_id).where(*fresh))
        connection.execute(sa.update(tables.runs).where(mine).values(metrics="{}", device="cpu"))
        value = {"objective": 0, "value_type": optuna_tables.FINITE}
        values = rng.random(count).tolist()
        rows = [{**value, "trial_id": i, "value": v} for i, v in zip(ids, values, strict=True)]
        connection.execute(sa.insert(optuna_tables.trial_values), rows)


def _draft(space: Space, point: Params, number: int) -> Draft:
    found = {name: optuna_tables.to_distribution(space.dimensions[name]) for name in point}
    distributions = {name: d for name, d in found.items() if d is not None}
    return Draft(StoredPoint(point, distributions), "sampler", number)
