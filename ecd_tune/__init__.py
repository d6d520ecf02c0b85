"""Hyperparameter tuning, on Optuna, for energy-conserving descent and its baselines."""

from importlib import import_module
from importlib.metadata import version
from typing import Any

__version__ = version("ecd_tune")

# Imported when first used: the command line needs neither torch nor Optuna to answer. Their types
# are in __init__.pyi, so that no package below seems to import them.
_HOMES = {"task": "ecd_tune.tasks.own.definition", "tune": "ecd_tune.tuning"}

__all__ = ["__version__", *_HOMES]


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(_HOMES[name]), name)
