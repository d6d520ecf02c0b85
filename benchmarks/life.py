"""CPU time of the calls of one trial, while many other workers hold leases of its study.

    python -m benchmarks.life [--others 1000] [--seconds 10] [--trials 200] [--json FILE]

One worker without torch checks for dead workers, asks for trials with six parameters of a random
sampler, reports one point of each, renews its lease and tells. The benchmark starts its own
PostgreSQL. ``--others`` other workers hold one lease each. The benchmark does not wait for
``--seconds``, which only determines the number of checks and renewals per trial. "check, every
trial" is the cost if each worker checked before each ask.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import time
from collections.abc import Callable
from importlib.metadata import version
from pathlib import Path
from types import SimpleNamespace
from unittest.mock import patch

from benchmarks.storage import NAMES, SPEC, seconds_of
from ecd_tune.records import Lease
from ecd_tune.store import CurvePoint, Store, Worker
from ecd_tune.store.trials import lost
from ecd_tune.testing.postgres import PostgresServer
from ecd_tune.testing.store import complete

OPTIMIZER = "ecdsep"
LOOKS = 20
SIMULATED = 10_000
Cost = tuple[float, float]
"""Milliseconds of the worker's process and of the server."""


def measure(others: int, seconds: float, trials: int) -> dict[str, Cost]:
    """Measure each call of a trial.

    Args:
        others: Number of workers that hold one lease each.
        seconds: Length of a trial.
        trials: Number of measured trials.

    Returns:
        CPU time per trial by call.
    """
    with PostgresServer({}, on_disk=True) as server:
        url = server.create_database()

        def spend(calls: int, action: Callable[[], object]) -> Cost:
            action()  # the first call compiles its statements
            began, used = time.process_time(), seconds_of(server.process)
            for _ in range(calls):
                action()
            worker, served = time.process_time() - began, seconds_of(server.process) - used
            return 1000 * worker / calls, 1000 * served / calls

        with Store.open(url) as store, Store.open(url) as crowd:
            store.create(SPEC)
            held = hold_leases(crowd, others)
            keys, worker, mine = [SPEC.key(OPTIMIZER)], Worker.current(), list[Lease]()

            def report() -> None:
                store.report([CurvePoint(mine[0].trial_id, mine[0].token, 0, 1.0)])

            found = {}
            crowd.renew(held)
            client, served = spend(LOOKS, lambda: store.reap(keys))
            looks = count_looks(others, seconds, store.lease_seconds)
            found["check, shared"] = client * looks, served * looks
            found["check, every trial"] = client, served
            found["ask"] = spend(
                trials, lambda: mine.extend(store.ask(SPEC, OPTIMIZER, count=1, worker=worker))
            )
            found["report"] = spend(trials, report)
            beats = seconds // (store.lease_seconds / 3)
            client, served = spend(trials, lambda: store.renew(mine[:1]))
            found["renew"] = client * beats, served * beats
            found["tell"] = spend(trials, lambda: store.tell(complete([mine.pop()])))
            return found


def count_looks(others: int, seconds: float, lease_seconds: float) -> float:
    """Return the number of checks of a worker per trial, while all leases are renewed."""
    clock, watch = SimpleNamespace(now=0.0), lost.LeaseWatch(lease_seconds)
    looks = 0
    with patch.object(lost, "time", SimpleNamespace(monotonic=lambda: clock.now)):
        for _ in range(SIMULATED):
            clock.now += seconds
            if watch.due:
                looks += 1
                watch.plan(others, doubtful=False)
    return looks / SIMULATED


def hold_leases(store: Store, others: int) -> list[Lease]:
    """Give a lease to each of many workers on other machines."""
    return [
        lease
        for number in range(others)
        for lease in store.ask(
            SPEC, OPTIMIZER, count=1, worker=Worker(f"host-{number}", "", number + 1, 0)
        )
    ]


def main() -> None:
    """Measure, print a table, and write the figures."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--others", type=int, default=1000)
    parser.add_argument("--seconds", type=float, default=10.0)
    parser.add_argument("--trials", type=int, default=200)
    parser.add_argument("--json", type=Path)
    given = parser.parse_args()
    found = measure(given.others, given.seconds, given.trials)
    every = found["check, every trial"]
    kept = [cost for name, cost in found.items() if name != "check, every trial"]
    found["one trial"] = sum(c for c, _ in kept), sum(s for _, s in kept)
    in_turn, whole = found["check, shared"], found["one trial"]
    found["one trial, check every trial"] = (
        whole[0] - in_turn[0] + every[0],
        whole[1] - in_turn[1] + every[1],
    )
    print(f"{given.others} other workers, trials of {given.seconds:g} s, {len(NAMES)} parameters\n")
    print("| per trial | worker, ms | server, ms | both, share of the trial |")
    print("|---|---|---|---|")
    for name, (client, served) in found.items():
        share = (client + served) / (1000 * given.seconds)
        print(f"| {name} | {client:.2f} | {served:.2f} | {share:.3%} |")
    if given.json:
        about = {
            "machine": f"{platform.machine()}, {len(os.sched_getaffinity(0))} cores",
            "load": os.getloadavg(),
            **{name: version(name) for name in ("sqlalchemy", "psycopg", "optuna")},
        }
        given.json.parent.mkdir(parents=True, exist_ok=True)
        given.json.write_text(json.dumps({"about": about, "ms": found}, indent=2) + "\n")


if __name__ == "__main__":
    main()
