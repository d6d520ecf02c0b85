"""A worker is stopped, its checkpoint is damaged, and another worker continues the run."""

from __future__ import annotations

import random
import signal
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from ecd_tune.objective import Objective
from ecd_tune.objective.training.speed import SPEED_METRICS
from ecd_tune.records import Outcome, RunRequest, TrialRecord
from ecd_tune.spec import StudySpec, load_study
from ecd_tune.store import Store
from ecd_tune.testing.outage import log_paths, working, write_study

pytestmark = [pytest.mark.slow, pytest.mark.timeout(1800)]

PATIENCE = 300.0


def flip(data: bytes, chooser: random.Random) -> bytes:
    at = chooser.randrange(len(data))
    return data[:at] + bytes([data[at] ^ 1 << chooser.randrange(8)]) + data[at + 1 :]


def cut(data: bytes, chooser: random.Random) -> bytes:
    return data[: chooser.randrange(len(data))]


def empty(data: bytes, chooser: random.Random) -> bytes:
    return b""


def numbers(run: Outcome | TrialRecord) -> str:
    """Return all that a run came to, but for its speed, as text: some of it may be NaN."""
    kept = {name: value for name, value in run.metrics.items() if name not in SPEED_METRICS}
    return repr((run.value, dict(sorted(kept.items())), dict(sorted(run.curves.items()))))


def interrupt(spec: StudySpec, file: Path, url: str, folder: Path) -> list[Path]:
    """Let a worker train for a while and stop it; return the checkpoints that it leaves."""
    kept = folder / "kept"
    with Store.open(url) as store, working(file, url, folder, 1, str(kept)) as (process,):
        store.create(spec)
        deadline = time.monotonic() + PATIENCE
        while not store.points(spec.key("ecdsep")):  # written every five seconds
            assert process.poll() is None
            assert time.monotonic() < deadline
            time.sleep(0.05)
        process.send_signal(signal.SIGTERM)
        assert process.wait(PATIENCE) == 128 + signal.SIGTERM
    return sorted(path for path in kept.rglob("*") if path.is_file())


def continue_run(spec: StudySpec, file: Path, url: str, folder: Path) -> tuple[TrialRecord, str]:
    """Let another worker end the run; return the trial and what both workers have said."""
    with working(file, url, folder, 1, str(folder / "kept")) as (process,):
        assert process.wait(PATIENCE) == 0
    with Store.open(url) as store:
        lost, done = store.trials(spec.key("ecdsep"))
    assert (lost.lost, done.attempt) == (True, 2)
    return done, log_paths(folder, 1)[0].read_text()


@pytest.fixture(scope="module")
def alone() -> Callable[[StudySpec, TrialRecord], Outcome]:
    """Run a trial without a worker; one after the other they are the same."""
    known: dict[str, Outcome] = {}

    def run(spec: StudySpec, trial: TrialRecord) -> Outcome:
        request = RunRequest(trial.params, int(trial.seed or 0))
        if repr(request) not in known:
            (known[repr(request)],) = Objective(spec, "ecdsep").evaluate([request])
        return known[repr(request)]

    return run


@pytest.mark.parametrize(
    ("url", "damage"),
    [("sqlite", None), ("sqlite", flip), ("sqlite", cut), ("sqlite", empty), ("postgres", flip)],
    indirect=["url"],
)
def test_result_equals_an_undisturbed_run(
    url: str,
    damage: Callable[[bytes, random.Random], bytes] | None,
    alone: Callable[[StudySpec, TrialRecord], Outcome],
    tmp_path: Path,
) -> None:
    file, chooser = write_study(tmp_path, trials=1, epochs=2000), random.Random(5)
    spec = load_study(file)
    files = interrupt(spec, file, url, tmp_path)
    assert files
    for path in files:
        if damage is not None:
            path.write_bytes(damage(path.read_bytes(), chooser))
    done, said = continue_run(spec, file, url, tmp_path)
    assert ("resumed at step" in said) == (damage is None)
    assert ("damaged" in said) == (damage is not None)
    assert numbers(done) == numbers(alone(spec, done))
