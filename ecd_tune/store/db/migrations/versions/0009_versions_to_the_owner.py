"""Only the owner may write the rows with the versions of tables: without them nothing works."""

from __future__ import annotations

from alembic import op

__all__: list[str] = []

revision = "0009"
down_revision = "0008"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Take the right to write them from all other roles; SQLite has no roles."""
    if op.get_bind().dialect.name == "postgresql":
        op.execute(_REVOKE)


_REVOKE = """
DO $$
DECLARE granted record;
BEGIN
    FOR granted IN
        SELECT DISTINCT g.table_name, g.grantee
        FROM information_schema.role_table_grants AS g
        JOIN pg_tables AS t ON t.schemaname = g.table_schema AND t.tablename = g.table_name
        WHERE g.table_schema = current_schema()
            AND g.table_name IN ('ecd_alembic_version', 'alembic_version', 'version_info')
            AND g.privilege_type IN ('INSERT', 'UPDATE', 'DELETE')
            AND g.grantee NOT IN (t.tableowner, 'PUBLIC')
    LOOP
        EXECUTE format(
            'REVOKE INSERT, UPDATE, DELETE ON %I FROM %I', granted.table_name, granted.grantee
        );
    END LOOP;
END $$
"""
