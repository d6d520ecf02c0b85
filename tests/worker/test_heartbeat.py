import subprocess
import sys
import threading
import time
from collections.abc import Sequence

from ecd_tune.errors import StorageUnavailableError
from ecd_tune.records import Lease, RunRequest, StudyKey
from ecd_tune.worker import Heartbeat

HANG = 100.0
"""Seconds after which something hangs."""
LEASE = Lease(StudyKey("s", "o"), 1, 0, 7, 1, RunRequest({}, 0))


def test_leases_are_renewed_while_the_work_blocks() -> None:
    beats: list[Sequence[Lease]] = []
    calls = threading.Semaphore(0)

    def renew(leases: Sequence[Lease]) -> None:
        beats.append(leases)
        calls.release()

    with Heartbeat(renew, interval=0.02).holding([LEASE]):
        for _ in range(3):
            assert calls.acquire(timeout=HANG)
    assert beats[0] == (LEASE,)
    after = len(beats)
    time.sleep(0.1)
    assert len(beats) == after


def test_outage_does_not_end_the_heartbeat() -> None:
    calls = threading.Semaphore(0)

    def renew(leases: Sequence[Lease]) -> None:
        calls.release()
        raise StorageUnavailableError("gone")

    with Heartbeat(renew, interval=0.01).holding([LEASE]):
        for _ in range(3):
            assert calls.acquire(timeout=HANG)


def test_a_heartbeat_needs_no_torch() -> None:
    code = "import sys; from ecd_tune.worker import Heartbeat; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
