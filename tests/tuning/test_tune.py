"""``ecd_tune.tune`` in this process: a study, resumed and inspected."""

from __future__ import annotations

import random
import traceback
from pathlib import Path

import numpy as np
import pytest
import torch

import ecd_tune as et
from ecd_tune import references
from ecd_tune.errors import (
    NoResultError,
    RepeatedFailureError,
    SpecError,
    StorageUrlError,
    TaskError,
    UnknownNameError,
)
from ecd_tune.optim import ECDSep
from ecd_tune.store import Store
from ecd_tune.tasks.own.definition import OwnTask
from ecd_tune.tuning import TunedStudy
from tests.tasks.own import own_tasks

HOME = own_tasks.__name__


def url(folder: Path) -> str:
    return f"sqlite:///{folder / 'a.db'}"


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("tuned")


@pytest.fixture(scope="module")
def study(folder: Path) -> TunedStudy:
    """A study of two optimizers, complete."""
    return et.tune(own_tasks.tensors, trials=4, confirm=2, storage=url(folder), out=folder)


def test_the_first_trials_are_fixed_and_marked(study: TunedStudy) -> None:
    table = study.trials()
    search = table[table.stage == "search"]
    assert list(search[search.optimizer == "ecdsep"].source) == [
        "auto", "moments", "share", "paper"
    ]  # fmt: skip
    assert list(search[search.optimizer == "adamw"].source) == ["default", *["sampler"] * 3]
    # The same seeds for every optimizer, and the sampler has seen what came first.
    assert list(search.seed) == [0, 1, 2, 3] * 2
    assert list(table[table.stage == "confirm"].metrics_test_accuracy.notna()) == [True] * 4


def test_best_is_valid_code(study: TunedStudy) -> None:
    best = study.best("ecdsep")
    table = study.trials()
    mine = table[(table.optimizer == "ecdsep") & (table.stage == "search")]
    assert best.value == mine.value.max()
    model = own_tasks.Network()
    given = {"model": model}
    exec(best.as_python(), given)
    assert isinstance(given["optimizer"], ECDSep)
    assert given["optimizer"].param_groups[0]["eta"] == best.params["eta"]


def test_two_confirmed_seeds_name_no_winner(study: TunedStudy) -> None:
    assert study.winner is None
    assert len(study.confirmed("adamw")) == 2


def test_the_report_is_written_where_asked(study: TunedStudy, tmp_path: Path) -> None:
    assert [path.name for path in study.report(tmp_path / "r", ["csv"])] == [
        "trials.csv", "confirmation.csv", "curves.csv"
    ]  # fmt: skip
    with pytest.raises(UnknownNameError, match="unknown report format 'word'"):
        study.report(tmp_path, ["word"])


def test_unknown_optimizer_is_named(study: TunedStudy) -> None:
    with pytest.raises(UnknownNameError, match=r"unknown optimizer of study tensors 'sgd'; known"):
        study.best("sgd")
    assert repr(study) == "TunedStudy('tensors', trials: ecdsep 4, adamw 4)"


def test_second_call_resumes(study: TunedStudy, folder: Path) -> None:
    before = study.trials()
    again = et.tune(
        own_tasks.tensors, ["adamw"], trials=5, confirm=2, storage=url(folder), out=folder
    )
    table = again.trials()
    assert len(table[table.stage == "search"]) == 5
    kept = before[(before.optimizer == "adamw") & (before.stage == "search")].value
    assert list(table[table.stage == "search"].value[:4]) == list(kept)


def test_workers_join_by_the_task_reference(study: TunedStudy) -> None:
    with Store.open(study.storage, create=False) as store:
        table = store.tables()["tensors"]
    assert table["task"]["name"] == f"{HOME}:tensors"
    assert set(table["optimizers"]) == {"ecdsep", "adamw"}
    assert table["optimizers"]["ecdsep"]["first"][0]["label"] == "auto"


def test_loops_are_tuned_and_global_generators_unchanged(tmp_path: Path) -> None:
    torch.manual_seed(3)
    np.random.seed(3)
    random.seed(3)
    wanted = (torch.rand(1), np.random.rand(), random.random())
    torch.manual_seed(3)
    np.random.seed(3)
    random.seed(3)
    study = et.tune(f"{HOME}:loop", ["adamw"], trials=2, confirm=1, storage=url(tmp_path))
    assert (torch.rand(1), np.random.rand(), random.random()) == wanted
    assert len(study.confirmed("adamw")) == 1


def test_a_space_of_ones_own_replaces_the_first_trials(tmp_path: Path) -> None:
    study = et.tune(
        own_tasks.tensors,
        ["sgd"],
        trials=2,
        confirm=0,
        epochs=1,
        space={"sgd": {"lr": {"low": 0.1, "high": 1.0, "log": True}, "momentum": 0.5}},
        sampler="random",
        storage=url(tmp_path),
        name="mine",
    )
    assert study.name == "mine"
    trials = study.trials()
    assert set(trials[trials.stage == "search"].source) == {"sampler"}
    assert set(study.trials().params_momentum) == {0.5}


@pytest.mark.parametrize(
    ("given", "error", "message"),
    [
        ({"optimizers": "adamw"}, TaskError, r'pass a list, such as \["adamw"\]'),
        ({"optimizers": ["adamx"]}, SpecError, "no default space.*; did you mean 'adam'"),
        ({"space": {"sgd": {"lr": 0.1}}}, TaskError, "'sgd' is not one of ecdsep, adamw"),
        ({"trials": 0}, SpecError, "trials: 0: must be at least 1"),
        ({"sampler": "best"}, SpecError, "sampler"),
        ({"task": "no_such.py:net"}, TaskError, "there is no such file"),
        ({"task": own_tasks.numbers}, TaskError, r"tune\(numbers\): not a task; write @ecd_tune"),
        ({"storage": "sqlit://x", "check": True}, StorageUrlError, "'sqlit' is not supported"),
        ({"workers": 0}, TaskError, "must be a whole number, >= 1"),
        ({"task": "digits", "workers": 2, "epochs": 1}, TaskError, "is tuned in this process only"),
        (
            {"task": "__main__:tensors", "workers": 2},
            TaskError,
            "where other processes cannot find it",
        ),
    ],
)
def test_wrong_arguments_are_errors(given, error, message, tmp_path: Path, monkeypatch) -> None:
    monkeypatch.setattr("__main__.tensors", own_tasks.tensors, raising=False)
    task = given.pop("task", own_tasks.tensors)
    with pytest.raises(error, match=message):
        et.tune(task, **{"storage": url(tmp_path), "check": False, **given})


def test_missing_main_guard_is_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(references, "_under_way", ["my_file"])
    with pytest.raises(TaskError, match="while a worker imported 'my_file'; put the call below"):
        et.tune(own_tasks.tensors)


def broken(run) -> None:
    own_tasks.describe(run, own_tasks.numbers())
    run.loss(lambda model, x, y: model(x[:, :2]).sum())


def below_floor(run) -> None:
    own_tasks.describe(run, own_tasks.numbers())
    run.loss(lambda model, x, y: model(x).square().mean() - 100)


def not_a_number(run) -> None:
    own_tasks.describe(run, own_tasks.numbers())
    run.loss(lambda model, x, y: model(x).sum() * float("nan"))


def other_random(run) -> None:
    own_tasks.describe(run, own_tasks.numbers())
    generator = torch.Generator()
    generator.seed()
    noise = torch.rand(1, generator=generator)
    run.loss(lambda model, x, y: (model(x) - noise).square().mean())


def no_gradient(run) -> None:
    own_tasks.describe(run, own_tasks.numbers())
    free = torch.ones(1, requires_grad=True)
    run.loss(lambda model, x, y: free.sum())


@pytest.mark.parametrize(
    ("function", "message"),
    [
        (broken, r"RuntimeError: .*own_tasks\.py, line \d+: return self\.layers"),
        (below_floor, "must stay above F0 = 0; set F0 below"),
        (not_a_number, r"^ecdsep: loss .*nan.* in the dry run, with lr = .*; look for NaN"),
        (other_random, "some random numbers do not depend on the seed"),
        (no_gradient, "no parameter has a gradient after backward"),
    ],
)
def test_a_dry_run_finds_faults(function, message, tmp_path: Path, monkeypatch) -> None:
    task = et.task(metric="accuracy", direction="maximize", epochs=1)(function)
    monkeypatch.setitem(globals(), function.__name__, task)
    with pytest.raises(TaskError, match=message):
        et.tune(task, storage=url(tmp_path))
    with Store.open(url(tmp_path)) as store:
        assert store.studies() == []


def test_a_fault_in_every_trial_ends_the_search(tmp_path: Path, monkeypatch) -> None:
    task = et.task(metric="accuracy", direction="maximize", epochs=1)(broken)
    monkeypatch.setitem(globals(), "broken", task)
    with pytest.raises(
        RepeatedFailureError, match=r"first 3 trials failed in the same way.*none has"
    ):
        et.tune(task, storage=url(tmp_path), check=False)
    with Store.open(url(tmp_path)) as store:
        (event,) = [event for event in store.events("broken") if event.kind == "exception"]
    assert "test_tune.py" in event.detail["trace"]
    assert "own_tasks.py" in event.detail["reason"]  # the last line that is the user's


def test_traceback_shows_only_user_code(tmp_path: Path, monkeypatch) -> None:
    task = et.task(metric="accuracy", direction="maximize", epochs=1)(broken)
    monkeypatch.setitem(globals(), "broken", task)
    with pytest.raises(TaskError) as error:
        et.tune(task, storage=url(tmp_path))
    cause = error.value.__cause__
    assert cause is not None
    first = [traceback.extract_tb(e.__traceback__)[0] for e in (error.value, cause)]
    assert [Path(frame.filename).name for frame in first] == ["test_tune.py"] * 2
    package = str(Path(et.__file__).parent)
    lines = traceback.extract_tb(error.value.__traceback__)
    ours = [Path(frame.filename).name for frame in lines if frame.filename.startswith(package)]
    assert ours == ["tune.py"]  # the call that the reader made, and nothing below it


def test_a_confirmation_without_a_run_that_ends_is_an_error(tmp_path: Path, monkeypatch) -> None:
    def untested(run) -> None:
        own_tasks.loop.function(run)
        run.test(lambda: 1 / 0)

    untested.__qualname__ = "untested"
    task: OwnTask = et.task(metric="accuracy", direction="maximize", epochs=1)(untested)
    monkeypatch.setitem(globals(), "untested", task)
    given = {"trials": 1, "confirm": 1, "selection": 0, "check": False}
    with pytest.raises(NoResultError, match=r"no confirmation run of adamw .*retry untested"):
        et.tune(task, ["adamw"], storage=url(tmp_path), **given)


def test_an_optimizer_without_a_value_is_an_error(tmp_path: Path, monkeypatch) -> None:
    def diverges(run) -> None:
        own_tasks.describe(run, own_tasks.numbers())
        run.loss(lambda model, x, y: model(x).sum() * float("nan"))

    diverges.__qualname__ = "diverges"
    task: OwnTask = et.task(metric="accuracy", direction="maximize", epochs=1)(diverges)
    monkeypatch.setitem(globals(), "diverges", task)
    with pytest.raises(NoResultError, match="no trial of adamw ended with a value"):
        et.tune(task, ["adamw"], trials=1, confirm=0, storage=url(tmp_path), check=False)
