"""A worker as process 1 of its own namespace, as in a container."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from ecd_tune.spec import load_study
from ecd_tune.store import Store
from ecd_tune.testing.launcher import wait_until, write_digits_study

pytestmark = pytest.mark.skipif(
    os.geteuid() != 0 or shutil.which("unshare") is None, reason="needs root and unshare"
)


@pytest.mark.parametrize("when", ["at its start", "at work"])
def test_sigterm_requeues_the_trial(tmp_path: Path, when: str) -> None:
    """A process 1 gets no signal without a handler: the pod would be killed after its grace."""
    study = write_digits_study(tmp_path, trials=1, epochs=20_000)
    spec, url = load_study(study), f"sqlite:///{tmp_path}/store.db"
    with Store.open(url) as store:
        store.create(spec)
        log = tmp_path / "log"
        with log.open("wb") as output:
            unshare = subprocess.Popen(
                ["unshare", "--pid", "--fork", "--mount-proc", "--kill-child",
                 sys.executable, "-X", "importtime", "-m", "ecd_tune", "worker", str(study)],
                env={**os.environ, "ECD_TUNE_STORAGE": url},
                stdout=output,
                stderr=subprocess.STDOUT,
            )  # fmt: skip
        children = Path(f"/proc/{unshare.pid}/task/{unshare.pid}/children")
        if when == "at work":
            wait_until(lambda: store.progress(spec.name)[0].running == 1, "a running trial")
        else:  # torch is being loaded
            wait_until(lambda: b" torch." in log.read_bytes(), "the first of torch's modules")
        (worker,) = map(int, children.read_text().split())
        os.kill(worker, signal.SIGTERM)
        assert unshare.wait(120) == 128 + signal.SIGTERM
        assert store.progress(spec.name)[0].running == 0
        assert "interrupted" in log.read_text()
