"""Energy and carbon of a trial."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

__all__: list[str] = []

revision = "0004"
down_revision = "0003"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Add the columns; trials that ran before have none of them."""
    op.add_column("ecd_runs", sa.Column("energy_kwh", sa.Double, nullable=True))
    op.add_column("ecd_runs", sa.Column("energy_source", sa.String(64), nullable=True))
    op.add_column("ecd_runs", sa.Column("carbon_kg", sa.Double, nullable=True))
