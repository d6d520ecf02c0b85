"""The benchmark's metrics, by scikit-learn and SciPy."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.stats import spearmanr
from sklearn.metrics import accuracy_score, f1_score, matthews_corrcoef

__all__ = ["score"]


def score(metric: str, truth: NDArray[Any], outputs: NDArray[Any]) -> float:
    """Score a network's outputs.

    Args:
        metric: ``matthews``, ``f1`` (of class 1), ``accuracy`` or ``spearman``.
        truth: Classes or numbers, shape ``[N]``.
        outputs: Shape ``[N, C]``, or ``[N, 1]`` for numbers.

    Returns:
        The metric, at most 1. NaN where an output is not finite. A correlation with outputs
        that are all the same is 0, not undefined, so that an untrained network has a value.
    """
    if not np.isfinite(outputs).all():
        return math.nan
    if metric == "spearman":
        guessed = outputs[:, 0]
        constant = np.ptp(guessed) == 0 or np.ptp(truth) == 0
        return 0.0 if constant else float(spearmanr(truth, guessed).statistic)
    guesses = outputs.argmax(1)
    if metric == "f1":
        return float(f1_score(truth, guesses, zero_division=0.0))
    return float((accuracy_score if metric == "accuracy" else matthews_corrcoef)(truth, guesses))
