"""First tables: studies, workers, runs, leases, events."""

from __future__ import annotations

from typing import Any

import sqlalchemy as sa
from alembic import op

__all__: list[str] = []

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None

_CHILDREN_OF_TRIALS = ("ecd_runs", "ecd_leases")
_CHILDREN_OF_STUDIES = ("ecd_studies", "ecd_runs", "ecd_leases", "ecd_events")


def upgrade() -> None:
    """Make the tables, and let rows go when Optuna deletes what they describe."""
    _create_studies()
    _create_workers()
    _create_runs()
    _create_leases()
    _create_events()
    if op.get_bind().dialect.name == "sqlite":
        _create_triggers()


def _create_studies() -> None:
    op.create_table(
        "ecd_studies",
        _study_id(primary_key=True, autoincrement=False),
        sa.Column("study", sa.String(256), nullable=False),
        sa.Column("optimizer", sa.String(256), nullable=False),
        sa.Column("stage", sa.String(16), nullable=False),
        sa.Column("direction", sa.String(16), nullable=False),
        sa.Column("identity", sa.Text, nullable=False),
        sa.Column("fingerprint", sa.String(64), nullable=False),
        sa.Column("target", sa.Integer, nullable=True),
        sa.UniqueConstraint("study", "optimizer", "stage", name="uq_ecd_studies_key"),
    )
    op.create_index("ix_ecd_studies_study", "ecd_studies", ["study"])


def _create_workers() -> None:
    op.create_table(
        "ecd_workers",
        sa.Column("id", sa.String(64), primary_key=True),
        sa.Column("host", sa.String(256), nullable=False),
        sa.Column("boot_id", sa.String(128), nullable=False),
        sa.Column("pid", sa.Integer, nullable=False),
        sa.Column("process_start", sa.BigInteger, nullable=False),
        sa.Column("versions", sa.Text, nullable=False),
        sa.Column("started_at", sa.Double, nullable=False),
        sa.Column("seen_at", sa.Double, nullable=False),
    )


def _create_runs() -> None:
    op.create_table(
        "ecd_runs",
        _trial_id(primary_key=True, autoincrement=False),
        _study_id(nullable=False),
        sa.Column("label", sa.String(256), nullable=True),
        sa.Column("seed", sa.BigInteger, nullable=False),
        sa.Column("source", sa.String(256), nullable=False),
        sa.Column("attempt", sa.Integer, nullable=False),
        sa.Column("lost", sa.Boolean, nullable=False),
        sa.Column("reason", sa.Text, nullable=True),
        sa.Column("params", sa.Text, nullable=False),
        sa.Column("metrics", sa.Text, nullable=True),
        sa.Column("curve", sa.Text, nullable=True),
        sa.Column("seconds", sa.Double, nullable=False),
        sa.Column("device", sa.String(64), nullable=False),
        sa.Column("worker", sa.String(320), nullable=True),
        sa.UniqueConstraint("study_id", "label", name="uq_ecd_runs_label"),
    )
    op.create_index("ix_ecd_runs_lost", "ecd_runs", ["study_id", "lost"])


def _create_leases() -> None:
    op.create_table(
        "ecd_leases",
        sa.Column("token", sa.Integer, primary_key=True, autoincrement=True),
        _trial_id(nullable=False, unique=True),
        _study_id(nullable=False),
        sa.Column("worker_id", sa.String(64), sa.ForeignKey("ecd_workers.id"), nullable=False),
        sa.Column("expires_at", sa.Double, nullable=False),
        sqlite_autoincrement=True,
    )
    op.create_index("ix_ecd_leases_study_id", "ecd_leases", ["study_id"])


def _create_events() -> None:
    op.create_table(
        "ecd_events",
        sa.Column("id", sa.Integer, primary_key=True, autoincrement=True),
        sa.Column("time", sa.Double, nullable=False),
        _study_id(nullable=False),
        sa.Column("trial_id", sa.Integer, nullable=True),
        sa.Column("kind", sa.String(64), nullable=False),
        sa.Column("worker", sa.String(320), nullable=True),
        sa.Column("detail", sa.Text, nullable=False),
    )
    op.create_index("ix_ecd_events_study_id", "ecd_events", ["study_id"])


def _create_triggers() -> None:
    # SQLite checks foreign keys for a connection that asks for it; Optuna's do not, and after a
    # deletion it gives the same ids to new trials, which must not inherit our rows.
    for parent, key, children in (
        ("trials", "trial_id", _CHILDREN_OF_TRIALS),
        ("studies", "study_id", _CHILDREN_OF_STUDIES),
    ):
        deletes = " ".join(f"DELETE FROM {child} WHERE {key} = OLD.{key};" for child in children)
        op.execute(f"CREATE TRIGGER ecd_{parent}_gone AFTER DELETE ON {parent} BEGIN {deletes} END")


def _study_id(**options: Any) -> sa.Column[int]:
    parent = sa.ForeignKey("studies.study_id", ondelete="CASCADE")
    return sa.Column("study_id", sa.Integer, parent, **options)


def _trial_id(**options: Any) -> sa.Column[int]:
    parent = sa.ForeignKey("trials.trial_id", ondelete="CASCADE")
    return sa.Column("trial_id", sa.Integer, parent, **options)
