"""A worker killed while it trains many trials: nothing is lost or repeated."""

from __future__ import annotations

import logging
import multiprocessing
import os
import signal
import time
from pathlib import Path
from typing import Any

import pytest
from torch import Tensor

from ecd_tune.objective import Objective
from ecd_tune.records import RunRequest
from ecd_tune.signals import StopFlag
from ecd_tune.spec import StudySpec, parse_study
from ecd_tune.store import Store
from ecd_tune.tasks.digits_stack import StackedDigits
from ecd_tune.testing.faults import assert_consistent
from ecd_tune.worker import FolderCheckpoints, StudyWorker

TRIALS, WIDTH, EPOCHS = 40, 16, 40
_PROCESSES = multiprocessing.get_context("forkserver")


def make_spec() -> StudySpec:
    return parse_study(
        {
            "name": "lanes",
            "task": {"name": "digits", "hidden": 4, "batch_size": 512},
            "budget": {"trials": TRIALS, "steps": EPOCHS, "batch": WIDTH},
            "sampler": {"name": "random"},
            "confirmation": {"runs": 0},
            "optimizers": {
                "ecdsep": {
                    "space": {"lr": {"low": 0.01, "high": 0.1}, "eta": {"low": 1, "high": 2}}
                }
            },
        }
    )


def work(url: str, folder: Path, pause: float = 0.0) -> None:
    """Work; with a pause in each step, so that there is time to be stopped."""
    Objective.width = lambda self, stage, bound: bound  # type: ignore[method-assign]
    closure = StackedDigits.closure

    def pausing(self: StackedDigits, *arguments: Any) -> Tensor:
        time.sleep(pause)
        return closure(self, *arguments)

    if pause:
        StackedDigits.closure = pausing  # type: ignore[method-assign, assignment]
    with Store.open(url) as store, StopFlag() as stop:
        checkpoints = FolderCheckpoints(folder, interval=0.0)
        StudyWorker(store, make_spec(), stop, checkpoints=checkpoints).run()


@pytest.mark.slow
@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM])
def test_lanes_resume_after_kills(
    url: str,
    number: signal.Signals,
    tmp_path: Path,
    caplog: pytest.LogCaptureFixture,
) -> None:
    spec, kept = make_spec(), tmp_path / "kept"
    with Store.open(url) as store:
        store.create(spec)
        process = _PROCESSES.Process(target=work, args=(url, kept, 0.02))
        process.start()
        deadline = time.monotonic() + 120
        while True:
            search, _ = store.progress(spec.name)
            saved = len(list(kept.rglob("*"))) if kept.exists() else 0
            if search.finished >= 3 and search.running > WIDTH // 2 and saved > 2:
                break
            assert process.is_alive(), "the worker ended before it could be stopped"
            assert time.monotonic() < deadline
            time.sleep(0.005)
        os.kill(process.pid or 0, number)
        process.join()
        assert process.exitcode == (-number if number == signal.SIGKILL else 0)
        with caplog.at_level(logging.INFO, logger="ecd_tune.objective.lanes.lane"):
            work(url, kept)
        records = assert_consistent(store, spec)
    assert sum(record.lost for record in records) > WIDTH // 4
    continued = [line for line in caplog.messages if "resumed at step" in line]
    assert len(continued) >= (1 if number == signal.SIGKILL else WIDTH // 4)
    ended = {(r.seed, *r.params.values()): r for r in records if r.counts}
    objective = Objective(spec, "ecdsep")
    for lost in [record for record in records if record.lost][:6]:
        record = ended[(lost.seed, *lost.params.values())]
        (alone,) = objective.evaluate([RunRequest(record.params, record.seed)])
        assert record.curve.steps == alone.curve.steps
        assert record.curve.values == pytest.approx(alone.curve.values, abs=0.006)  # two images
    left = [path for path in kept.rglob("*") if path.is_file() and path.suffix != ".part"]
    assert not left, "checkpoints are left, other than one that was being written"
