"""Checks before a study starts, and studies with nothing to start."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import pytest

from ecd_tune.cli import main as command_line
from ecd_tune.cli.prechecks import check_data, check_folder
from ecd_tune.errors import ReportError, TaskError
from ecd_tune.records import Outcome, Stage, Status
from ecd_tune.spec import find_study, load_study, parse_study
from ecd_tune.store import Store, Worker
from ecd_tune.worker.confirmation import confirmation_items
from ecd_tune.worker.remaining_work import study_complete

STUDY = """
name = "made"
task = { name = "zakharov" }
budget = { trials = 4, steps = 5 }
confirmation = { runs = 2 }
[optimizers.ecdsep.space]
lr = { low = 0.1, high = 1.0 }
eta = 1.5
[[optimizers.ecdsep.references]]
label = "paper"
params = { lr = 0.4, eta = 1 }
[optimizers.sgd.space]
lr = 1e-6
"""


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "made.toml"
    path.write_text(STUDY)
    return path


def finish(store: Store, spec, short_of: int = 0) -> None:
    """Store a result for every trial, less some of the last confirmation."""
    worker = Worker.current()
    store.create(spec)
    for optimizer in spec.optimizers:
        leases = store.ask(spec, optimizer, count=100, worker=worker)
        store.tell([(lease, Outcome(Status.COMPLETE, lease.number + 1.0)) for lease in leases])
        key = spec.key(optimizer, Stage.CONFIRM)
        store.queue(key, confirmation_items(spec, optimizer, store.trials(spec.key(optimizer))))
        count = 100 if optimizer != "sgd" else 2 - short_of
        runs = store.claim(key, count=count, worker=worker)
        store.tell([(run, Outcome(Status.COMPLETE, 1.0)) for run in runs])


def run(monkeypatch, capsys, *arguments: object) -> tuple[int, str, str]:
    monkeypatch.setattr(sys, "argv", ["ecd-tune", *map(str, arguments)])
    try:
        command_line.main()
        status = 0
    except SystemExit as left:
        status = int(left.code or 0)
    shown = capsys.readouterr()
    return status, shown.out, shown.err


def test_missing_data_are_named_with_the_way_to_get_them(monkeypatch, tmp_path) -> None:
    monkeypatch.setenv("ECD_TUNE_DATA", str(tmp_path))
    with pytest.raises(TaskError) as caught:
        check_data(load_study(find_study("cora")), "cora")
    assert f"not under {tmp_path}" in str(caught.value)
    assert "cora: 8 files; `ecd-tune data get cora`" in str(caught.value)
    assert "--smoke" not in str(caught.value)  # it reads the same files
    with pytest.raises(TaskError, match=r"tiny-imagenet.*`ecd-tune data get tiny-imagenet`"):
        check_data(load_study(find_study("tiny-imagenet-wide")), "tiny-imagenet-wide")


def test_smoke_form_is_suggested_if_its_data_exist(monkeypatch, tmp_path) -> None:
    monkeypatch.setenv("ECD_TUNE_DATA", str(tmp_path))
    (tmp_path / "images").mkdir()
    (tmp_path / "images/cifar10-jpeg.tar.xz").touch()
    with pytest.raises(TaskError, match="`--smoke` after cifar100-wide"):
        check_data(load_study(find_study("cifar100-wide")), "cifar100-wide")
    check_data(load_study(find_study("cifar100-wide"), smoke=True), "cifar100-wide")


@pytest.mark.parametrize("command", ["run", "worker", "launch"])
def test_nothing_is_started_or_stored_without_the_data(
    command, monkeypatch, capsys, tmp_path
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("ECD_TUNE_DATA", str(tmp_path / "none"))
    url = f"sqlite:///{tmp_path / 'a.db'}"
    status, out, err = run(monkeypatch, capsys, command, "cora", "--storage", url)
    assert (status, out) == (2, "")
    assert "`ecd-tune data get cora`" in err
    assert not (tmp_path / "a.db").exists()


def test_a_folder_that_cannot_be_written_is_one_message(monkeypatch, capsys, tmp_path) -> None:
    check_folder(tmp_path / "deep/er", "--out")
    with pytest.raises(ReportError, match="--out /proc/x: cannot be written"):
        check_folder(Path("/proc/x"), "--out")
    monkeypatch.chdir(tmp_path)
    for arguments in (["run", "zakharov", "--out"], ["launch", "zakharov", "--logs"]):
        status, out, err = run(monkeypatch, capsys, *arguments, "/proc/x")
        assert (status, out, err.count("\n")) == (2, "", 1)
    assert not (tmp_path / "ecd_tune.db").exists()


@pytest.mark.parametrize("short_of", [0, 1, 2])
def test_complete_means_that_every_confirmation_run_has_ended(file, tmp_path, short_of) -> None:
    spec = load_study(file)
    with Store.open(f"sqlite:///{tmp_path / 'a.db'}") as store:
        store.create(spec)
        assert not study_complete(store, spec)
        finish(store, spec, short_of)
        assert study_complete(store, spec) is (short_of == 0)
        more = parse_study({**spec_table(file), "confirmation": {"runs": 3}}, "made")
        assert not study_complete(store, more)


def spec_table(file: Path) -> dict:
    import tomllib

    return tomllib.loads(file.read_text())


def test_a_finished_study_is_answered_without_workers_and_its_report_kept(
    file, monkeypatch, capsys, tmp_path
) -> None:
    url = f"sqlite:///{tmp_path / 'a.db'}"
    spec = load_study(file)
    with Store.open(url) as store:
        finish(store, spec)
    monkeypatch.setattr("ecd_tune.cli.watch.run_workers", None)  # would be called in vain
    arguments = ("run", file, "--storage", url, "--out", tmp_path / "out")
    status, out, err = run(monkeypatch, capsys, *arguments)
    assert status == 0, err
    assert "is complete" in out
    written = (tmp_path / "out/report.html").stat().st_mtime_ns
    status, out, err = run(monkeypatch, capsys, *arguments)
    assert status == 0, err
    assert "is current" in out
    answer = json.loads((tmp_path / "out/report.json").read_text())["answer"]["sentences"]
    assert answer[0] in out
    assert (tmp_path / "out/report.html").stat().st_mtime_ns == written
    # One that is not of these trials, or not whole, is written again.
    (tmp_path / "out/trials.csv").unlink()
    assert "is current" not in run(monkeypatch, capsys, *arguments)[1]
    with Store.open(url) as store:
        store.invalidate(spec.key("ecdsep", Stage.CONFIRM), 0, "a slip")
        finish(store, spec)
    assert "is current" not in run(monkeypatch, capsys, *arguments)[1]


def test_empty_space_is_one_trial_and_reported(file, monkeypatch, capsys, tmp_path) -> None:
    spec = load_study(file)
    assert (spec.trials("ecdsep"), spec.trials("sgd")) == (4, 1)
    with Store.open(f"sqlite:///{tmp_path / 'a.db'}") as store:
        finish(store, spec)
        assert len(store.trials(spec.key("sgd"))) == 1
    arguments = ("--storage", f"sqlite:///{tmp_path / 'a.db'}", "--format", "md")
    run(monkeypatch, capsys, "report", file, *arguments, "--out", tmp_path / "out")
    text = (tmp_path / "out/report.md").read_text()
    assert "No search for SGD: all values are fixed, in one trial." in text
    assert "(ECDSep 4, SGD 1)" in text
