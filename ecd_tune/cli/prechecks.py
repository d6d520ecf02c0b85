"""Checks before a study starts: its data and its output folder."""

from __future__ import annotations

import tempfile
from pathlib import Path

from ecd_tune.errors import ReportError, SpecError, TaskError
from ecd_tune.records import Stage
from ecd_tune.references import is_reference
from ecd_tune.spec import StudySpec, find_study, load_study
from ecd_tune.tasks.data import ROOT_VARIABLE, data_root, describe_root

__all__ = ["check_data", "check_folder"]


def check_data(spec: StudySpec, study: str) -> None:
    """Check that the data of a study's task are under the data root.

    Args:
        spec: The study.
        study: The name given by the user, to look for its smoke form.

    Raises:
        TaskError: Some are missing; the message says how to download them.
    """
    from ecd_tune.tasks.needed_data import missing_data

    if is_reference(spec.task.name):
        return  # a user task checks its own data
    options = [spec.task_options(stage) for stage in Stage]
    missing = {d.name: d for given in options for d in missing_data(spec.task.name, given)}
    if not missing:
        return
    root = data_root()
    where = f"not under {root}" if root else f"missing (data root: {describe_root()})"
    lines = [f"study {spec.name!r} needs data that are {where}:"]
    for data_set in missing.values():
        files, source = data_set.layouts[0].files, data_set.layouts[0].source
        count = f"{len(files)} files" if len(files) > 1 else files[0]
        how = f"`ecd-tune data get {data_set.name}`" if data_set.downloads else f"from {source}"
        lines.append(f"  {data_set.name}: {count}; {how}")
    if not spec.smoke and _smoke_would_run(study):
        lines.append(f"  or run the short form on the available data: add `--smoke` after {study}")
    lines.append(f"set {ROOT_VARIABLE} to the data folder; `ecd-tune data` lists all files")
    raise TaskError("\n".join(lines))


def _smoke_would_run(study: str) -> bool:
    from ecd_tune.tasks.needed_data import missing_data

    try:
        smoke = load_study(find_study(study), smoke=True)
    except SpecError:  # it has no smoke form
        return False
    return not missing_data(smoke.task.name, smoke.task_options(Stage.SEARCH))


def check_folder(folder: Path, option: str) -> None:
    """Make a folder, and check that files can be written there.

    Args:
        folder: Where a report or logs will go.
        option: The option that names it, for the message.

    Raises:
        ReportError: They cannot.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
        tempfile.TemporaryFile(dir=folder).close()
    except OSError as error:
        raise ReportError(
            f"{option} {folder}: cannot be written ({error.strerror}); nothing was started. Choose "
            f"another folder with {option}"
        ) from None
