"""Workers as jobs of a real Slurm."""

from __future__ import annotations

import re
import stat
import subprocess
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from pathlib import Path

import pytest

from ecd_tune.errors import LaunchError
from ecd_tune.launch import Launch, Launcher, WorkerState, make_launcher
from ecd_tune.launch import slurm as slurm_module
from ecd_tune.records import TrialState
from ecd_tune.testing.contracts import LauncherContract
from ecd_tune.testing.launcher import launched, wait_until
from tests.acceptance.commands import run_in

pytestmark = [pytest.mark.slow, pytest.mark.usefixtures("slurm")]

LIMIT_SECONDS = 900.0
SLOW_TASK = """
import time
import torch
import ecd_tune

@ecd_tune.task(metric="loss", direction="minimize", epochs=300)
def slow(run):
    run.model(torch.nn.Linear(1, 1))
    run.data(train=torch.ones(8, 1), val=torch.ones(8, 1), batch_size=8)

    def loss(model, x):
        time.sleep(0.2)  # of a step, and of an evaluation: 120 s at the least
        return model(x).square().mean()

    run.loss(loss)
"""
SLOW_STUDY = """
name = "slow"
[task]
name = "{task}:slow"
[budget]
trials = 1
steps = 300
[sampler]
name = "random"
[confirmation]
runs = 0
[checkpoints]
every = 1.0
[optimizers.sgd.space]
lr = {{ low = 0.01, high = 0.02 }}
"""


def write_slow_study(folder: Path) -> Path:
    """Write a study of one trial that takes two minutes, however fast the machine is."""
    task, path = folder / "slow_task.py", folder / "slow.toml"
    task.write_text(SLOW_TASK)
    path.write_text(SLOW_STUDY.format(task=task))
    return path


def slurm_launcher(launch: Launch) -> Launcher:
    return make_launcher("slurm", launch)


class TestSlurmLauncher(LauncherContract):
    @pytest.fixture
    def make(self) -> Callable[[Launch], Launcher]:
        return slurm_launcher

    def test_jobs_are_found_by_another_process(self, plan) -> None:
        launch, study = plan(2, 10_000)
        with launched(slurm_launcher, launch, study) as (launcher, _, _):
            views = slurm_launcher(launch).status()
            assert [view.where for view in views] == [view.where for view in launcher.status()]
            assert len(views) == 2

    def test_only_the_owner_can_read_the_storage_and_no_script_holds_it(
        self, plan, tmp_path: Path
    ) -> None:
        launch, study = plan(2, 10_000)
        with launched(slurm_launcher, launch, study):
            folder = tmp_path / "logs" / "slurm"
            assert stat.S_IMODE(folder.stat().st_mode) == 0o700
            holders = [
                path
                for path in folder.rglob("*")
                if path.is_file() and launch.storage.encode() in path.read_bytes()
            ]
            assert [path.name for path in holders] == ["storage"]
            assert stat.S_IMODE(holders[0].stat().st_mode) == 0o600

    def test_a_limit_that_leaves_no_time_to_work_is_refused(self, plan) -> None:
        launch, _ = plan(1, 1)
        with pytest.raises(LaunchError, match="at least 5 minutes"):
            slurm_launcher(replace(launch, minutes=4)).submit()

    def test_rejected_jobs_are_one_message(self, plan) -> None:
        launch, _ = plan(1, 1)
        with pytest.raises(LaunchError, match="sbatch rejected the jobs"):
            slurm_launcher(replace(launch, partition="none-of-these")).submit()

    def test_signal_saves_the_trial_and_requeues_the_job(self, plan, tmp_path: Path) -> None:
        launch, study = plan(1, 3000, workers=1)
        with launched(slurm_launcher, launch, study) as (launcher, store, spec):
            wait_until(lambda: any((tmp_path / "kept").glob("*")), "a checkpoint")
            (view,) = launcher.status()
            job = view.where.removeprefix("job ")
            # What Slurm does ahead of the time limit.
            subprocess.run(["scancel", "--signal=USR2", job], check=True)
            wait_until(lambda: len(store.trials(spec.key("sgd"))) == 2, "the second attempt")
            wait_until(
                lambda: launcher.status()[0].state is WorkerState.ENDED, "the study's end", 600
            )
            first, second = store.trials(spec.key("sgd"))
            assert (first.lost, first.cause) == (True, "released")
            assert (second.state, second.attempt) == (TrialState.COMPLETE, 2)
            assert "resumed at step" in launcher.logs()[0]

    def test_a_trial_that_is_longer_than_the_limit_is_finished_by_several_jobs(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """Slurm alone sends signals: 40 s ahead of the limit of two minutes, or somewhat sooner."""
        monkeypatch.setattr(slurm_module, "_LEAST_MINUTES", 2)
        monkeypatch.setattr(slurm_module, "_NOTICE_SECONDS", 40)
        study = write_slow_study(tmp_path)
        url, logs = f"sqlite:///{tmp_path}/store.db", tmp_path / "logs"
        arguments = (str(study), "--checkpoints", str(tmp_path / "kept"))
        launch = Launch("slow", arguments, url, logs, workers=1, minutes=2)
        with launched(slurm_launcher, launch, study) as (launcher, store, spec):
            (view,) = launcher.status()
            wait_until(
                lambda: not launcher.status()[0].state.alive, "the study's end", LIMIT_SECONDS
            )
            assert launcher.status()[0].state is WorkerState.ENDED, launcher.logs()
            *earlier, last = store.trials(spec.key("sgd"))
            assert earlier, "the trial was over before the limit"
            assert {(record.lost, record.cause) for record in earlier} == {(True, "released")}
            assert (last.state, last.attempt) == (TrialState.COMPLETE, len(earlier) + 1)
            assert "resumed at step" in launcher.logs()[0]
            job = view.where.removeprefix("job ")
            shown = subprocess.run(["scontrol", "show", "job", job], capture_output=True, text=True)
            # A job may also have been told to leave before its worker had begun.
            (restarts,) = re.findall(r"Restarts=(\d+)", shown.stdout)
            assert int(restarts) >= len(earlier)

    def test_a_preempted_job_is_queued_again(self, plan, tmp_path: Path) -> None:
        launch, study = plan(1, 3000, workers=1)
        with launched(slurm_launcher, replace(launch, cores_per_worker=4), study) as (
            launcher,
            store,
            spec,
        ):
            wait_until(lambda: any((tmp_path / "kept").glob("*")), "a checkpoint")
            high = ["sbatch", "--partition=high", "--cpus-per-task=4", "--output=/dev/null"]
            subprocess.run([*high, "--wrap=sleep 5"], check=True, stdout=subprocess.DEVNULL)
            wait_until(lambda: len(store.trials(spec.key("sgd"))) == 2, "the second attempt")
            wait_until(
                lambda: launcher.status()[0].state is WorkerState.ENDED, "the study's end", 600
            )
            first, second = store.trials(spec.key("sgd"))
            assert first.lost
            assert (second.state, second.attempt) == (TrialState.COMPLETE, 2)

    def test_the_command_submits_shows_and_cancels(self, plan, tmp_path: Path) -> None:
        launch, study = plan(2, 10_000)
        ecd_tune = partial(run_in(tmp_path), python=("-B",))  # jobs start this interpreter
        common = ("launch", study, "--on", "slurm", "--storage", launch.storage)
        submitted = ecd_tune(*common, "--workers", 2)
        assert submitted.returncode == 0, submitted.stderr
        assert (
            submitted.stdout.count("waits for resources") + submitted.stdout.count("running") == 2
        )
        assert "PostgreSQL is the safe choice" in submitted.stderr
        wait_until(lambda: "running" in ecd_tune(*common, "--status").stdout, "a running worker")
        logs = tmp_path / "logs" / "launched"
        wait_until(lambda: (logs / "worker-0.log").exists(), "a log")
        assert f"{Path('logs/launched/worker-0.log')}:" in ecd_tune(*common, "--tail").stdout
        cancelled = ecd_tune(*common, "--cancel")
        assert cancelled.returncode == 0, cancelled.stderr
        wait_until(
            lambda: ecd_tune(*common, "--status").stdout.count("ended: cancelled") == 2, "the end"
        )
