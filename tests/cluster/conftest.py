"""A Slurm of one machine, started as root (munged, slurmctld, slurmd), and a Ray cluster."""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
import time
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest

from ecd_tune.testing.postgres import postgres, postgres_url

__all__ = ["postgres", "postgres_url"]

CONF = """
ClusterName=test
SlurmctldHost={host}(127.0.0.1)
SlurmctldPort={controller}
SlurmdPort={daemon}
AuthType=auth/munge
AuthInfo=socket={folder}/munge.socket,cred_expire=5
SlurmUser=root
SlurmdUser=root
StateSaveLocation={folder}/state
SlurmdSpoolDir={folder}/spool
SlurmctldPidFile={folder}/slurmctld.pid
SlurmdPidFile={folder}/slurmd.pid
SlurmctldLogFile={folder}/slurmctld.log
SlurmdLogFile={folder}/slurmd.log
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
JobAcctGatherType=jobacct_gather/none
AccountingStorageType=accounting_storage/none
SelectType=select/cons_tres
SelectTypeParameters=CR_Core
SlurmdParameters=config_overrides
SchedulerParameters=sched_interval=1,batch_sched_delay=0
MpiDefault=none
ReturnToService=2
KillWait=30
PreemptType=preempt/partition_prio
PreemptMode=REQUEUE
NodeName={host} NodeAddr=127.0.0.1 CPUs=4 RealMemory=1000 State=UNKNOWN
PartitionName=low Nodes={host} Default=YES MaxTime=INFINITE State=UP PriorityTier=1
PartitionName=high Nodes={host} MaxTime=INFINITE State=UP PriorityTier=10 PreemptMode=OFF
"""
SECONDS = 60.0


def free_ports(count: int) -> list[int]:
    with ExitStack() as stack:
        listeners = [stack.enter_context(socket.socket()) for _ in range(count)]
        for listener in listeners:
            listener.bind(("127.0.0.1", 0))
        return [listener.getsockname()[1] for listener in listeners]


@pytest.fixture(scope="session")
def slurm(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """Start Slurm; its commands find it by SLURM_CONF."""
    if os.geteuid() != 0 or shutil.which("slurmctld") is None:
        pytest.skip("needs root, and Debian's slurmctld, slurmd, slurm-client and munge")
    folder = tmp_path_factory.mktemp("slurm")
    for name in ("state", "spool"):
        (folder / name).mkdir()
    for parent in (folder, *folder.parents):  # munged looks at all folders above its socket
        if parent != Path("/tmp") and parent != Path("/"):
            parent.chmod(0o755)
    controller, daemon = free_ports(2)
    host = socket.gethostname().partition(".")[0]
    conf = folder / "slurm.conf"
    conf.write_text(CONF.format(host=host, folder=folder, controller=controller, daemon=daemon))
    key = folder / "munge.key"
    key.write_bytes(os.urandom(1024))
    key.chmod(0o400)
    munge = [f"--{name}={folder}/munge.{name}" for name in ("socket", "pid-file", "log-file")]
    os.environ["SLURM_CONF"] = str(conf)
    with ExitStack() as stack:
        start(stack, "munged", "--foreground", f"--key-file={key}", *munge,
              f"--seed-file={folder}/munge.seed")  # fmt: skip
        wait_for(lambda: (folder / "munge.socket").exists(), folder)
        start(stack, "slurmctld", "-D", "-f", conf)
        start(stack, "slurmd", "-D", "-f", conf, "-N", host)
        wait_for(is_idle, folder)
        yield
        subprocess.run(["scancel", "--me"], check=False)
    del os.environ["SLURM_CONF"]


def start(stack: ExitStack, program: str, *arguments: object) -> None:
    path = shutil.which(program, path=f"{os.environ['PATH']}:/usr/sbin")
    process = subprocess.Popen(
        [str(path), *map(str, arguments)], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    )
    stack.callback(process.wait, 30)
    stack.callback(process.terminate)


def is_idle() -> bool:
    found = subprocess.run(
        ["sinfo", "--noheader", "--format=%t"], capture_output=True, text=True, check=False
    )
    return "idle" in found.stdout


def wait_for(condition, folder: Path) -> None:
    deadline = time.monotonic() + SECONDS
    while not condition():
        if time.monotonic() > deadline:
            said = "\n".join(log.read_text()[-800:] for log in folder.glob("*.log"))
            pytest.fail(f"Slurm did not start:\n{said}")
        time.sleep(0.2)


@pytest.fixture(scope="module")
def ray_cluster() -> Iterator[Any]:
    """A head that runs no workers, and two nodes of one worker each."""
    ray = pytest.importorskip("ray")
    from ray.cluster_utils import Cluster

    cluster = Cluster(initialize_head=True, head_node_args={"num_cpus": 0})
    for _ in range(2):
        cluster.add_node(num_cpus=1)
    ray.init(cluster.address, log_to_driver=False)
    try:
        yield cluster
    finally:
        ray.shutdown()
        cluster.shutdown()
