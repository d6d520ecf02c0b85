"""Hyperparameter tuning, on Optuna, for energy-conserving descent and its baselines."""

from importlib.metadata import version

__all__ = ["__version__"]

__version__ = version("ecd_tune")
