"""Columns for retries: the batch of a lease, the limits of a study, the history of a run."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

__all__: list[str] = []

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Add the columns, and indexes with which a study is counted without reading it."""
    op.add_column("ecd_leases", sa.Column("batch", sa.String(32), nullable=True))
    op.add_column("ecd_studies", sa.Column("retries", sa.Text, nullable=True))
    op.add_column("ecd_runs", sa.Column("history", sa.Text, nullable=True))
    op.create_index("ix_ecd_trials_state", "trials", ["study_id", "state"])
    op.create_index("ix_ecd_trials_number", "trials", ["study_id", "number"])
