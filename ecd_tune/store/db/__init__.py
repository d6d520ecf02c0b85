"""The database behind the store: connections, tables, and how one differs from another."""

__all__: list[str] = []
