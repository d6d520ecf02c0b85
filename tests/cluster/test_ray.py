"""Workers as actors of a Ray cluster of two nodes on this machine."""

from __future__ import annotations

import socket
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext
from pathlib import Path

import pytest

from ecd_tune.launch import Launch, Launcher, WorkerState, make_launcher
from ecd_tune.records import TrialState
from ecd_tune.store import Store
from ecd_tune.testing.contracts import LauncherContract
from ecd_tune.testing.launcher import launched, wait_until, write_digits_study
from tests.acceptance.commands import run_in
from tests.cluster.conftest import free_ports

pytestmark = [
    pytest.mark.slow,
    pytest.mark.filterwarnings("ignore::ResourceWarning"),  # Ray leaves sockets and files open
    pytest.mark.filterwarnings("ignore::FutureWarning"),
    pytest.mark.filterwarnings("ignore::DeprecationWarning"),
]


def ray_launcher(launch: Launch) -> Launcher:
    return make_launcher("ray", launch)


@pytest.mark.usefixtures("ray_cluster")
class TestRayLauncher(LauncherContract):
    @pytest.fixture
    def make(self) -> Callable[[Launch], Launcher]:
        return ray_launcher

    def test_the_workers_of_a_lost_node_start_on_another(self, ray_cluster, plan) -> None:
        node = ray_cluster.add_node(num_cpus=1, resources={"doomed": 1})
        launch, study = plan(3, 600, workers=3)
        with launched(ray_launcher, launch, study) as (launcher, store, spec):
            wait_until(lambda: store.progress(spec.name)[0].running == 3, "three running trials")
            ray_cluster.remove_node(node, allow_graceful=False)
            ray_cluster.add_node(num_cpus=1)
            wait_until(
                lambda: not any(view.state.alive for view in launcher.status()), "the workers' end"
            )
            assert {view.state for view in launcher.status()} == {WorkerState.ENDED}
            records = store.trials(spec.key("sgd"))
            assert sum(record.counts for record in records) == 3
            assert sum(record.lost for record in records) == 1
            assert {record.state for record in records if record.counts} == {TrialState.COMPLETE}


def test_worker_waits_for_resources(ray_cluster, tmp_path: Path) -> None:
    arguments = ("zakharov", "--trials", "1")
    launch = Launch(
        "zakharov", arguments, f"sqlite:///{tmp_path}/a.db", tmp_path, gpus_per_worker=1
    )
    launcher = ray_launcher(launch)
    launcher.submit()
    assert [view.state for view in launcher.status()] == [WorkerState.PENDING]
    launcher.cancel()
    assert [view.state for view in launcher.status()] == [WorkerState.ENDED]


@contextmanager
def served(cluster) -> Iterator[str]:  # type: ignore[no-untyped-def]
    """Start Ray's server for clients beside a cluster, and return its address."""
    pytest.importorskip("grpc")
    (port,) = free_ports(1)
    options = ["--host", "127.0.0.1", "--port", str(port), "--address", cluster.address]
    command = [sys.executable, "-m", "ray.util.client.server", *options]
    with subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as server:
        try:
            wait_until(lambda: not socket.socket().connect_ex(("127.0.0.1", port)), "the server")
            yield f"ray://127.0.0.1:{port}"
        finally:
            server.terminate()


@pytest.mark.parametrize("client", [False, True], ids=["in the cluster", "outside of it"])
def test_the_command_works_on_the_cluster_that_the_environment_names(
    ray_cluster, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, client: bool
) -> None:
    with served(ray_cluster) if client else nullcontext(ray_cluster.address) as address:
        monkeypatch.setenv("RAY_ADDRESS", address)
        study = write_digits_study(tmp_path, trials=4, epochs=20)
        url = f"sqlite:///{tmp_path}/store.db"
        done = run_in(tmp_path)(
            *("launch", study, "--on", "ray", "--workers", 2, "--storage", url), python=("-B",)
        )
        assert done.returncode == 0, done.stderr + done.stdout
        with Store.open(url, create=False) as store:
            assert store.progress("launched")[0].complete == 4
        assert (tmp_path / "logs" / "launched" / "worker-1.log").exists()
