import os
import signal
import sys
import time
from pathlib import Path

import pytest

from ecd_tune.launch import LocalWorkers

FAKE_WORKER = """
import os, signal, sys, time
print(os.environ["ECD_TUNE_STORAGE"], *sys.argv[1:], flush=True)
mode = sys.argv[-1]
if mode == "fail":
    print("it broke", flush=True); sys.exit(3)
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


def wait_for(condition: object, seconds: float = 20) -> None:
    deadline = time.monotonic() + seconds
    while not condition():  # type: ignore[operator]
        assert time.monotonic() < deadline, "waited too long"
        time.sleep(0.02)


@pytest.mark.usefixtures("fake_worker")
def test_storage_travels_in_the_environment_not_in_the_arguments(tmp_path: Path) -> None:
    url = "postgresql://me:secret@host/db"
    with LocalWorkers(["zakharov", "end"], 2, url, tmp_path / "logs") as pool:
        wait_for(lambda: pool.running() == 0)
        assert pool.failures() == []
    for index in (0, 1):
        line = pool.log(index).read_text()
        assert line == f"{url} worker --follow-stdin zakharov end\n"


@pytest.mark.usefixtures("fake_worker")
def test_a_failed_worker_is_reported_with_the_end_of_its_log(tmp_path: Path) -> None:
    with LocalWorkers(["fail"], 1, "sqlite://", tmp_path / "logs") as pool:
        wait_for(lambda: pool.running() == 0)
        (failure,) = pool.failures()
    assert failure.status == 3
    assert failure.tail.endswith("it broke")


@pytest.mark.usefixtures("fake_worker")
def test_a_deaf_worker_is_killed(tmp_path: Path) -> None:
    with LocalWorkers(["deaf"], 1, "sqlite://", tmp_path / "logs") as pool:
        wait_for(lambda: "ready" in pool.log(0).read_text())
        pool.stop(patience=0.2)
        assert pool.running() == 0
        assert pool.failures()[0].status == -signal.SIGKILL


@pytest.mark.usefixtures("fake_worker")
def test_workers_see_the_launcher_die(tmp_path: Path) -> None:
    launcher = (
        "import sys, time; sys.path.remove('') if '' in sys.path else None\n"
        f"sys.path.insert(0, {str(Path(__file__).parents[2])!r})\n"
        "from pathlib import Path\n"
        "from ecd_tune.launch import LocalWorkers\n"
        f"pool = LocalWorkers(['follow'], 1, 'sqlite://', Path({str(tmp_path / 'logs')!r}))\n"
        "pool.__enter__()\n"
        "print(pool._processes[0].pid, flush=True)\n"
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
    # A zombie that nobody has reaped yet has ended too.
    return "State:\tZ" not in Path(f"/proc/{pid}/status").read_text()
