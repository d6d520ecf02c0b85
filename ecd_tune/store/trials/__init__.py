"""Operations on a trial in the database, from ask to tell."""

__all__: list[str] = []
