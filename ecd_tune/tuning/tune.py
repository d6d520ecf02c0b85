"""``ecd_tune.tune``: from a task to a finished study."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Literal

import ecd_tune
from ecd_tune.cli.dry_run import check_task
from ecd_tune.cli.options import DEFAULT_STORAGE, as_stored
from ecd_tune.errors import EcdTuneError, TaskError
from ecd_tune.references import importing, is_reference, trim_traceback
from ecd_tune.spec import OWN_OPTIMIZERS, StudySpec, own_study, parse_study
from ecd_tune.tasks.own.definition import OwnTask
from ecd_tune.tuning.running import is_new, preserve_global_state, run_here, run_processes
from ecd_tune.tuning.study import TunedStudy

__all__ = ["tune"]


def tune(
    task: OwnTask | str,
    optimizers: Sequence[str] | Mapping[str, Mapping[str, Any]] = OWN_OPTIMIZERS,
    *,
    trials: int = 20,
    workers: int = 1,
    batch: int = 1,
    confirm: int = 6,
    searches: int = 1,
    selection: int | Mapping[str, int] | None = None,
    from_study: str | TunedStudy | None = None,
    storage: str | None = None,
    name: str | None = None,
    seed: int = 0,
    epochs: int | None = None,
    timeout: float | None = None,
    space: Mapping[str, Mapping[str, Any]] | None = None,
    sampler: str | Mapping[str, Any] | None = None,
    protocol: Literal["clean", "paper"] = "clean",
    training: Mapping[str, Any] | None = None,
    pruning: Mapping[str, Any] | None = None,
    out: str | Path | None = None,
    check: bool = True,
) -> TunedStudy:
    """Search the hyperparameters of optimizers on a task, and confirm the best of each.

    The same as ``ecd-tune run`` with an equivalent study file. Call it again to resume; workers on
    other machines join with ``ecd-tune worker FILE.py:NAME --storage URL``.

    Args:
        task: A function with ``@ecd_tune.task``, or its reference, ``"FILE.py:NAME"`` or
            ``"package.module:NAME"``; with one worker also the name of a registered task.
        optimizers: Keys; or key to the optimizer's table of a study file, such as
            ``{"fast": {"optimizer": "ecdsep", "space": {…}}}``.
        trials: Finished trials of each optimizer's search.
        from_study: A study in the same database, or its name: each search begins with the three
            best trials of the same optimizer that fit.
        workers: Processes. 1 runs in this process, which a notebook needs; more are started as
            ``ecd-tune worker``, and then the call must be below ``if __name__ == "__main__":``.
        batch: Maximum number of trials that each worker trains at once, if the task supports it:
            with data in tensors, and a loss that draws no random numbers except those of
            ``nn.Dropout``. The sampler then proposes a whole batch before it sees its results.
        confirm: Runs of the best hyperparameters of each optimizer with new seeds, evaluated on the
            test data; 0 for none.
        searches: Independent searches of each optimizer, each with the full number of trials and
            its own confirmation. With several searches the comparison includes the variation
            between searches; with one it includes only that between seeds.
        selection: Number of best trials of each search that run again, with 3 other seeds, on the
            validation data, before the one with the best mean is selected; or the table
            ``[selection]``. 3 when not given, and 0, the best trial of the search, under
            ``protocol="paper"``.
        storage: Database URL; by default ``$ECD_TUNE_STORAGE``, else ``sqlite:///ecd_tune.db``.
        name: Of the study; the task's name when not given.
        seed: Seed of all random numbers of the study.
        epochs: Length of a trial; the task's own when not given.
        timeout: Time limit of a trial in seconds; a trial that exceeds it fails, and the search
            continues. With ``workers=1`` a call that never returns to Python, such as a deadlock in
            a library, cannot be ended.
        space: Optimizer to its search space, as in a study file; it replaces the default space,
            and the fixed first trials with it.
        sampler: Name, or the table ``[sampler]``.
        protocol: ``"clean"``, or ``"paper"``: all choices on the test data, as the paper did.
        training: The table ``[training]``: schedule, averaging, precision and the like, for tasks
            that describe a model; tasks with their own loop accept ``clip`` and ``device``.
        pruning: The table ``[pruning]``.
        out: Folder for logs and reports; ``reports/NAME`` when not given.
        check: Run a few steps of every optimizer first, if the study is new.

    Returns:
        The study.

    Raises:
        TaskError: The task cannot be used, or workers cannot find it.
        SpecError: An argument is not allowed.
        NoResultError: An optimizer has no complete trial.
        KeyboardInterrupt: The run was interrupted; finished trials are stored.
    """
    _check_guard()
    reference = _reference(task)
    given: dict[str, Any] = {
        "budget": {
            "trials": trials,
            "batch": batch,
            **({} if epochs is None else {"steps": epochs}),
            **({} if timeout is None else {"timeout": timeout}),
        },
        "confirmation": {"runs": confirm},
        **_search(searches, from_study),
        **({} if selection is None else {"selection": _selection(selection)}),
        "protocol": protocol,
        "seed": seed,
        **({} if name is None else {"name": name}),
        **({} if sampler is None else {"sampler": _named(sampler)}),
        **({} if training is None else {"training": dict(training)}),
        **({} if pruning is None else {"pruning": dict(pruning)}),
    }
    spec = parse_study(own_study(reference, _with_spaces(optimizers, space), **given), "tune")
    url = storage or os.environ.get("ECD_TUNE_STORAGE") or DEFAULT_STORAGE
    spec = as_stored(spec, url) if spec.sampler.why else spec
    folder = Path("reports") / spec.name if out is None else Path(out)
    _work(spec, reference, url, workers, folder, check)
    return TunedStudy(spec, url, folder)


def _work(
    spec: StudySpec, reference: str, url: str, workers: int, folder: Path, check: bool
) -> None:
    try:
        if check and is_new(spec, url):
            with preserve_global_state():
                check_task(spec, workers)
        _run(spec, reference, url, workers, folder)
    except EcdTuneError as error:
        trim_traceback(error, Path(ecd_tune.__file__).parent)
        raise


def _run(spec: StudySpec, reference: str, url: str, workers: int, folder: Path) -> None:
    if workers == 1:
        run_here(spec, url)
        return
    if workers < 1:
        raise TaskError(f"tune(workers={workers}): must be a whole number, >= 1")
    if not is_reference(reference):
        raise TaskError(
            f"tune({reference!r}, workers={workers}): a registered task is tuned in this process "
            "only; use workers=1, or ecd-tune run with a study file"
        )
    if reference.startswith("__main__:"):
        raise TaskError(
            f"tune(workers={workers}): {reference.partition(':')[2]} is defined in a notebook or "
            "at a prompt, where other processes cannot find it; use workers=1, or write it into a "
            "file and pass its reference, FILE.py:NAME"
        )
    run_processes(spec, reference, url, workers, folder)


def _reference(task: Any) -> str:
    if isinstance(task, str):
        return task
    if not isinstance(task, OwnTask):
        name = getattr(task, "__name__", type(task).__name__)
        raise TaskError(
            f"tune({name}): not a task; write "
            f'@ecd_tune.task(metric="accuracy", direction="maximize", epochs=8) above {name}'
        )
    return task.reference


def _check_guard() -> None:
    module = importing()
    if module is not None:
        raise TaskError(
            f"tune was called while a worker imported {module!r}; put the call below "
            'if __name__ == "__main__":'
        )


def _search(searches: int, from_study: str | TunedStudy | None) -> dict[str, Any]:
    name = from_study.name if isinstance(from_study, TunedStudy) else from_study
    table = {
        **({} if searches == 1 else {"repeats": searches}),
        **({} if name is None else {"from_study": name}),
    }
    return {"search": table} if table else {}


def _selection(given: int | Mapping[str, int]) -> dict[str, int]:
    return dict(given) if isinstance(given, Mapping) else {"top": given}


def _named(sampler: str | Mapping[str, Any]) -> dict[str, Any]:
    return {"name": sampler} if isinstance(sampler, str) else dict(sampler)


def _with_spaces(
    optimizers: Sequence[str] | Mapping[str, Mapping[str, Any]],
    space: Mapping[str, Mapping[str, Any]] | None,
) -> dict[str, dict[str, Any]]:
    if isinstance(optimizers, str):
        raise TaskError(f'tune(optimizers={optimizers!r}): pass a list, such as ["{optimizers}"]')
    pairs = optimizers.items() if isinstance(optimizers, Mapping) else ((k, {}) for k in optimizers)
    tables = {key: dict(table) for key, table in pairs}
    for key, own in (space or {}).items():
        if key not in tables:
            raise TaskError(f"tune(space=…): {key!r} is not one of {', '.join(tables)}")
        tables[key]["space"] = dict(own)
    return tables
