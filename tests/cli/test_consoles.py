"""Every reading command works on a console without Greek letters."""

from __future__ import annotations

import io
import sys

import pytest

from ecd_tune.cli.main import main
from ecd_tune.spec import shipped_studies


@pytest.mark.parametrize("encoding", ["ascii", "latin-1", "cp1252"])
@pytest.mark.parametrize(
    ("arguments", "status"),
    [
        (("--help",), 0),
        (("studies",), 0),
        (("tasks",), 0),
        (("show", "sst2-tiny"), 0),
        (("claims", "--no-run"), 0),
        (("validate", str(shipped_studies()["digits"])), 0),
        (("run", "no-such-study-η"), 2),
    ],
)
def test_command_ends_without_error(
    arguments: tuple[str, ...], status: int, encoding: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    streams = [io.TextIOWrapper(io.BytesIO(), encoding, "strict") for _ in range(2)]
    monkeypatch.setattr(sys, "stdout", streams[0])
    monkeypatch.setattr(sys, "stderr", streams[1])
    monkeypatch.setattr(sys, "argv", ["ecd-tune", *arguments])
    with pytest.raises(SystemExit) as left:
        main()
    assert (left.value.code or 0) == status
    for stream in streams:
        stream.flush()
    written = b"".join(stream.buffer.getvalue() for stream in streams)  # type: ignore[attr-defined]
    assert len(written) > 50
