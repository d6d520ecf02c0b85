"""Our tables, in addition to Optuna's.

All names begin with ``ecd_``. :data:`HEAD` is the migration that creates these tables; a test
compares the two.
"""

from __future__ import annotations

import sqlalchemy as sa

__all__ = ["HEAD", "METADATA", "VERSION_TABLE", "events", "leases", "runs", "studies", "workers"]

HEAD = "0010"
VERSION_TABLE = "ecd_alembic_version"
METADATA = sa.MetaData()

# Optuna's parents are named as plain text: they belong to another MetaData. On SQLite, where
# Optuna's own connections do not check foreign keys, triggers of the migration do the same.
studies = sa.Table(
    "ecd_studies",
    METADATA,
    sa.Column("study_id", sa.Integer, primary_key=True, autoincrement=False),
    sa.Column("study", sa.String(256), nullable=False, index=True),
    sa.Column("optimizer", sa.String(256), nullable=False),
    sa.Column("stage", sa.String(16), nullable=False),
    sa.Column("direction", sa.String(16), nullable=False),
    sa.Column("identity", sa.Text, nullable=False),
    sa.Column("fingerprint", sa.String(64), nullable=False),
    sa.Column("target", sa.Integer, nullable=True),
    # Extra attempts that the study file allows, by cause.
    sa.Column("retries", sa.Text, nullable=True),
    sa.UniqueConstraint("study", "optimizer", "stage", name="uq_ecd_studies_key"),
)

workers = sa.Table(
    "ecd_workers",
    METADATA,
    sa.Column("id", sa.String(64), primary_key=True),
    sa.Column("host", sa.String(256), nullable=False),
    sa.Column("boot_id", sa.String(128), nullable=False),
    sa.Column("pid", sa.Integer, nullable=False),
    sa.Column("process_start", sa.BigInteger, nullable=False),
    sa.Column("versions", sa.Text, nullable=False),
    sa.Column("started_at", sa.Double, nullable=False),
    sa.Column("seen_at", sa.Double, nullable=False),
    sa.Column("device", sa.String(256), nullable=True),
)

runs = sa.Table(
    "ecd_runs",
    METADATA,
    sa.Column("trial_id", sa.Integer, primary_key=True, autoincrement=False),
    sa.Column("study_id", sa.Integer, nullable=False),
    sa.Column("label", sa.String(256), nullable=True),
    sa.Column("seed", sa.BigInteger, nullable=False),
    sa.Column("source", sa.String(256), nullable=False),
    sa.Column("attempt", sa.Integer, nullable=False),
    sa.Column("lost", sa.Boolean, nullable=False),
    sa.Column("reason", sa.Text, nullable=True),
    sa.Column("params", sa.Text, nullable=False),
    sa.Column("metrics", sa.Text, nullable=True),
    sa.Column("curves", sa.Text, nullable=True),
    sa.Column("seconds", sa.Double, nullable=False),
    sa.Column("device", sa.String(64), nullable=False),
    sa.Column("worker", sa.String(320), nullable=True),
    # Attempts before this one that were tried again, by cause.
    sa.Column("history", sa.Text, nullable=True),
    sa.Column("energy_kwh", sa.Double, nullable=True),
    sa.Column("energy_source", sa.String(64), nullable=True),
    sa.Column("carbon_kg", sa.Double, nullable=True),
    # Why it ended; null while it waits or runs.
    sa.Column("cause", sa.String(16), nullable=True),
    # Data and code that it was run with.
    sa.Column("origin", sa.Text, nullable=True),
    sa.UniqueConstraint("study_id", "label", name="uq_ecd_runs_label"),
    sa.Index(
        "ix_ecd_runs_lost",
        "study_id",
        sqlite_where=sa.text("lost IS 1"),
        postgresql_where=sa.text("lost IS true"),
    ),
)

leases = sa.Table(
    "ecd_leases",
    METADATA,
    # The fencing token, 63 random bits: a counter would repeat itself after a restore.
    sa.Column("token", sa.BigInteger().with_variant(sa.Integer, "sqlite"), primary_key=True),
    sa.Column("trial_id", sa.Integer, nullable=False, unique=True),
    sa.Column("study_id", sa.Integer, nullable=False, index=True),
    sa.Column("worker_id", sa.String(64), sa.ForeignKey("ecd_workers.id"), nullable=False),
    # Each renewal changes it, and that is all that counts: clocks may be wrong.
    sa.Column("expires_at", sa.Double, nullable=False),
    # Of which ask or claim: how a call that is repeated finds what its first try was given.
    sa.Column("batch", sa.String(32), nullable=True),
    sqlite_autoincrement=True,
)

events = sa.Table(
    "ecd_events",
    METADATA,
    sa.Column("id", sa.Integer, primary_key=True, autoincrement=True),
    sa.Column("time", sa.Double, nullable=False),
    sa.Column("study_id", sa.Integer, nullable=False, index=True),
    sa.Column("trial_id", sa.Integer, nullable=True),
    sa.Column("kind", sa.String(64), nullable=False),
    sa.Column("worker", sa.String(320), nullable=True),
    sa.Column("detail", sa.Text, nullable=False),
)
