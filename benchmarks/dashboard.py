"""The dashboard's study call at 10 000 trials: ours, and plain optuna-dashboard.

    python -m benchmarks.dashboard [--trials 10000] [--repeat 3] [--json FILE]

Every figure comes from a server process that has just begun to listen and has answered nothing
but its list of studies; both are asked over loopback by the same client, which sends
``Accept-Encoding: gzip`` as browsers do. Bytes are those of the body on the wire.
"""

from __future__ import annotations

import argparse
import gzip
import http.client
import json
import os
import platform
import socket
import statistics
import subprocess
import sys
import tempfile
import time
from datetime import datetime, timedelta
from importlib.metadata import version
from pathlib import Path
from random import Random

import optuna
import sqlalchemy as sa
from optuna.storages._rdb import models

OURS = ["-m", "ecd_tune", "dashboard", "--storage", "{url}", "--port", "{port}"]
PLAIN = ["-m", "optuna_dashboard._cli", "{url}", "--port", "{port}"]
RANGES = {"lr": (1e-4, 10.0), "eta": (1.0, 6.0), "nu": (1e-6, 1e-2)}
WHOLE = optuna.distributions.IntDistribution(1, 8)
CHOICE = optuna.distributions.CategoricalDistribution((True, False))


def main() -> None:
    """Fill a database, measure both servers in turn and print the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--trials", type=int, default=10_000)
    parser.add_argument("--repeat", type=int, default=3)
    parser.add_argument("--json", type=Path)
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        url = f"sqlite:///{folder}/study.db"
        fill(url, arguments.trials)
        found: dict[str, list[dict[str, float]]] = {"ours": [], "plain": []}
        for _ in range(arguments.repeat):
            for name, command in (("ours", OURS), ("plain", PLAIN)):
                found[name].append(measure(command, url, arguments.trials))
    report(arguments, found)


def fill(url: str, trials: int) -> None:
    """Insert finished trials of six parameters, two attributes and one value each."""
    from ecd_tune.store import Store

    Store.open(url).close()
    study = optuna.create_study(study_name="large/ecdsep", storage=url)
    random, begin = Random(0), datetime(2026, 11, 25)
    tables = {table.name: table for table in models.BaseModel.metadata.tables.values()}
    rows: dict[str, list[dict[str, object]]] = {
        "trials": [],
        "trial_params": [],
        "trial_values": [],
        "trial_user_attributes": [],
    }
    for number in range(trials):
        trial_id = number + 1
        started = begin + timedelta(seconds=number)
        rows["trials"].append(
            {
                "trial_id": trial_id,
                "number": number,
                "study_id": study._study_id,
                "state": optuna.trial.TrialState.COMPLETE,
                "datetime_start": started,
                "datetime_complete": started + timedelta(microseconds=987_654),
            }
        )
        for name, value, distribution in draw(random):
            rows["trial_params"].append(
                {
                    "trial_id": trial_id,
                    "param_name": name,
                    "param_value": value,
                    "distribution_json": optuna.distributions.distribution_to_json(distribution),
                }
            )
        rows["trial_values"].append(
            {
                "trial_id": trial_id,
                "objective": 0,
                "value": random.random(),
                "value_type": models.TrialValueModel.TrialValueType.FINITE,
            }
        )
        for key in ("accuracy", "seconds"):
            rows["trial_user_attributes"].append(
                {"trial_id": trial_id, "key": key, "value_json": json.dumps(random.random())}
            )
    engine = sa.create_engine(url)
    with engine.begin() as connection:
        for name, values in rows.items():
            connection.execute(sa.insert(tables[name]), values)
    engine.dispose()


def draw(random: Random) -> list[tuple[str, float, optuna.distributions.BaseDistribution]]:
    """Draw one trial's parameters in Optuna's internal form."""
    floats = [
        (name, random.uniform(low, high), optuna.distributions.FloatDistribution(low, high))
        for name, (low, high) in RANGES.items()
    ]
    decay = optuna.distributions.FloatDistribution(1e-6, 1e-1, log=True)
    return [
        *floats,
        ("weight_decay", 10 ** random.uniform(-6, -1), decay),
        ("layers", float(random.randint(1, 8)), WHOLE),
        ("conserve_energy", float(random.randint(0, 1)), CHOICE),
    ]


def measure(command: list[str], url: str, trials: int) -> dict[str, float]:
    """Start a server, ask it for the study twice, and end it."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    filled = [part.format(url=url, port=port) for part in command]
    server = subprocess.Popen(
        [sys.executable, *filled], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    )
    try:
        study_id = wait_for_study(server, port)
        cold, size = ask(port, f"/api/studies/{study_id}?after=0", trials)
        warm, _ = ask(port, f"/api/studies/{study_id}?after=0", trials)
        polled, _ = ask(port, f"/api/studies/{study_id}?after={trials}", 0)
        return {"cold_s": cold, "warm_s": warm, "poll_s": polled, "bytes": size}
    finally:
        server.terminate()
        server.wait(timeout=30)


def wait_for_study(server: subprocess.Popen[bytes], port: int) -> int:
    """Wait until the server lists the study, and return its id."""
    for _ in range(600):
        if server.poll() is not None:
            raise SystemExit(f"the server ended with {server.returncode}")
        try:
            connection = http.client.HTTPConnection("127.0.0.1", port, timeout=60)
            connection.request("GET", "/api/studies")
            answer = json.loads(connection.getresponse().read())
        except (ConnectionError, http.client.HTTPException):
            time.sleep(0.1)
        else:
            return int(answer["study_summaries"][0]["study_id"])
    raise SystemExit("the server does not answer")


def ask(port: int, path: str, trials: int) -> tuple[float, int]:
    """Return the seconds until the last byte and the bytes of the body, after checking it."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=120)
    begin = time.perf_counter()
    connection.request("GET", path, headers={"Accept-Encoding": "gzip"})
    response = connection.getresponse()
    body = response.read()
    seconds = time.perf_counter() - begin
    plain = gzip.decompress(body) if response.getheader("Content-Encoding") == "gzip" else body
    assert response.status == 200, response.status
    assert len(json.loads(plain)["trials"]) == trials
    return seconds, len(body)


def report(arguments: argparse.Namespace, found: dict[str, list[dict[str, float]]]) -> None:
    """Print the table, and write the figures where asked."""
    print(f"Study call at {arguments.trials} trials, median of {arguments.repeat} processes each\n")
    print("| server | cold (s) | again (s) | nothing new (s) | MB on the wire |")
    print("|---|---|---|---|---|")
    for name, runs in found.items():
        middle = {key: statistics.median(run[key] for run in runs) for key in runs[0]}
        print(
            f"| {name} | {middle['cold_s']:.2f} | {middle['warm_s']:.2f} | "
            f"{middle['poll_s']:.2f} | {middle['bytes'] / 1e6:.2f} |"
        )
    if arguments.json:
        content = {
            "trials": arguments.trials,
            "runs": found,
            "versions": {p: version(p) for p in ("optuna", "optuna-dashboard")},
            "python": platform.python_version(),
            "cores": os.cpu_count(),
        }
        arguments.json.write_text(json.dumps(content, indent=2))


if __name__ == "__main__":
    main()
