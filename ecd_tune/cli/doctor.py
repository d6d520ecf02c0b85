"""``ecd-tune doctor``: the available features of this installation, and why others are missing."""

from __future__ import annotations

import json
import os
import platform
import shutil
import tempfile
from importlib.metadata import version
from pathlib import Path

import typer

import ecd_tune
from ecd_tune.cli.options import DEFAULT_STORAGE, AsJson, Storage
from ecd_tune.errors import EcdTuneError

__all__ = ["doctor"]

_PACKAGES = ("torch", "optuna", "optuna-dashboard", "sqlalchemy", "numpy", "pandas")


def doctor(storage: Storage = DEFAULT_STORAGE, as_json: AsJson = False) -> None:
    """Show versions, devices, kernels, storage, data and disk space of this installation."""
    found = {
        "versions": _versions(),
        "devices": _devices(),
        "fused step on a CPU": _cpu_step(),
        "fused step on a GPU": _gpu_step(),
        "storage": _storage(storage),
        "data": _data(),
        "disk": _disk(storage),
    }
    if as_json:
        typer.echo(json.dumps(found, indent=2))
        return
    for name, text in found.items():
        typer.echo(f"{name}: {text}")


def _versions() -> str:
    packages = ", ".join(f"{package} {version(package)}" for package in _PACKAGES)
    return f"ecd_tune {ecd_tune.__version__}, Python {platform.python_version()}, {packages}"


def _devices() -> str:
    import torch  # takes seconds, and no other command of the service needs it

    cores = f"{len(os.sched_getaffinity(0))} CPU cores ({platform.machine()})"
    if not torch.cuda.is_available():
        return f"{cores}, no CUDA device"
    names = [torch.cuda.get_device_name(i) for i in range(torch.cuda.device_count())]
    return f"{cores}, {', '.join(names)}"


def _cpu_step() -> str:
    from ecd_tune.optim.fused import cpu

    problem = cpu.problem()
    if problem is None:
        return f"compiled, instruction set {cpu.level()}"
    return f"no, steps use the reference form: {problem}"


def _gpu_step() -> str:
    import torch

    from ecd_tune.optim.fused import gpu

    problem = gpu.problem()
    if problem is None and not torch.cuda.is_available():
        problem = "no CUDA device"
    return "Triton" if problem is None else f"no: {problem}"


def _storage(url: str) -> str:
    from ecd_tune.store import Store, schema_state

    try:
        state = schema_state(url)
        if not state.current:
            return f"{state.storage}: {state.words}; run `ecd-tune db upgrade`"
        with Store.open(url, create=False) as store:
            names = ", ".join(store.studies()) or "none yet"
            return f"{store.url}: {state.words}; studies: {names}"
    except EcdTuneError as error:
        return str(error).removeprefix("storage ")


def _data() -> str:
    from ecd_tune.tasks.data import ROOT_VARIABLE, data_root, describe_root
    from ecd_tune.tasks.needed_data import DATA_SETS

    root = data_root()
    if root is None:
        return (
            f"{describe_root()}; set {ROOT_VARIABLE} to a folder (`ecd-tune data` lists data sets)"
        )
    present = [name for name, data_set in DATA_SETS.items() if data_set.found(root) is not None]
    names = ", ".join(present) or "none"
    return f"{describe_root()}: {len(present)} of {len(DATA_SETS)} data sets ({names})"


def _disk(url: str) -> str:
    places = {"working folder": Path.cwd(), "temporary files": Path(tempfile.gettempdir())}
    folder = Path(url.removeprefix("sqlite:///")).absolute().parent
    if url.startswith("sqlite:///") and folder.is_dir():
        places["folder of the storage"] = folder
    free = {name: shutil.disk_usage(path).free / 2**30 for name, path in places.items()}
    return ", ".join(f"{gib:.1f} GiB free in the {name}" for name, gib in free.items())
