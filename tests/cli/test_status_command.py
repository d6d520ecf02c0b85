"""What ``ecd-tune status`` shows about workers."""

from __future__ import annotations

import json
from dataclasses import replace
from functools import partial

import pytest
from typer.testing import CliRunner

from ecd_tune.analysis.rate import RateMeter
from ecd_tune.cli.main import app
from ecd_tune.records import Outcome, Status
from ecd_tune.spec import PruningSpec
from ecd_tune.store import Store, Worker
from ecd_tune.testing.store import complete, make_spec


@pytest.fixture(autouse=True)
def wide_terminal(monkeypatch):
    monkeypatch.setenv("COLUMNS", "120")


@pytest.fixture
def url(tmp_path):
    return f"sqlite:///{tmp_path}/store.db"


def status(url, *options):
    result = CliRunner().invoke(app, ["status", "--storage", url, *options])
    assert result.exit_code == 0, result.output
    return result.stdout


def test_each_worker_is_shown_with_its_device_and_trial(url):
    spec = make_spec()
    busy, idle = (replace(Worker.current(), host=host, device="A GPU") for host in ("a", "b"))
    with Store.open(url) as store:
        store.create(spec)
        store.tell(complete(store.ask(spec, "ecdsep", count=1, worker=idle)))
        store.ask(spec, "ecdsep", count=3, worker=busy)
    text = status(url)
    assert f"worker {busy.name} on A GPU: contract/ecdsep #1 and 2 more, heartbeat " in text
    assert f"worker {idle.name} on A GPU: no trial, heartbeat " in text
    workers = {row["worker"]: row for row in json.loads(status(url, "--json"))["workers"]}
    assert workers[busy.name]["trials"] == [f"contract/ecdsep #{n}" for n in (1, 2, 3)]
    assert workers[busy.name]["running"] == 3
    assert workers[busy.name]["versions"]["optuna"] == busy.versions["optuna"]


def test_pruned_trials_are_not_called_diverged(url):
    spec = make_spec()
    with Store.open(url) as store:
        store.create(spec)
    assert "  diverged  failed" in status(url)
    pruned = spec.model_copy(update={"name": "p", "pruning": PruningSpec(kind="median")})
    with Store.open(url) as store:
        store.create(pruned)
    assert "  pruned, diverged  failed" in status(url)
    assert "  diverged  failed" in status(url, spec.name)
    rows = json.loads(status(url, "--json"))["trials"]
    assert {(row["study"], row["prunes"]) for row in rows} == {(spec.name, False), ("p", True)}


def test_a_worker_without_a_trial_is_forgotten_after_a_minute(url):
    spec = make_spec()
    with Store.open(url) as store:
        store.create(spec)
        store.tell(complete(store.ask(spec, "ecdsep", count=1, worker=Worker.current())))
        with store._database.write() as connection:
            connection.exec_driver_sql("UPDATE ecd_workers SET seen_at = seen_at - 90")
    assert "worker" not in status(url)
    (row,) = json.loads(status(url, "--json"))["workers"]
    assert row["seen_seconds_ago"] >= 90


def test_reasons_are_counted_without_their_numbers_and_lost_attempts(url):
    spec = make_spec()
    with Store.open(url) as store:
        store.create(spec)
        leases = store.ask(spec, "ecdsep", count=4, worker=Worker.current())
        reasons = ("nan at step 3", "nan at step 17", "out of disk")
        bad = [
            (lease, Outcome(Status.FAILED, reason=r))
            for lease, r in zip(leases, reasons, strict=False)
        ]
        store.tell(bad)
        store.release(leases[3:])
    rows = json.loads(status(url, "--json"))["reasons"]
    assert [(row["reason"], row["count"]) for row in rows] == [
        ("nan at step N", 2),
        ("out of disk", 1),
    ]
    assert "2 of contract/ecdsep: nan at step N" in status(url)


def test_watch_shows_rate_and_time_left_until_ctrl_c(url, monkeypatch):
    spec = make_spec(confirmation={"runs": 4})
    times = iter([100.0, 104.0])
    monkeypatch.setattr("ecd_tune.cli.status.RateMeter", partial(RateMeter, lambda: next(times)))
    with Store.open(url) as store:
        store.create(spec)
        waits = []

        def wait(seconds):
            waits.append(seconds)
            if len(waits) == 2:
                raise KeyboardInterrupt
            store.tell(complete(store.ask(spec, "ecdsep", count=2, worker=Worker.current())))

        store.ask(spec, "ecdsep", count=1, worker=Worker.current())  # else nothing has begun
        monkeypatch.setattr("ecd_tune.cli.status.sleep", wait)
        text = status(url, "--watch", "--interval", "3")
    assert waits == [3.0, 3.0]
    assert "contract: 0 finished, 10 remaining, none finished while watching" in text
    assert "contract: 2 finished, 8 remaining, 30.0/min, about 16 s left" in text
    assert [line.split()[:2] for line in text.splitlines() if "/confirm" in line] == [
        ["contract/ecdsep/confirm", "0/4"]
    ] * 2


def test_a_narrow_terminal_has_a_line_per_search_and_no_zeros(url, monkeypatch):
    monkeypatch.setenv("COLUMNS", "60")
    spec = make_spec(confirmation={"runs": 4})
    with Store.open(url) as store:
        store.create(spec)
        leases = store.ask(spec, "ecdsep", count=3, worker=Worker.current())
        store.tell([(leases[0], Outcome(Status.COMPLETE, -1.5e-40))])
        store.tell([(leases[1], Outcome(Status.FAILED, reason="no disk"))])
    lines = status(url).splitlines()
    assert lines[:2] == [
        "contract/ecdsep: 2/6, 1 failed, 1 running, best -1.5e-40",
        "contract/ecdsep/confirm: 0/4",
    ]


def test_a_study_is_named_by_its_file_or_its_task_too(url, tmp_path):
    (tmp_path / "mine.toml").write_text('name = "contract"\n')
    spec = make_spec()
    with Store.open(url) as store:
        for name in ("contract", "other"):
            store.create(spec.model_copy(update={"name": name}))
    rows = json.loads(status(url, f"{tmp_path}/mine.toml", "--json"))["trials"]
    assert {row["study"] for row in rows} == {"contract"}
    for wrong in ("mine.py:task", "contrac"):
        missing = CliRunner().invoke(app, ["status", wrong, "--storage", url]).exception
        assert f"no study {wrong!r} in sqlite" in str(missing)
