"""The cause of a run's end, in addition to the sentence."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

__all__: list[str] = []

revision = "0007"
down_revision = "0006"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Add the column, and fill it from the sentences that earlier versions wrote."""
    op.add_column("ecd_runs", sa.Column("cause", sa.String(16), nullable=True))
    op.execute(_FILL)


# An exception's sentence begins with its type and a colon, followed by any text; the objective's
# own sentence about a loss begins with the loss.
_FILL = """
UPDATE ecd_runs SET cause = CASE
    WHEN reason LIKE 'interrupted:%' THEN 'released'
    WHEN reason LIKE 'lost: the process %' THEN 'killed'
    WHEN reason LIKE 'lost: %' THEN 'lost'
    WHEN state.name = 'COMPLETE' THEN 'complete'
    WHEN state.name = 'PRUNED' AND reason LIKE 'pruned by %' THEN 'pruned'
    WHEN state.name = 'PRUNED' THEN 'diverged'
    WHEN reason LIKE '% became non-finite (%' AND reason NOT LIKE '%: %' THEN 'non_finite'
    WHEN reason LIKE 'NonFiniteLossError: %' THEN 'non_finite'
    WHEN reason LIKE 'MemoryError%' OR reason LIKE '%OutOfMemoryError: %'
        OR reason LIKE '%out of memory%' OR reason LIKE '%not enough memory%'
        OR reason LIKE '%can''t allocate%' THEN 'out_of_memory'
    ELSE 'exception'
END
FROM (SELECT trial_id AS id, CAST(state AS VARCHAR(16)) AS name FROM trials) AS state
WHERE state.id = ecd_runs.trial_id AND state.name IN ('COMPLETE', 'PRUNED', 'FAIL')
"""
