"""``ecd-tune best`` before and after the first result."""

from __future__ import annotations

from pathlib import Path

import pytest

from ecd_tune.cli import main as command_line
from ecd_tune.records import Outcome, Status
from ecd_tune.spec import find_study, load_study
from ecd_tune.store import Store, Worker


def best(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], *options: str
) -> tuple[int, str, str]:
    monkeypatch.setattr("sys.argv", ["ecd-tune", "best", "zakharov", *options])
    with pytest.raises(SystemExit) as left:
        command_line.main()
    shown = capsys.readouterr()
    return int(left.value.code or 0), shown.out, shown.err


def test_without_a_result_the_status_is_1_and_only_results_are_printed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    url, spec = f"sqlite:///{tmp_path}/x.db", load_study(find_study("zakharov"))
    monkeypatch.setenv("ECD_TUNE_STORAGE", url)
    with Store.open(url) as store:
        store.create(spec)
        for options in ((), ("--json",), ("--format", "python")):
            status, out, err = best(monkeypatch, capsys, *options)
            assert (status, out) == (1, "")
            assert "no trial of ecdsep, bbi, gdm, adam has ended with a value" in err
            assert "`ecd-tune status zakharov`" in err
        (lease,) = store.ask(spec, "adam", count=1, worker=Worker.current())
        store.tell([(lease, Outcome(Status.COMPLETE, 0.5))])
    status, out, err = best(monkeypatch, capsys, "--format", "python")
    assert status == 0
    assert "torch.optim.Adam(" in out
    assert err == "no trial of ecdsep, bbi, gdm has ended with a value\n"
    assert best(monkeypatch, capsys, "--optimizer", "bbi")[:2] == (1, "")


def test_no_number_is_broken_at_sixty_columns(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    url, spec = f"sqlite:///{tmp_path}/x.db", load_study(find_study("zakharov"))
    monkeypatch.setenv("ECD_TUNE_STORAGE", url)
    monkeypatch.setenv("COLUMNS", "60")
    with Store.open(url) as store:
        store.create(spec)
        for optimizer in spec.optimizers:
            (lease,) = store.ask(spec, optimizer, count=1, worker=Worker.current())
            store.tell([(lease, Outcome(Status.COMPLETE, 0.5))])
            status, out, _ = best(monkeypatch, capsys, "--optimizer", optimizer)
            assert status == 0
            assert max(map(len, out.splitlines()[2:])) <= 60
            for value in lease.request.params.values():
                if isinstance(value, float):
                    assert f" {value!r} " in out
