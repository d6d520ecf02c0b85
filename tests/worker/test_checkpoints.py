"""Checkpoint storage, and workers that are stopped and killed during a run."""

from __future__ import annotations

import errno
import io
import logging
import os
import shutil
import signal
import subprocess
import sys
import time

import pytest
import torch
from optuna.artifacts import FileSystemArtifactStore
from optuna.artifacts.exceptions import ArtifactNotFound

from ecd_tune.objective import Objective
from ecd_tune.objective.training.speed import SPEED_METRICS
from ecd_tune.records import Lease, RunRequest, Stage, StudyKey, TrialState
from ecd_tune.signals import StopFlag
from ecd_tune.spec import load_study
from ecd_tune.store import Store
from ecd_tune.tasks.digits import DigitsProblem
from ecd_tune.worker import (
    ArtifactCheckpoints,
    FolderCheckpoints,
    StudyWorker,
)
from ecd_tune.worker.checkpoint_storage.folder_checkpoints import default_folder


def make_lease(seed=1, number=0, attempt=1, stage=Stage.SEARCH, optimizer="adam", **params):
    key = StudyKey("study", optimizer, stage)
    request = RunRequest({"lr": 0.1, "eta": 2.0, **params}, seed, stage)
    return Lease(key, 10 + number, number, 100 + number, attempt, request)


@pytest.fixture(params=["folder", "artifacts"])
def make(request, tmp_path):
    """Open the same place again and again, as several workers do."""
    folder = tmp_path / "kept"

    def make(**options):
        if request.param == "folder":
            return FolderCheckpoints(folder, **options)
        folder.mkdir(exist_ok=True)
        return ArtifactCheckpoints(FileSystemArtifactStore(folder), **options)

    make.folder = folder
    return make


class TestPlaces:
    def test_the_last_saved_is_loaded_by_any_worker(self, make):
        slot = make().handle(make_lease())
        assert slot.load() is None
        for data in (b"one", b"two", b"three"):
            slot.save(data)
            assert make().handle(make_lease()).load() == data

    def test_key_is_equal_for_attempts_of_a_run_only(self, make):
        make().handle(make_lease()).save(b"mine")
        again = make_lease(number=7, attempt=2)
        assert make().handle(again).load() == b"mine"
        for other in (
            make_lease(seed=2),
            make_lease(lr=0.2),
            make_lease(stage=Stage.CONFIRM),
            make_lease(optimizer="sgd"),
        ):
            assert make().handle(other).load() is None

    def test_damaged_checkpoint_is_logged_and_the_run_restarts(self, make, caplog):
        """A flipped bit in any byte: of what was saved, its digest, its number or its mark."""
        make().handle(make_lease()).save(b"a run at step 100")
        (path,) = make.folder.iterdir()
        whole = path.read_bytes()
        for at in range(len(whole)):
            caplog.clear()
            path.write_bytes(whole[:at] + bytes([whole[at] ^ (1 << at % 8)]) + whole[at + 1 :])
            assert make().handle(make_lease()).load() is None
            assert caplog.text.count("it is damaged") == 1
        make().handle(make_lease()).save(b"another try")
        assert make().handle(make_lease()).load() == b"another try"

    def test_stored_result_removes_the_checkpoint(self, make):
        kept = make()
        kept.handle(make_lease()).save(b"data")
        kept.handle(make_lease()).save(b"data")
        kept.discard(make_lease())
        assert list(make.folder.iterdir()) == []
        kept.discard(make_lease())

    def test_parts_are_found_and_cleared_by_the_next_attempt(self, make):
        slot = make().handle(make_lease())
        slot.save(b"whole")
        slot.part("a").save(b"one")
        slot.part("a").part("b").save(b"two")
        again = make().handle(make_lease(attempt=2))
        assert (again.load(), again.part("a").load()) == (b"whole", b"one")
        assert again.part("b").load() is None
        nested = again.part("a").part("b")
        assert nested.load() == b"two"
        nested.clear()
        assert make().handle(make_lease()).part("a").part("b").load() is None
        assert make().handle(make_lease()).load() == b"whole"

    def test_worker_that_only_loaded_removes_the_checkpoint(self, make):
        make().handle(make_lease()).save(b"data")
        kept = make()
        kept.handle(make_lease()).load()
        kept.discard(make_lease())
        assert list(make.folder.iterdir()) == []

    def test_too_large_checkpoint_is_skipped_and_logged_once(self, make, caplog):
        slot = make(max_bytes=10).handle(make_lease())
        slot.save(b"x" * 10)
        with caplog.at_level(logging.WARNING):
            slot.save(b"y" * 11)
            slot.save(b"y" * 11)
        assert slot.load() == b"x" * 10
        assert caplog.text.count("exceeds the limit of 10") == 1
        assert make(max_bytes=9).handle(make_lease()).load() is None

    def test_due_after_the_interval_and_again_after_saving(self, make, monkeypatch):
        now = [0.0]
        monkeypatch.setattr(
            "ecd_tune.worker.checkpoint_storage.base.time.monotonic", lambda: now[0]
        )
        slot = make(interval=0.05).handle(make_lease())
        assert not slot.due()
        now[0] += 0.06
        assert slot.due()
        slot.save(b"data")
        assert not slot.due()
        assert not make().handle(make_lease()).due()

    def test_full_disk_is_logged_and_keeps_the_last_checkpoint(self, make, caplog, monkeypatch):
        slot = make().handle(make_lease())
        slot.save(b"good")

        def full(*_, **__):
            raise OSError(errno.ENOSPC, "No space left on device")

        with monkeypatch.context() as patch, caplog.at_level(logging.WARNING):
            patch.setattr("ecd_tune.worker.checkpoint_storage.folder_checkpoints.os.fsync", full)
            patch.setattr(FileSystemArtifactStore, "write", full)
            slot.save(b"bad")
        assert "No space left" in caplog.text
        assert slot.load() == b"good"
        slot.save(b"better")
        assert make().handle(make_lease()).load() == b"better"

    def test_unreachable_storage_does_not_end_the_run(self, tmp_path, caplog):
        (tmp_path / "file").write_text("not a folder")
        kept = FolderCheckpoints(tmp_path / "file" / "below")
        slot = kept.handle(make_lease())
        with caplog.at_level(logging.WARNING):
            assert slot.load() is None
            slot.save(b"data")
        assert caplog.text.count("Not a directory") == 2
        kept.discard(make_lease())


class TestFolder:
    def test_a_kill_while_writing_leaves_the_former(self, tmp_path, monkeypatch):
        slot = FolderCheckpoints(tmp_path).handle(make_lease())
        slot.save(b"former")

        def killed(descriptor):
            raise SystemExit

        with monkeypatch.context() as patch:
            patch.setattr("ecd_tune.worker.checkpoint_storage.folder_checkpoints.os.fsync", killed)
            with pytest.raises(SystemExit):
                slot.save(b"half")
        assert slot.load() == b"former"
        assert len(list(tmp_path.iterdir())) == 1

    def test_only_own_old_files_are_removed(self, tmp_path):
        FolderCheckpoints(tmp_path).handle(make_lease()).save(b"data")
        (ours,) = tmp_path.iterdir()
        shutil.copy(ours, tmp_path / ("0" * 32 + ".checkpoint"))
        theirs = "3" * 32 + ".checkpoint"  # a name like ours, without our mark
        names = ["1" * 32 + ".x_1Z.part", "mine.checkpoint", "a.part", theirs, "weights/mine"]
        (tmp_path / "weights").mkdir()
        for name in names:
            (tmp_path / name).write_bytes(b"" if name.endswith("Z.part") else b"weights")
        for path in tmp_path.rglob("*"):
            os.utime(path, (0, 0))
        fresh = tmp_path / ("2" * 32 + ".checkpoint")
        fresh.write_bytes(b"")
        FolderCheckpoints(tmp_path).handle(make_lease()).save(b"data")
        left = {path.name for path in tmp_path.iterdir()}
        assert left == {"mine.checkpoint", "a.part", "weights", theirs, ours.name, fresh.name}
        assert (tmp_path / "weights" / "mine").exists()

    def test_folder_is_private(self, tmp_path):
        FolderCheckpoints(tmp_path / "a" / "b").handle(make_lease()).save(b"data")
        assert (tmp_path / "a" / "b").stat().st_mode & 0o077 == 0

    def test_the_folder_is_made_when_it_is_needed(self, tmp_path):
        kept = FolderCheckpoints(tmp_path / "a")
        kept.handle(make_lease()).load()
        kept.discard(make_lease())
        assert not (tmp_path / "a").exists()

    def test_the_folder_by_default(self, tmp_path, monkeypatch):
        monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path))
        assert default_folder() == tmp_path / "ecd_tune" / "checkpoints"
        monkeypatch.setenv("XDG_STATE_HOME", "relative")
        monkeypatch.setenv("HOME", str(tmp_path))
        assert default_folder() == tmp_path / ".local/state/ecd_tune/checkpoints"


class TestArtifacts:
    def test_a_kill_while_writing_leaves_the_former(self, tmp_path):
        # The local artifact store truncates a file and then fills it.
        store = FileSystemArtifactStore(tmp_path)
        slot = ArtifactCheckpoints(store).handle(make_lease())
        for data in (b"one", b"two", b"three"):
            slot.save(data)
        newest = max(tmp_path.iterdir(), key=lambda path: path.read_bytes()[8:16])
        newest.write_bytes(newest.read_bytes()[:-2])
        again = ArtifactCheckpoints(store)
        assert again.handle(make_lease()).load() == b"two"
        again.handle(make_lease()).save(b"four")
        assert ArtifactCheckpoints(store).handle(make_lease()).load() == b"four"

    def test_a_prefix_begins_every_name(self):
        class Table:
            def __init__(self):
                self.content = {}

            def open_reader(self, name):
                if name not in self.content:
                    raise ArtifactNotFound
                return io.BytesIO(self.content[name])

            def write(self, name, body):
                self.content[name] = body.read()

            def remove(self, name):
                del self.content[name]  # fails for what is not there

        table = Table()
        kept = ArtifactCheckpoints(table, prefix="a/b/", shown="a table")
        kept.handle(make_lease()).save(b"one")
        assert [name[:4] for name in table.content] == ["a/b/"]
        assert ArtifactCheckpoints(table).handle(make_lease()).load() is None
        again = ArtifactCheckpoints(table, prefix="a/b/")
        assert again.handle(make_lease()).load() == b"one"
        again.discard(make_lease())
        assert table.content == {}
        assert repr(kept) == "checkpoints in a table"
        one = ArtifactCheckpoints(table, slots=1)  # of a bucket, which replaces at once
        for data in (b"one", b"two", b"three"):
            one.handle(make_lease()).save(data)
        assert len(table.content) == 1
        assert ArtifactCheckpoints(table, slots=1).handle(make_lease()).load() == b"three"

    def test_short_runs_make_no_request(self, tmp_path):
        class Closed(FileSystemArtifactStore):
            def remove(self, artifact_id):
                raise AssertionError(artifact_id)

        ArtifactCheckpoints(Closed(tmp_path)).discard(make_lease())


STUDY = """
name = "small"
[task]
name = "digits"
hidden = 8
batch_size = 128
[budget]
trials = 1
steps = {epochs}
[sampler]
name = "random"
[confirmation]
runs = 0
[optimizers.ecdsep.space]
lr = {{ low = 0.01, high = 0.02 }}
eta = 2.0
nu = 0.01
"""
EPOCHS, LENGTH = 100, 9
HANG = 300.0
"""Seconds after which something hangs; everything here takes a few."""
TRAINING = """
import sys
from pathlib import Path
from ecd_tune.tasks.digits import DigitsProblem
began, closure = Path(sys.argv.pop(1)), DigitsProblem.closure
def say_so(self, step):
    if step == 5:
        began.touch()
    return closure(self, step)
DigitsProblem.closure = say_so
"""
COMMAND = TRAINING + "from ecd_tune.cli.main import main; main()"
WORKER = (
    TRAINING
    + """
import torch
from ecd_tune.signals import StopFlag
from ecd_tune.spec import load_study
from ecd_tune.store import Store
from ecd_tune.worker import FolderCheckpoints, StudyWorker
torch.set_num_threads(1)
study, url, folder = sys.argv[1:]
with StopFlag() as stop, Store.open(url) as store:
    kept = FolderCheckpoints(Path(folder), interval=0.05)
    StudyWorker(store, load_study(Path(study)), stop, checkpoints=kept).run()
"""
)


class Scene:
    """A study of one long training run, a database, a folder of checkpoints."""

    def __init__(self, folder):
        self.study, self.kept = folder / "small.toml", folder / "kept"
        self.study.write_text(STUDY.format(epochs=EPOCHS))
        self.url = f"sqlite:///{folder / 'a.db'}"
        self.spec = load_study(self.study)
        self.key = self.spec.key("ecdsep")

    def start(self, code, *arguments):
        """Start a worker; return when it trains."""
        began = self.kept.with_name("began")
        process = subprocess.Popen(
            [sys.executable, "-c", code, *map(str, (began, *arguments))],
            stderr=subprocess.PIPE,
            text=True,
        )
        self.wait_for(process, began.exists)
        return process

    def wait_for(self, process, condition):
        deadline = time.monotonic() + HANG
        while not condition():
            assert process.poll() is None, process.communicate()
            assert time.monotonic() < deadline
            time.sleep(0.005)

    def records(self):
        with Store.open(self.url) as store:
            return store.trials(self.key)

    def files(self):
        return sorted(self.kept.iterdir()) if self.kept.exists() else []

    def go_on(self, monkeypatch):
        """Run a worker in this process; return the numbers of the steps that it made."""
        steps, closure = [], DigitsProblem.closure
        monkeypatch.setattr(
            DigitsProblem, "closure", lambda self, step: steps.append(step) or closure(self, step)
        )
        with Store.open(self.url) as store:
            kept = FolderCheckpoints(self.kept)
            StudyWorker(store, self.spec, StopFlag(), checkpoints=kept).run()
        monkeypatch.undo()
        return steps

    def assert_as_if_never_stopped(self):
        lost, done = self.records()
        assert (lost.state, lost.lost, done.state) == (TrialState.FAIL, True, TrialState.COMPLETE)
        assert (done.params, done.seed, done.attempt) == (lost.params, lost.seed, 2)
        request = RunRequest(done.params, done.seed)
        (plain,) = Objective(self.spec, "ecdsep").evaluate([request])
        numbers = [
            {name: v for name, v in run.metrics.items() if name not in SPEED_METRICS}
            for run in (done, plain)
        ]
        assert numbers[0] == numbers[1]
        assert (done.value, done.curve) == (plain.value, plain.curve)


@pytest.fixture
def scene(tmp_path, preloaded):
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield Scene(tmp_path)
    torch.set_num_threads(threads)


class TestWorkers:
    # With another signal it is the same: tests/test_signals.py says which are heeded.
    @pytest.mark.slow
    @pytest.mark.parametrize("number", [signal.SIGHUP, signal.SIGINT])
    def test_signal_saves_and_requeues_the_run(self, number, scene):
        self.interrupt(scene, number)

    def test_next_worker_resumes_the_run(self, scene, monkeypatch):
        log = self.interrupt(scene, signal.SIGTERM)
        steps = scene.go_on(monkeypatch)
        assert 0 < steps[0] < EPOCHS * LENGTH, log
        assert steps == list(range(steps[0], EPOCHS * LENGTH))
        scene.assert_as_if_never_stopped()
        assert scene.files() == []

    def interrupt(self, scene, number):
        arguments = ["worker", scene.study, "--storage", scene.url, "--checkpoints", scene.kept]
        process = scene.start(COMMAND, *arguments)
        process.send_signal(number)
        _, log = process.communicate(timeout=HANG)
        assert process.returncode == 128 + number, log
        states = [record.state for record in scene.records()]
        assert states == [TrialState.FAIL, TrialState.WAITING], log
        assert len(scene.files()) == 1
        return log

    def test_after_a_kill_the_last_checkpoint_is_used(self, scene, monkeypatch):
        process = scene.start(WORKER, scene.study, scene.url, scene.kept)
        scene.wait_for(process, lambda: [p for p in scene.files() if p.suffix == ".checkpoint"])
        process.kill()
        process.communicate()
        steps = scene.go_on(monkeypatch)
        assert 0 < steps[0] < EPOCHS * LENGTH
        scene.assert_as_if_never_stopped()
        assert [path for path in scene.files() if path.suffix == ".checkpoint"] == []
