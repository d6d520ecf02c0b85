"""An index of lost attempts only."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

__all__: list[str] = []

revision = "0006"
down_revision = "0005"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Keep the attempts that are not lost, which are nearly all, out of the index.

    They need not be written there, and PostgreSQL cannot take another index for a better one,
    whose rows of the whole study it would read to count the lost ones.
    """
    op.drop_index("ix_ecd_runs_lost", "ecd_runs")
    op.create_index(
        "ix_ecd_runs_lost",
        "ecd_runs",
        ["study_id"],
        sqlite_where=sa.text("lost IS 1"),
        postgresql_where=sa.text("lost IS true"),
    )
