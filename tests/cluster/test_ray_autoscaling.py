"""A Ray cluster that adds nodes for waiting workers, and removes idle ones."""

from __future__ import annotations

import json
import os
import signal
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest

from ecd_tune.launch import Launch, WorkerState, make_launcher
from ecd_tune.testing.launcher import launched, wait_until, write_digits_study
from tests.cluster.conftest import free_ports

pytestmark = [
    pytest.mark.slow,
    pytest.mark.filterwarnings("ignore::ResourceWarning"),  # Ray leaves sockets and files open
    pytest.mark.filterwarnings("ignore::FutureWarning"),
    pytest.mark.filterwarnings("ignore::DeprecationWarning"),
]

WORKERS = 2
TRIALS = 6
COMMANDS = (
    "initialization",
    "setup",
    "head_setup",
    "worker_setup",
    "head_start_ray",
    "worker_start_ray",
)
CONFIG = {
    "cluster_name": "fake_multinode",
    "max_workers": WORKERS,
    "head_node_type": "ray.head.default",
    "available_node_types": {
        "ray.head.default": {"resources": {"CPU": 0}, "node_config": {}, "max_workers": 0},
        "worker": {"resources": {"CPU": 1}, "node_config": {}, "max_workers": WORKERS},
    },
    "idle_timeout_minutes": 0.2,
    "upscaling_speed": 1.0,
    # What a cluster of machines would need, and Ray's autoscaler looks for in any case.
    **{key: {} for key in ("auth", "file_mounts", "head_node", "worker_nodes")},
    **{key: [] for key in ("cluster_synced_files", "rsync_exclude", "rsync_filter")},
    **{key: [] for key in (f"{part}_commands" for part in COMMANDS)},
}


@pytest.fixture
def growing_cluster(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    """A head that runs no workers, and nodes of one worker each that Ray's autoscaler starts."""
    ray = pytest.importorskip("ray")
    from ray._private.services import get_node_ip_address
    from ray.autoscaler._private.fake_multi_node.node_provider import FAKE_HEAD_NODE_ID
    from ray.cluster_utils import Cluster

    # Not Ray's own AutoscalingCluster: its start() ends all of Ray on this machine.
    (port,) = free_ports(1)
    config = tmp_path / "autoscaler.json"
    config.write_text(json.dumps(CONFIG | {"provider": {
        "type": "fake_multinode",
        "head_node_id": FAKE_HEAD_NODE_ID,
        "gcs_address": f"{get_node_ip_address()}:{port}",
        "use_node_id_as_ip": True,
        "disable_node_updaters": True,
        "disable_launch_config_check": True,
    }}))  # fmt: skip
    monkeypatch.setenv("AUTOSCALER_UPDATE_INTERVAL_S", "1")
    monkeypatch.setenv("RAY_FAKE_CLUSTER", "1")
    head = {
        "num_cpus": 0,
        "gcs_server_port": port,
        "autoscaling_config": str(config),
        "env_vars": {"RAY_OVERRIDE_NODE_ID_FOR_TESTING": FAKE_HEAD_NODE_ID},
    }
    cluster = Cluster(initialize_head=True, head_node_args=head)
    try:
        ray.init(cluster.address, log_to_driver=False)
        yield ray
    finally:
        session = cluster.head_node.get_session_dir_path()
        ray.shutdown()
        cluster.shutdown()
        end_what_is_left(session)


def end_what_is_left(session: str) -> None:
    """End the log readers of nodes that the autoscaler has removed: Ray forgets them."""
    for command in Path("/proc").glob("[0-9]*/cmdline"):
        with suppress(OSError):
            if session.encode() in command.read_bytes():
                os.kill(int(command.parent.name), signal.SIGTERM)


def test_the_cluster_grows_for_a_study_and_shrinks_after_it(
    growing_cluster: Any, tmp_path: Path
) -> None:
    def nodes() -> int:
        return sum(node["Alive"] for node in growing_cluster.nodes()) - 1  # the head

    study = write_digits_study(tmp_path, TRIALS, epochs=100)
    url = f"sqlite:///{tmp_path}/store.db"
    launch = Launch("launched", (str(study),), url, tmp_path / "logs", workers=WORKERS)
    assert nodes() == 0
    with launched(lambda launch: make_launcher("ray", launch), launch, study) as found:
        launcher, store, spec = found
        assert {view.state for view in launcher.status()} == {WorkerState.PENDING}
        wait_until(lambda: nodes() == WORKERS, "a node for each worker")
        wait_until(
            lambda: not any(view.state.alive for view in launcher.status()), "the workers' end"
        )
        assert {view.state for view in launcher.status()} == {WorkerState.ENDED}
        assert store.progress(spec.name)[0].complete == TRIALS
        # The launching command ends now, and the actors with it.
        launcher.cancel()
        wait_until(lambda: nodes() == 0, "the end of idle nodes")
