"""The bar of a notebook counts the trials of the study and shows the best values."""

from __future__ import annotations

import pytest

from ecd_tune.cli.notebook_bar import NotebookBar
from ecd_tune.records import Direction, Stage
from ecd_tune.spec import parse_study
from ecd_tune.store import Progress


def test_shows_progress_and_best_values(capsys: pytest.CaptureFixture[str]) -> None:
    spec = parse_study(
        {
            "name": "small",
            "task": {"name": "ackley"},
            "budget": {"trials": 20, "steps": 5},
            "confirmation": {"runs": 3},
            "optimizers": {
                key: {"space": {"lr": {"low": 0.1, "high": 1}}} for key in ("adam", "sgd")
            },
        }
    )
    minimize = Direction.MINIMIZE
    with NotebookBar(spec) as bar:
        bar.update(
            [
                Progress(spec.key("adam"), minimize, complete=6, best=0.25, target=20),
                Progress(
                    spec.key("adam", Stage.CONFIRM), minimize, complete=2, best=0.125, target=3
                ),
                Progress(spec.key("sgd"), minimize, target=20),
                Progress(spec.key("sgd", Stage.CONFIRM), minimize, target=3),
                Progress(spec.key("other"), minimize, complete=99, best=0.5),
            ],
            [],
        )
    last = capsys.readouterr().err.splitlines()[-1]
    assert "8/46" in last
    assert "adam=0.25" in last
    assert "sgd" not in last
    assert "0.5" not in last
