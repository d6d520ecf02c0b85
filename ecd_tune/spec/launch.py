"""``[launch]``: where the workers of a study are started; it changes no trial."""

from __future__ import annotations

import re
from typing import Self

from pydantic import Field, field_validator, model_validator

from ecd_tune.records import Scalar
from ecd_tune.spec._table import SpecModel

__all__ = ["LaunchSpec", "parse_minutes"]

_TIME = re.compile(
    r"(?:(?P<days>\d+)-)?(?P<hours>\d+):(?P<minutes>\d{2})(?::(?P<seconds>\d{2}))?", re.ASCII
)


def parse_minutes(text: str) -> int:
    """Read a time limit.

    Args:
        text: Minutes, ``HH:MM:SS``, ``D-HH:MM`` or ``D-HH:MM:SS``, as in Slurm.

    Returns:
        Minutes, at least 1; seconds are rounded up.

    Raises:
        ValueError: It is none of these.
    """
    match = _TIME.fullmatch(text)
    if text.isascii() and text.isdigit():
        minutes = int(text)
    elif match and (match["days"] or match["seconds"]):  # to Slurm 4:00 is four minutes
        days, hours, rest, seconds = (int(part or 0) for part in match.groups())
        minutes = days * 1440 + hours * 60 + rest + (seconds > 0)
    else:
        raise ValueError(
            f"{text!r}: expected minutes, HH:MM:SS, D-HH:MM or D-HH:MM:SS, for example 4:00:00"
        )
    if minutes < 1:
        raise ValueError(f"{text!r}: must be at least a minute")
    return minutes


class LaunchSpec(SpecModel):
    """``[launch]``: defaults of ``ecd-tune launch``.

    Attributes:
        on: Name of the engine; looked up by the machine that launches, not by workers.
        workers: Number of workers.
        gpus_per_worker: Whole GPUs for each worker.
        workers_per_gpu: Workers that share one GPU; excludes ``gpus_per_worker``.
        cores_per_worker: Cores for each worker.
        time: Longest run of one batch job, as :func:`parse_minutes` reads it.
        partition: Queue of a batch system.
        options: Further options of the engine, by its own names.
    """

    on: str = "local"
    workers: int = Field(default=1, ge=1)
    gpus_per_worker: int | None = Field(default=None, ge=1)
    workers_per_gpu: int | None = Field(default=None, ge=1)
    cores_per_worker: int | None = Field(default=None, ge=1)
    time: str | None = None
    partition: str | None = None
    options: dict[str, Scalar] = Field(default_factory=dict)

    @field_validator("time")
    @classmethod
    def _check_time(cls, value: str | None) -> str | None:
        if value is not None:
            parse_minutes(value)
        return value

    @model_validator(mode="after")
    def _check_gpus(self) -> Self:
        if self.gpus_per_worker is not None and self.workers_per_gpu is not None:
            raise ValueError("gpus_per_worker and workers_per_gpu are mutually exclusive")
        return self
