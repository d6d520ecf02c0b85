"""A few steps of every optimizer, made by ``tune`` and ``ecd-tune run`` before a search."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import typer

import ecd_tune
from ecd_tune.analysis.rate import format_time
from ecd_tune.errors import EcdTuneError, TaskError
from ecd_tune.references import place_of
from ecd_tune.spec import StudySpec

if TYPE_CHECKING:
    from ecd_tune.objective.dry_run import DryRun

__all__ = ["check_task"]


def check_task(spec: StudySpec, workers: int) -> None:
    """Make a few steps of every optimizer, and print what a search will take.

    Args:
        spec: The study of a user task.
        workers: How many will work on it.

    Raises:
        TaskError: Something would go wrong in every trial; the message names the line.
    """
    from ecd_tune.objective.dry_run import dry_run

    found: dict[str, DryRun] = {}
    for optimizer in spec.optimizers:
        try:
            found[optimizer] = dry_run(spec, optimizer)
        except EcdTuneError:
            raise
        except Exception as error:
            place = place_of(error, Path(ecd_tune.__file__).parent)
            raise TaskError(
                f"{optimizer}: {type(error).__name__}: {error} ({place}); the search was not "
                "started"
            ) from error
    typer.echo(_describe(spec, found, workers))


def _describe(spec: StudySpec, found: dict[str, DryRun], workers: int) -> str:
    first = next(iter(found.values()))
    steps = ", ".join(f"{key} {run.step_seconds * 1e3:.3g} ms" for key, run in found.items())
    text = f"dry run: {first.parameters} parameters, loss {first.loss:.4g}; time per step: {steps}"
    if first.peak_bytes is not None:
        text += f"; {first.peak_bytes / 2**30:.2g} GiB of GPU memory"
    if first.without_gradient:
        text += f"; {first.without_gradient} tensors have no gradient"
    runs = {
        key: spec.search.repeats * sum(spec.runs(key, stage) for stage in spec.stages)
        for key in found
    }
    times = [run.run_seconds for run in found.values()]
    if None not in times:
        total = sum(runs[key] * (run.run_seconds or 0.0) for key, run in found.items())
        text += f"; {sum(runs.values())} runs take about {format_time(total / workers)}"
    return text
