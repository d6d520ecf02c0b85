"""A signal in any phase of a command gives one line and its exit status."""

from __future__ import annotations

import os
import signal
import sys

import pytest

from ecd_tune.cli import main as command_line
from ecd_tune.cli.stopping import ending_on_sigterm, say_stopping
from ecd_tune.signals import StopFlag


def test_sigterm_outside_the_work_ends_with_one_line(capfd) -> None:
    before = signal.getsignal(signal.SIGTERM)
    with pytest.raises(SystemExit) as left, ending_on_sigterm():
        os.kill(os.getpid(), signal.SIGTERM)
    assert left.value.code == 128 + signal.SIGTERM
    assert (
        capfd.readouterr().err == "\necd-tune: ended by SIGTERM; all written files are complete\n"
    )
    assert signal.getsignal(signal.SIGTERM) is before


def test_sigterm_during_work_sets_the_flag_and_is_reported(capfd) -> None:
    with ending_on_sigterm(), StopFlag(say=say_stopping) as stop:
        os.kill(os.getpid(), signal.SIGTERM)
        assert stop()
    assert "SIGTERM: stopping; running trials are re-queued" in capfd.readouterr().err


def test_every_command_is_covered(monkeypatch, capfd) -> None:
    monkeypatch.setattr(sys, "argv", ["ecd-tune", "studies"])
    killed = lambda *_: os.kill(os.getpid(), signal.SIGTERM)  # noqa: E731
    monkeypatch.setattr("ecd_tune.cli.studies.load_study", killed)
    with pytest.raises(SystemExit) as left:
        command_line.main()
    assert left.value.code == 128 + signal.SIGTERM
    assert "ended by SIGTERM" in capfd.readouterr().err
