"""A training run of a million epochs, each of them evaluated and reported."""

from __future__ import annotations

import json
import resource
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa
from typer.testing import CliRunner

from ecd_tune.cli.main import app
from ecd_tune.objective.training.stepping import Stepper
from ecd_tune.serve.fast_reads import FastStorage
from ecd_tune.serve.study_call import StudyCall
from ecd_tune.signals import StopFlag
from ecd_tune.spec import load_study
from ecd_tune.store import Store
from ecd_tune.tasks.digits import DigitsProblem
from ecd_tune.worker import FolderCheckpoints, StudyWorker
from tests.serve.client import Client

EPOCHS = 10**6
POINTS = 8700
STUDY = f"""
name = "long"
[task]
name = "digits"
hidden = 8
batch_size = 5000
[budget]
trials = 1
steps = {EPOCHS}
[pruning]
kind = "median"
[confirmation]
runs = 0
[optimizers.adam.space]
lr = 0.01
"""


@pytest.fixture
def quick_epochs(monkeypatch: pytest.MonkeyPatch) -> None:
    """Leave the mathematics out, so that an epoch takes microseconds."""

    def step(self: Stepper) -> None:
        self._losses.append(1.0 / (self.number + 1))
        self.number += 1

    def evaluate(self: DigitsProblem, split: str) -> Mapping[str, float]:
        accuracy = next(accuracies)
        return {"accuracy": accuracy, "loss": 1.0 - accuracy}

    accuracies = iter(0.9 - 0.8 / (epoch + 1) for epoch in range(EPOCHS + 1))
    monkeypatch.setattr(Stepper, "step", step)
    monkeypatch.setattr(DigitsProblem, "evaluate", evaluate)


@contextmanager
def bounded(seconds: float, mib: float) -> Iterator[None]:
    """Check how much time of the processor and how much more memory a block takes."""
    began, peak = time.process_time(), resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    yield
    assert time.process_time() - began < seconds
    assert (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - peak) / 1024 < mib


def count_points(url: str) -> int:
    engine = sa.create_engine(url)
    with engine.connect() as connection:
        count = connection.execute(sa.text("SELECT count(*) FROM trial_intermediate_values"))
        found = int(count.scalar_one())
    engine.dispose()
    return found


def read_dashboard(url: str) -> Any:
    storage = FastStorage(url)
    try:
        (study,) = storage.get_all_studies()[:1]
        answer = Client(StudyCall(None, storage))("GET", f"/api/studies/{study._study_id}")
    finally:
        storage.close()
    return json.loads(answer.body)["trials"][0]


@pytest.mark.slow
@pytest.mark.timeout(1800)
@pytest.mark.usefixtures("quick_epochs")
def test_a_curve_of_a_million_points_is_thinned(url: str, tmp_path: Path) -> None:
    kept, file = FolderCheckpoints(tmp_path / "kept", interval=5.0), tmp_path / "long.toml"
    file.write_text(STUDY)
    spec = load_study(file)
    with Store.open(url) as store:
        with bounded(240, 150):
            told = StudyWorker(store, spec, StopFlag(), checkpoints=kept).run().told
        assert told == 1
        with bounded(20, 50):
            (record,) = store.trials(spec.key("adam"))
    for name in ("metric", "train_loss"):
        steps = record.curves[name].steps
        assert len(steps) < POINTS
        assert steps[-1] == EPOCHS
    assert record.value == record.curve.values[-1] == 0.9 - 0.8 / (EPOCHS + 1)
    assert 2048 < count_points(url) < POINTS
    with bounded(20, 50):
        shown = read_dashboard(url)["intermediate_values"]
    assert shown[-1]["step"] == EPOCHS
    with bounded(60, 150):
        out = tmp_path / "report"
        result = CliRunner().invoke(app, ["report", str(file), "--storage", url, "--out", str(out)])
    assert result.exit_code == 0, result.output
    assert sum(path.stat().st_size for path in out.iterdir()) < 20 * 2**20
