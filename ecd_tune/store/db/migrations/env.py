"""Run by Alembic: migrates over the connection that the store passes."""

from __future__ import annotations

from alembic import context

from ecd_tune.store.db.tables import METADATA, VERSION_TABLE

__all__: list[str] = []

context.configure(
    connection=context.config.attributes["connection"],
    target_metadata=METADATA,
    version_table=VERSION_TABLE,
    render_as_batch=True,
    include_name=lambda name, kind, parents: kind != "table" or str(name).startswith("ecd_"),
)
with context.begin_transaction():
    context.run_migrations()
