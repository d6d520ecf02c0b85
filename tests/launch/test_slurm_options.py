"""The batch script without Slurm: allowed and refused options."""

from __future__ import annotations

import os
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from ecd_tune.errors import LaunchError
from ecd_tune.launch import Launch, WorkerState, make_launcher
from ecd_tune.launch.slurm_options import divide_options

URL = "postgresql://me:secret@host/db"


def launch(tmp_path: Path, **settings: Any) -> Launch:
    return Launch("a", ("zakharov",), URL, tmp_path / "logs", **settings)


@pytest.fixture
def fake_slurm(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An sbatch that writes down its environment and its script, and an srun that is only there."""
    folder = tmp_path / "bin"
    folder.mkdir()
    told = tmp_path / "told"
    for name, text in (
        ("sbatch", f'env > {told}; cat "$1" >> {told}; sleep 0.2; echo "Submitted batch job 7"'),
        ("squeue", 'echo "7 FAILED"'),
        ("srun", "exit 1"),
    ):
        (folder / name).write_text(f"#!/bin/sh\n{text}\n")
        (folder / name).chmod(0o755)
    monkeypatch.setenv("PATH", f"{folder}:{os.environ['PATH']}")
    return told


def test_a_container_is_of_srun_and_all_else_of_the_script() -> None:
    options = {
        "container-image": "a b.sqsh",
        "container_mounts": "/home",
        "container-mount-home": True,
        "no-container-entrypoint": True,
        "container": "/oci",
        "mail-user": "me",
        "mem_per_cpu": "2G",
        "contiguous": True,
        "exclusive": False,
    }
    script, srun = divide_options(options)
    assert script == {"mail_user": "me", "mem_per_cpu": "2G", "contiguous": True}
    assert srun == [
        "--container-image=a b.sqsh",
        "--container-mounts=/home",
        "--container-mount-home",
        "--no-container-entrypoint",
        "--container=/oci",
    ]


@pytest.mark.parametrize("name", ["--mem", "a b", "", "n", "Mem", "mem=4G --wrap", "mem\n#SBATCH"])
def test_what_is_no_name_of_an_option_is_refused(name: str) -> None:
    with pytest.raises(LaunchError, match="must be the long name of an option of sbatch"):
        divide_options({name: 1})


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("nodes", "cannot be changed"),
        ("parsable", "cannot be changed"),
        ("open_mode", "cannot be changed"),
        ("time", "--time"),
        ("cpus_per_task", "cores_per_worker"),
    ],
)
def test_what_the_launcher_sets_is_refused(name: str, message: str) -> None:
    with pytest.raises(LaunchError, match=f"options: {name}: .*{message}"):
        divide_options({name: 2})


@pytest.mark.usefixtures("fake_slurm")
def test_the_script_starts_the_container_and_replaces_defaults(tmp_path: Path) -> None:
    options = {"job-name": "mine", "container-image": "a b", "exclusive": True}
    text = make_launcher("slurm", launch(tmp_path, workers=3, options=options)).describe()
    assert text.count("--job-name=") == 1
    assert "#SBATCH --job-name=mine\n" in text
    assert "#SBATCH --exclusive\n" in text
    assert "#SBATCH --array=0-2%3\n" in text
    (command,) = [line for line in text.splitlines() if line.startswith("srun ")]
    assert "'--container-image=a b'" in command
    assert "#SBATCH --container" not in text


def test_slurm_keeps_no_storage_with_the_job(
    fake_slurm: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("ECD_TUNE_STORAGE", URL)
    make_launcher("slurm", launch(tmp_path)).submit()
    told = fake_slurm.read_text()
    assert "#SBATCH" in told
    assert "secret" not in told
    assert os.environ["ECD_TUNE_STORAGE"] == URL


@pytest.mark.usefixtures("fake_slurm")
def test_without_submitit_nothing_is_submitted(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "submitit", None)
    with pytest.raises(LaunchError, match="install it with"):
        make_launcher("slurm", launch(tmp_path)).submit()


def test_a_damaged_list_of_jobs_is_one_message(tmp_path: Path) -> None:
    path = tmp_path / "logs" / "slurm" / "jobs.json"
    path.parent.mkdir(parents=True)
    path.write_text('[{"id": "1"')
    with pytest.raises(LaunchError, match=r"jobs\.json: is damaged"):
        make_launcher("slurm", launch(tmp_path)).status()


@pytest.mark.usefixtures("fake_slurm")
def test_two_submissions_at_once_number_their_workers_in_turn(tmp_path: Path) -> None:
    launchers = [make_launcher("slurm", launch(tmp_path, workers=2)) for _ in range(2)]
    with ThreadPoolExecutor() as threads:
        list(threads.map(lambda launcher: launcher.submit(), launchers))
    assert [view.index for view in launchers[0].status()] == [0, 1, 2, 3]


@pytest.mark.usefixtures("fake_slurm")
def test_a_job_that_failed_says_where_its_output_is(tmp_path: Path) -> None:
    """For example where a node does not have the folder of the workers."""
    launcher = make_launcher("slurm", launch(tmp_path))
    launcher.submit()
    (view,) = launcher.status()
    folder = tmp_path / "logs" / "slurm" / "7"
    assert (view.state, view.reason) == (
        WorkerState.FAILED,
        f"job 7 is failed; its output is in {folder}",
    )
    assert folder.is_dir()
