"""Which rows train and which choose: the clean protocol's validation split."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from ecd_tune.errors import TaskError

__all__ = ["RowNumbers", "split_validation", "first_of_each_class"]

RowNumbers = npt.NDArray[np.int64]


def first_of_each_class(labels: RowNumbers, per_class: int) -> RowNumbers:
    """Return the rows of the first ``per_class`` images of each class, in order; 0: all."""
    if not per_class:
        return np.arange(len(labels))
    rows = [np.flatnonzero(labels == label)[:per_class] for label in np.unique(labels)]
    return np.sort(np.concatenate(rows))


def split_validation(
    labels: RowNumbers, split_seed: int, fraction: float = 0.0, per_class: int = 0
) -> tuple[RowNumbers, RowNumbers]:
    """Split validation data off the training data, stratified by class.

    Args:
        labels: Class of each image.
        split_seed: Decides which; the same seed always gives the same.
        fraction: Share of each class, rounded, at least one image; or
        per_class: so many images of each class.

    Returns:
        Rows that train and rows that validate, both ascending.

    Raises:
        TaskError: A class has too few images for that.
    """
    # RandomState and not Generator: its numbers stay the same in all versions of numpy, and a
    # split must outlive an upgrade.
    random = np.random.RandomState(split_seed)
    chosen = []
    for label in np.unique(labels):
        rows = np.flatnonzero(labels == label)
        count = per_class or max(1, round(fraction * len(rows)))
        if count >= len(rows):
            raise TaskError(
                f"class {label} has {len(rows)} training images, too few for {count} validation "
                "images; use more images per class (subset) or a smaller validation split"
            )
        chosen.append(random.permutation(rows)[:count])
    val = np.sort(np.concatenate(chosen))
    return np.setdiff1d(np.arange(len(labels)), val), val
