"""One module per migration, in the order of their numbers."""

__all__: list[str] = []
