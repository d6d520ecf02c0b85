"""Workers as jobs of a real Slurm."""

from __future__ import annotations

import stat
import subprocess
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from ecd_tune.errors import LaunchError
from ecd_tune.launch import Launch, Launcher, WorkerState, make_launcher
from ecd_tune.records import TrialState
from ecd_tune.testing.contracts import LauncherContract
from ecd_tune.testing.launcher import launched, wait_until
from tests.acceptance.commands import run_in

pytestmark = [pytest.mark.slow, pytest.mark.usefixtures("slurm")]


def slurm_launcher(launch: Launch) -> Launcher:
    return make_launcher("slurm", launch)


class TestSlurmLauncher(LauncherContract):
    @pytest.fixture
    def make(self) -> Callable[[Launch], Launcher]:
        return slurm_launcher

    def test_another_process_finds_the_jobs_again(self, plan) -> None:
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

    def test_what_slurm_refuses_is_one_message(self, plan) -> None:
        launch, _ = plan(1, 1)
        with pytest.raises(LaunchError, match="sbatch rejected the jobs"):
            slurm_launcher(replace(launch, partition="none-of-these")).submit()

    def test_a_notice_saves_the_trial_and_queues_the_job_again(self, plan, tmp_path: Path) -> None:
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
        ecd_tune = run_in(tmp_path)
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
