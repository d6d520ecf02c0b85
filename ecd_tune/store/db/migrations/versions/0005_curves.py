"""Several named curves per trial."""

from __future__ import annotations

from alembic import op

__all__: list[str] = []

revision = "0005"
down_revision = "0004"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Convert the single curve of a run, the metric's, to the first of several."""
    op.execute("ALTER TABLE ecd_runs RENAME COLUMN curve TO curves")
    # Both are JSON in a text, so that a prefix and a suffix are the whole change.
    op.execute(
        """UPDATE ecd_runs SET curves = '{"metric":' || curves || '}' WHERE curves IS NOT NULL"""
    )
