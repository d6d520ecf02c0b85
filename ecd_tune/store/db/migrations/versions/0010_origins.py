"""Add the data and code of a trial."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

__all__: list[str] = []

revision = "0010"
down_revision = "0009"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Add the column; it is null for older trials."""
    op.add_column("ecd_runs", sa.Column("origin", sa.Text, nullable=True))
