"""The device of a worker."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

__all__: list[str] = []

revision = "0003"
down_revision = "0002"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Add the column; workers that registered before have none."""
    op.add_column("ecd_workers", sa.Column("device", sa.String(256), nullable=True))
