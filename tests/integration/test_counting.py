"""Counts of a study's trials, on both databases."""

from __future__ import annotations

import sqlalchemy as sa

from ecd_tune.store.db.engine import Database
from ecd_tune.store.trials import counts


def test_counting_lost_attempts_uses_the_index(database: Database) -> None:
    """By another index every run of the study would be read, at each ask."""
    query = counts._build_counts().params(study=1)
    text = query.compile(database.engine, compile_kwargs={"literal_binds": True})
    explain = "EXPLAIN QUERY PLAN" if database.is_sqlite else "EXPLAIN"
    with database.read() as connection:
        rows = connection.execute(sa.text(f"{explain} {text}".replace(":", r"\:"))).all()
    plan = "\n".join(str(row) for row in rows)
    assert "ix_ecd_runs_lost" in plan
    assert "uq_ecd_runs_label" not in plan
    # Each number is counted once, however often it is used.
    assert plan.count("ix_ecd_leases_study_id") == 1
