"""``ecd-tune reap``: at once for local processes, after watching for others."""

from __future__ import annotations

import os
import signal
from dataclasses import replace
from pathlib import Path

import pytest
from typer.testing import CliRunner

from ecd_tune.cli.main import app
from ecd_tune.records import Lease
from ecd_tune.store import Store, Worker
from ecd_tune.testing.store import complete, make_spec

SPEC = make_spec(trials=5)
ELSEWHERE = Worker("elsewhere", "another-boot", 1, 0)
GONE = replace(Worker.current(), pid=2**22 + 1)


@pytest.fixture
def url(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """A database whose leases last for a fifth of a second."""
    opened = Store.open
    monkeypatch.setattr(
        Store, "open", lambda url, create=True: opened(url, create=create, lease_seconds=0.2)
    )
    url = f"sqlite:///{tmp_path / 'a.db'}"
    with Store.open(url) as store:
        store.create(SPEC)
    return url


def ask(url: str, worker: Worker, count: int) -> list[Lease]:
    with Store.open(url) as store:
        return store.ask(SPEC, "ecdsep", count=count, worker=worker)


def reap(url: str) -> tuple[str, str]:
    result = CliRunner().invoke(app, ["reap", "--storage", url])
    assert result.exit_code == 0, result.output
    return result.stdout, result.stderr


def test_a_dead_process_of_this_machine_is_known_at_once(url: str) -> None:
    ask(url, GONE, 2)
    assert reap(url) == ("2 trials re-queued\n", "")
    assert reap(url) == ("0 trials re-queued\n", "")


def test_leases_of_other_machines_are_watched_until_they_expire(url: str) -> None:
    ask(url, ELSEWHERE, 1)
    ask(url, GONE, 1)
    said = "watching the leases of 1 trial for 0 s\n"
    assert reap(url) == ("2 trials re-queued\n", said)


def test_renewed_leases_stay(url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    leases, looked = ask(url, ELSEWHERE, 2), Store.reap

    def look(store: Store) -> int:
        assert store.renew(leases[:1]) == [True]
        return looked(store)

    monkeypatch.setattr(Store, "reap", look)
    assert reap(url)[0] == "1 trial re-queued\n"
    with Store.open(url) as store:
        assert store.tell(complete(leases)) == [True, False]


def test_watching_ends_with_a_line_and_the_signals_status(url, monkeypatch, capfd) -> None:
    monkeypatch.setattr(Store, "reap", lambda store: os.kill(os.getpid(), signal.SIGTERM))
    result = CliRunner().invoke(app, ["reap", "--watch", "--storage", url])
    assert result.exit_code == 128 + signal.SIGTERM
    assert capfd.readouterr().err == "\necd-tune: ended by SIGTERM\n"
