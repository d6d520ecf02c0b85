"""A preloaded ``python`` behaves as ``sys.executable``, but for what it has imported."""

from __future__ import annotations

import signal
import subprocess
import sys
from pathlib import Path

import pytest

from tests.preloaded import preloaded_python

SCRIPT = """
import atexit, os, sys
atexit.register(print, "bye")
print(__name__, sys.argv, os.getcwd(), os.environ["GIVEN"], sys.stdin.read())
print("to stderr", file=sys.stderr)
{end}
"""


@pytest.mark.parametrize("end", ["pass", "sys.exit(3)", "sys.exit('why')"])
@pytest.mark.parametrize("kind", ["-c", "file"])
def test_streams_surroundings_and_status_are_the_same(tmp_path: Path, kind: str, end: str) -> None:
    text = SCRIPT.format(end=end)
    (tmp_path / "script.py").write_text(text)
    arguments = ["-c", text] if kind == "-c" else ["script.py"]
    results = [
        subprocess.run(
            [python, *arguments, "one", "two words"],
            cwd=tmp_path,
            env={"GIVEN": "a value"},
            input="some text",
            capture_output=True,
            text=True,
            check=False,
        )
        for python in (sys.executable, preloaded_python())
    ]
    expected, found = ((r.returncode, r.stdout, r.stderr) for r in results)
    assert found == expected


def test_an_exception_is_a_traceback_and_status_1() -> None:
    command = [preloaded_python(), "-c", "1 / 0"]
    result = subprocess.run(command, capture_output=True, text=True, check=False)
    assert result.returncode == 1
    assert "ZeroDivisionError" in result.stderr


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGKILL])
def test_signals_reach_the_process(number: signal.Signals) -> None:
    code = "import os, time\nprint(os.getpid(), flush=True)\ntime.sleep(1000)"
    command = [preloaded_python(), "-c", code]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL) as process:
        assert process.stdout is not None
        pid = int(process.stdout.readline())
        assert pid != process.pid
        process.send_signal(number)
        assert process.stdout.read() == b""  # it has ended, or it would hold the pipe open
        assert process.wait() == -number
