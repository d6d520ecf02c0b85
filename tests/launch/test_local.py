import os
import sys
import time
from pathlib import Path

import pytest

from ecd_tune.launch import LocalWorkers, Placement, WorkerState

FAKE_WORKER = """
import os, signal, sys, time
print(os.environ["ECD_TUNE_STORAGE"], *sys.argv[1:], flush=True)
mode = sys.argv[-1]
if mode == "fail":
    print("it broke", flush=True); sys.exit(1)
if mode == "mistake":
    sys.exit(2)
if mode == "hung":
    with open("hung", "a") as told:
        told.write("x")
    sys.exit(4 if os.path.getsize("hung") < 4 else 0)
if mode == "where":
    print(sorted(os.sched_getaffinity(0)), os.environ["OMP_NUM_THREADS"],
          os.environ.get("CUDA_VISIBLE_DEVICES"), flush=True)
    sys.exit(0)
if mode == "deaf":
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    print("ready", flush=True); time.sleep(60)
if mode == "follow":
    sys.stdin.read(); sys.exit(0)
"""


@pytest.fixture
def fake_worker(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Let ``python -m ecd_tune worker`` run a small script instead."""
    package = tmp_path / "fake" / "ecd_tune"
    package.mkdir(parents=True)
    (package / "__init__.py").touch()
    (package / "__main__.py").write_text(FAKE_WORKER)
    monkeypatch.setenv("PYTHONPATH", str(package.parent))
    monkeypatch.chdir(package.parent)


def wait_for(condition: object, seconds: float = 100) -> None:
    deadline = time.monotonic() + seconds
    while not condition():  # type: ignore[operator]
        assert time.monotonic() < deadline, "waited too long"
        time.sleep(0.02)


def ended(pool: LocalWorkers) -> bool:
    states = (WorkerState.RUNNING, WorkerState.WAITING)
    return not any(view.state in states for view in pool.update())


@pytest.mark.usefixtures("fake_worker")
def test_storage_travels_in_the_environment_not_in_the_arguments(tmp_path: Path) -> None:
    url = "postgresql://me:secret@host/db"
    arguments = ["zakharov", "end"]
    with LocalWorkers(arguments, [Placement()] * 2, url, tmp_path / "logs") as pool:
        wait_for(lambda: ended(pool))
    for view in pool.views():
        assert view.state is WorkerState.ENDED
        assert view.log.read_text() == f"{url} worker --follow-stdin zakharov end\n"


@pytest.mark.usefixtures("fake_worker")
def test_a_worker_that_dies_is_started_again_up_to_the_limit(tmp_path: Path) -> None:
    with LocalWorkers(
        ["fail"], [Placement()], "sqlite://", tmp_path, max_restarts=2, pause=0.01
    ) as pool:
        wait_for(lambda: ended(pool))
    (view,) = pool.views()
    assert view.state is WorkerState.FAILED
    assert view.restarts == 2
    assert view.reason == "ended with status 1"
    assert view.log.read_text().count("it broke") == 3
    assert view.tail.endswith("it broke")


@pytest.mark.usefixtures("fake_worker")
def test_the_pause_doubles(tmp_path: Path) -> None:
    now = 0.0
    pool = LocalWorkers(
        ["fail"], [Placement()], "sqlite://", tmp_path, max_restarts=9, pause=8, clock=lambda: now
    )
    with pool:
        for pause in (8, 16, 32):
            wait_for(lambda: pool.update()[0].state is WorkerState.WAITING)
            restarts = pool.views()[0].restarts
            now += pause - 1
            assert pool.update()[0].restarts == restarts
            now += 1
            assert pool.update()[0].restarts == restarts + 1


@pytest.mark.usefixtures("fake_worker")
def test_usage_errors_are_not_retried(tmp_path: Path) -> None:
    with LocalWorkers(["mistake"], [Placement()], "sqlite://", tmp_path, pause=0.01) as pool:
        wait_for(lambda: ended(pool))
    (view,) = pool.views()
    assert (view.state, view.restarts) == (WorkerState.FAILED, 0)


@pytest.mark.usefixtures("fake_worker")
def test_a_worker_is_pinned_to_its_place(tmp_path: Path) -> None:
    core = max(os.sched_getaffinity(0))
    place = Placement(("MIG-1",), (core,))
    with LocalWorkers(["where"], [place], "sqlite://", tmp_path) as pool:
        wait_for(lambda: ended(pool))
    assert pool.views()[0].log.read_text().splitlines()[-1] == f"[{core}] 1 MIG-1"


@pytest.mark.usefixtures("fake_worker")
def test_unresponsive_worker_is_killed_and_stopped_worker_is_no_failure(tmp_path: Path) -> None:
    with LocalWorkers(["deaf"], [Placement()], "sqlite://", tmp_path / "logs") as pool:
        wait_for(lambda: "ready" in pool.views()[0].log.read_text())
        pool.stop(patience=0.2)
        (view,) = pool.views()
        assert view.state is WorkerState.ENDED
        assert view.reason == "killed by SIGKILL"


@pytest.mark.usefixtures("fake_worker")
def test_workers_see_the_launcher_die(tmp_path: Path) -> None:
    launcher = (
        "import sys, time; sys.path.remove('') if '' in sys.path else None\n"
        f"sys.path.insert(0, {str(Path(__file__).parents[2])!r})\n"
        "from pathlib import Path\n"
        "from ecd_tune.launch import LocalWorkers, Placement\n"
        f"logs = Path({str(tmp_path / 'logs')!r})\n"
        "pool = LocalWorkers(['follow'], [Placement()], 'sqlite://', logs)\n"
        "pool.__enter__()\n"
        "print(pool.views()[0].pid, flush=True)\n"
        "time.sleep(60)\n"
    )
    import subprocess

    with subprocess.Popen(
        [sys.executable, "-c", launcher], stdout=subprocess.PIPE, text=True
    ) as process:
        assert process.stdout is not None
        pid = int(process.stdout.readline())
        process.kill()
    wait_for(lambda: not _alive(pid))


def _alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    # A zombie that no one has reaped yet has ended too.
    return "State:\tZ" not in Path(f"/proc/{pid}/status").read_text()


@pytest.mark.usefixtures("fake_worker")
def test_worker_with_hanging_trials_is_always_restarted(tmp_path: Path) -> None:
    with LocalWorkers(["hung"], [Placement()], "sqlite://", tmp_path, max_restarts=0) as pool:
        wait_for(lambda: ended(pool))
    (view,) = pool.views()
    assert (view.state, view.restarts) == (WorkerState.ENDED, 0)
    assert Path("hung").read_text() == "xxxx"
