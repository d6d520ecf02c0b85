"""``ecd-tune launch`` before any worker starts."""

from __future__ import annotations

from pathlib import Path

import pytest
from typer.testing import CliRunner, Result

from ecd_tune.cli import launch as command
from ecd_tune.cli.main import app
from ecd_tune.errors import EcdTuneError

WARNING = "PostgreSQL is the safe choice"


@pytest.fixture
def started(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> list[object]:
    """Replace what starts workers."""
    monkeypatch.chdir(tmp_path)
    found: list[object] = []
    monkeypatch.setattr(command, "_watch", lambda *given: found.append(given))
    return found


def call(*options: str) -> Result:
    return CliRunner().invoke(app, ["launch", "zakharov", *options])


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (("--on", "ray", "--partition", "gpu"), "partition = 'gpu': this engine does not"),
        (("--on", "ray", "--logs", "file/logs"), "--logs file/logs: cannot be written"),
        (("--on", "local", "--time", "4:00"), "expected minutes"),
    ],
)
def test_a_wrong_request_creates_nothing(
    started: list[object], options: tuple[str, ...], message: str
) -> None:
    Path("file").touch()
    result = call(*options, "--storage", "sqlite:///store.db")
    assert isinstance(result.exception, EcdTuneError)
    assert message in str(result.exception)
    assert (started, [path.name for path in Path().iterdir()]) == ([], ["file"])


def test_an_sqlite_file_is_warned_of_where_workers_may_be_on_other_machines(
    started: list[object],
) -> None:
    assert WARNING in call("--on", "ray", "--storage", "sqlite:///store.db").stderr
    assert WARNING not in call("--on", "local", "--storage", "sqlite:///store.db").stderr
    assert WARNING not in call("--on", "ray", "--storage", "postgresql://me@host/db").stderr
    assert len(started) == 3
