"""Room for fencing tokens that are drawn at random, so that a restored backup repeats none."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

__all__: list[str] = []

revision = "0008"
down_revision = "0007"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Widen the column; SQLite's whole numbers have 64 bits already."""
    if op.get_bind().dialect.name == "postgresql":
        op.alter_column("ecd_leases", "token", type_=sa.BigInteger(), existing_nullable=False)
