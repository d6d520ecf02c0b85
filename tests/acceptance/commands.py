"""A small study, and ``ecd-tune`` as a user runs it."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

from tests.preloaded import preloaded_python

STUDY = """
name = "small"
title = "A small study"
[task]
name = "ackley"
[budget]
trials = {trials}
steps = {steps}
batch = 5
[sampler]
name = "tpe"
[confirmation]
runs = 4
steps = 40
task = {{ start = "uniform" }}
[optimizers.ecdsep.space]
lr = {{ low = 1e-2, high = 1.0, log = true }}
eta = {{ low = 1.0, high = 4.0 }}
conserve_energy = [true, false]
[[optimizers.ecdsep.references]]
label = "paper"
params = {{ lr = 0.4, eta = 1.0 }}
[optimizers.adam.space]
lr = {{ low = 1e-3, high = 1.0, log = true }}
"""

SHORT = """
import runpy, sys
import ecd_tune
from ecd_tune.tuning import tune

def shorter(task, optimizers, **given):
    return tune(task, optimizers, **given | dict(trials=2, confirm=1, epochs=1, workers=1))

ecd_tune.tune = shorter
sys.path.insert(0, "")
sys.argv.pop(0)
runpy.run_path(sys.argv[0], run_name="__main__")
"""
"""A program that runs a script whose searches become short."""

Result = subprocess.CompletedProcess[str]
Run = Callable[..., Result]


def write_study_file(folder: Path, trials: int = 20, steps: int = 30) -> Path:
    """Write a small study file: two optimizers, seconds of work."""
    path = folder / "small.toml"
    path.write_text(STUDY.format(trials=trials, steps=steps))
    return path


def run_in(folder: Path) -> Run:
    """Return a function that runs ``ecd-tune`` in a folder, as a user does.

    With options of ``python`` it is a new interpreter, else a fork that imports nothing.
    """

    def run(*arguments: object, python: tuple[str, ...] = (), timeout: float = 300) -> Result:
        started = [sys.executable, *python] if python else [preloaded_python()]
        return subprocess.run(
            [*started, "-m", "ecd_tune", *map(str, arguments)],
            cwd=folder,
            capture_output=True,
            text=True,
            timeout=timeout,
            check=False,
        )

    return run
