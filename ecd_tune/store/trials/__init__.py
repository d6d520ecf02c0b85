"""What happens to a trial in the database, from the ask to the tell."""

__all__: list[str] = []
