"""Alembic migrations of our own tables; Optuna's are left to Optuna."""

__all__: list[str] = []
