"""``[checkpoints]``: where unfinished runs are kept for their next attempt; it changes no trial."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from pydantic import Field, field_validator

from ecd_tune.spec._table import SpecModel

__all__ = ["PLACES", "CheckpointPlace", "CheckpointSpec", "parse_place"]

PLACES = "a folder, `artifacts:FOLDER`, `s3://BUCKET/PREFIX`, `gs://BUCKET/PREFIX` or `none`"
"""Allowed forms of a place."""

_BUCKETS: Mapping[str, Literal["s3", "gs"]] = {"s3://": "s3", "gs://": "gs"}
_ARTIFACTS = "artifacts:"


@dataclass(frozen=True)
class CheckpointPlace:
    """Checkpoint storage.

    Attributes:
        kind: ``folder``; ``artifacts``, a folder as Optuna's artifact store keeps it; ``s3`` and
            ``gs``, buckets of Amazon's and Google's storage; ``none``.
        name: The folder or the bucket; empty for none.
        prefix: Begins the names in a bucket; empty, or ends with a slash.
    """

    kind: Literal["folder", "artifacts", "s3", "gs", "none"]
    name: str = ""
    prefix: str = ""


def parse_place(text: str) -> CheckpointPlace:
    """Read a place as a study file or a command line gives it.

    Args:
        text: One of :data:`PLACES`; ``~`` begins a home folder.

    Returns:
        The place.

    Raises:
        ValueError: It is none of these.
    """
    if text == "none":
        return CheckpointPlace("none")
    for start, kind in _BUCKETS.items():
        if text.startswith(start):
            bucket, _, prefix = text.removeprefix(start).partition("/")
            if not bucket:
                raise ValueError(f"{text!r}: the bucket is missing; allowed: {PLACES}")
            prefix = prefix.strip("/")
            return CheckpointPlace(kind, bucket, prefix and prefix + "/")
    if text.startswith(_ARTIFACTS):
        return CheckpointPlace("artifacts", _folder(text, text.removeprefix(_ARTIFACTS)))
    if "://" in text:
        raise ValueError(f"{text!r}: unknown kind of place; allowed: {PLACES}")
    return CheckpointPlace("folder", _folder(text, text))


def _folder(text: str, folder: str) -> str:
    if not folder:
        raise ValueError(f"{text!r}: the folder is missing; allowed: {PLACES}")
    return str(Path(folder).expanduser())


class CheckpointSpec(SpecModel):
    """``[checkpoints]``: where, how large and how often; a worker's options come before it.

    Attributes:
        place: One of :data:`PLACES`; the default folder when not given.
        max_gib: Largest size of one run's checkpoint, in GiB.
        every: Seconds between two checkpoints of a run.
    """

    place: str | None = None
    max_gib: float = Field(default=2.0, gt=0.0, allow_inf_nan=False)
    every: float = Field(default=60.0, gt=0.0, allow_inf_nan=False)

    @field_validator("place")
    @classmethod
    def _check_place(cls, value: str | None) -> str | None:
        if value is not None:
            parse_place(value)
        return value
