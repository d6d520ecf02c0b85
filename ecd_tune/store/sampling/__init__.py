"""Optuna's samplers by name, and the trials that they see."""

__all__: list[str] = []
