"""Words of ``ecd-tune status`` for what it counts, on a database of an older version."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from pathlib import Path

from typer.testing import CliRunner

from ecd_tune.cli.main import app

OLD = Path(__file__).parents[1] / "store" / "data" / "version_0006.sql"


def test_events_and_ages_are_in_words(tmp_path: Path) -> None:
    with closing(sqlite3.connect(tmp_path / "old.db")) as connection:
        connection.executescript(OLD.read_text())
    url = f"sqlite:///{tmp_path / 'old.db'}"
    assert CliRunner().invoke(app, ["db", "upgrade", "--storage", url]).exit_code == 0
    shown = CliRunner().invoke(app, ["status", "--storage", url]).stdout
    assert "1 trial given up after its last retry" in shown
    (worker,) = [line for line in shown.splitlines() if line.startswith("worker ")]
    assert worker.endswith(" h ago")  # the dump is older than two hours
