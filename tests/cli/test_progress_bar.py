"""The progress bar of a run: content, and only on a terminal."""

from __future__ import annotations

import io
import logging

from ecd_tune.cli.progress_bar import make_bar
from ecd_tune.records import Lease, RunRequest, Stage, StudyKey


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def lease(number: int, stage: Stage = Stage.SEARCH) -> Lease:
    return Lease(StudyKey("s", "adam", stage), 10 + number, number, 1, 1, RunRequest({}, 0))


def test_no_bar_in_a_file() -> None:
    assert make_bar(io.StringIO()) is None


def test_bar_shows_the_running_trial_and_log_lines() -> None:
    stream = Terminal()
    bar = make_bar(stream)
    assert bar is not None
    log = logging.Logger("test")
    log.addHandler(bar.handler())
    with bar:
        bar.step(lease(3), 5, 40)
        bar._progress.refresh()
        log.warning("12 results [stored]")
        bar.step(lease(0, Stage.CONFIRM), 0, 80)
        bar._progress.refresh()
    text = stream.getvalue()
    assert "adam #3" in text
    assert "5/40" in text
    assert "adam confirmation #0" in text
    assert "0/80" in text
    assert "12 results [stored]" in text


def test_bar_is_updated_rarely() -> None:
    bar = make_bar(Terminal())
    assert bar is not None
    seen: list[float] = []
    bar._progress.update = lambda task, completed: seen.append(completed)  # type: ignore[method-assign,assignment]
    for step in range(5000):
        bar.step(lease(3), step, 5000)
    assert 1 <= len(seen) < 500
