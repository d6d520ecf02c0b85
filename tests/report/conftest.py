"""Small studies with hand-made records: what a search and a confirmation leave behind."""

import dataclasses
import math
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime, timedelta
from types import SimpleNamespace

import numpy as np
import pytest

from ecd_tune.analysis.checks import check_study
from ecd_tune.records import METRIC, Curve, RunCost, Stage, StudyKey, TrialRecord, TrialState
from ecd_tune.report import StudyReport, build_report
from ecd_tune.spec import StudySpec

START = datetime(2026, 11, 25, 12, 0, tzinfo=UTC)
ENVIRONMENT = {"host": "node1", "processor": "8-core CPU", "python": "3.11.9", "torch": "2.9"}
Trials = Mapping[StudyKey, Sequence[TrialRecord]]


def zakharov_spec(**changes: object) -> StudySpec:
    table = {
        "name": "zakharov-small",
        "title": "Zakharov, ten dimensions",
        "summary": "ECDSep against Adam and GDM.",
        "protocol": "paper",
        "task": {"name": "zakharov"},
        "budget": {"trials": 12, "steps": 250, "batch": 4},
        "sampler": {"name": "tpe"},
        "confirmation": {"runs": 8, "steps": 1000, "task": {"start": "uniform"}},
        "checks": [{"name": "S12", "optimizer": "ecdsep"}, {"name": "S1", "F_min": 0.0}],
        "optimizers": {
            "ecdsep": {
                "space": {
                    "lr": {"low": 1e-2, "high": 1e4, "log": True},
                    "eta": {"low": 1.0, "high": 4.0},
                    "s": 1,
                },
                "references": [
                    {"label": "paper", "params": {"lr": 9594.6, "eta": 1.0116}, "note": "B.1"}
                ],
            },
            "adam": {
                "space": {
                    "lr": {"low": 1e-2, "high": 1e4, "log": True},
                    "beta1": {"low": 0.7, "high": 0.999},
                }
            },
            "gdm": {
                "space": {
                    "lr": {"low": 1e-8, "high": 1e-3, "log": True},
                    "momentum": {"low": 0.8, "high": 0.99},
                }
            },
        },
        **changes,
    }
    return StudySpec.model_validate(table)


def digits_spec(**changes: object) -> StudySpec:
    table = {
        "name": "digits-small",
        "protocol": "clean",
        "seed": 3,
        "task": {"name": "digits"},
        "budget": {"trials": 6, "steps": 10},
        "confirmation": {"runs": 8},
        "optimizers": {
            "ecdsep": {"space": {"lr": {"low": 0.1, "high": 1.0}, "eta": 2.0}},
            "adamw": {"space": {"lr": {"low": 1e-4, "high": 1e-1, "log": True}}},
        },
        **changes,
    }
    return StudySpec.model_validate(table)


def record(key: StudyKey, number: int, value: float | None, **more: object) -> TrialRecord:
    """One finished trial; ``state`` and the rest by keyword."""
    started = START + timedelta(seconds=2 * number)
    return TrialRecord(
        **{
            "key": key,
            "number": number,
            "state": TrialState.COMPLETE if value is not None else TrialState.FAIL,
            "value": value,
            "params": {},
            "cost": RunCost(1.5, "cpu"),
            "started": started,
            "completed": started + timedelta(seconds=1.5),
            "worker": "node1:4711",
            **more,
        }
    )


def decay(steps: int, start: float, end: float) -> Curve:
    """A straight line in log-log, as the tasks store it."""
    grid = sorted({0, *(round(steps ** (i / 40)) for i in range(41))})
    rate = math.log(end / start) / math.log(steps + 1)
    return Curve(tuple(grid), tuple(start * (s + 1) ** rate for s in grid))


def search(spec: StudySpec, key: str, values: Sequence[float], rng: np.random.Generator):
    space = spec.optimizers[key].space
    return [
        record(spec.key(key), i, value, params=space.draw(rng), seed=spec.search_seed(i))
        for i, value in enumerate(values)
    ]


def zakharov_trials(spec: StudySpec, runs: int = 8) -> Trials:
    rng = np.random.default_rng(0)
    trials: dict[StudyKey, list[TrialRecord]] = {}
    ends = {"ecdsep": 1e-26, "adam": 1e-12, "gdm": 2.0}
    for key, end in ends.items():
        values = end * 10 ** rng.uniform(0, 6, spec.trials(key))
        trials[spec.key(key)] = search(spec, key, values, rng)
    ecd = trials[spec.key("ecdsep")]
    for i in (3, 7):
        reason = f"loss became nan at iteration {100 + i}"
        ecd[i] = record(
            ecd[i].key, i, 1e-29, state=TrialState.PRUNED, params=ecd[i].params, reason=reason
        )
    ecd[5] = record(ecd[5].key, 5, None, params=ecd[5].params, reason="RuntimeError: no memory")
    lost = {"state": TrialState.FAIL, "lost": True, "reason": "worker vanished"}
    ecd.append(record(ecd[0].key, 12, None, params=ecd[0].params, **lost))
    for key, end in ends.items():
        best = min(
            (r for r in trials[spec.key(key)] if r.state is TrialState.COMPLETE),
            key=lambda r: r.value,
        )
        trials[spec.key(key, Stage.CONFIRM)] = confirm(
            spec, key, "best", best.params, end, runs, rng
        )
    paper = spec.optimizers["ecdsep"].references[0].params
    trials[spec.key("ecdsep", Stage.CONFIRM)] += confirm(
        spec, "ecdsep", "paper", paper, 1e-20, runs, rng, diverge=5, offset=100
    )
    return trials


def confirm(spec, key, source, params, end, runs, rng, diverge=0, offset=0):
    found = []
    for run in range(runs):
        value = end * 10 ** rng.normal(0, 1)
        bad = run < diverge
        found.append(
            record(
                spec.key(key, Stage.CONFIRM),
                offset + run,
                value,
                state=TrialState.PRUNED if bad else TrialState.COMPLETE,
                params=params,
                seed=spec.confirm_seed(run),
                source=source,
                metrics={"start": 5e5, "final": math.inf if bad else value, "best": value},
                curves={METRIC: decay(200 if bad else 1000, 5e5, value)},
                reason=f"loss became nan at iteration {90 + run}" if bad else None,
            )
        )
    return found


def digits_trials(spec: StudySpec, runs: int = 8) -> Trials:
    rng = np.random.default_rng(1)
    trials: dict[StudyKey, list[TrialRecord]] = {}
    for key, level in (("ecdsep", 0.95), ("adamw", 0.97)):
        values = level - rng.integers(0, 40, spec.trials(key)) / 360
        trials[spec.key(key)] = search(spec, key, [float(v) for v in values], rng)
        best = max(trials[spec.key(key)], key=lambda r: (r.value, -r.number))
        trials[spec.key(key, Stage.CONFIRM)] = [
            record(
                spec.key(key, Stage.CONFIRM),
                run,
                level,
                params=best.params,
                seed=spec.confirm_seed(run),
                source="best",
                metrics={"val_accuracy": level, "test_accuracy": level - (run % 4) / 360},
                curves={
                    METRIC: Curve(tuple(range(11)), tuple(level * (1 - 0.8**s) for s in range(11))),
                    "train_loss": Curve(
                        tuple(range(1, 11)), tuple(2.5 * 0.7**s for s in range(1, 11))
                    ),
                },
            )
            for run in range(runs)
        ]
    return trials


@pytest.fixture(scope="session")
def zakharov() -> StudyReport:
    spec = zakharov_spec()
    trials = zakharov_trials(spec)
    return build_report(spec, trials, ENVIRONMENT, check_study(spec, trials, {}))


@pytest.fixture(scope="session")
def digits() -> StudyReport:
    spec = digits_spec()
    return build_report(spec, digits_trials(spec), ENVIRONMENT)


@pytest.fixture(scope="session")
def searched() -> StudyReport:
    """Zakharov with enough trials to rank hyperparameters by, and to learn from."""
    spec = zakharov_spec(budget={"trials": 40, "steps": 250, "batch": 4})
    trials = {**zakharov_trials(spec)}
    key = spec.key("adam")
    # A bowl in log10(lr), of trials that differ in cost; the other hyperparameter says nothing.
    trials[key] = [
        dataclasses.replace(
            r,
            value=1e-6 * 10 ** (math.log10(r.params["lr"]) - 1) ** 2,
            cost=RunCost(1.0 + i % 7, "cpu"),
        )
        for i, r in enumerate(trials[key])
    ]
    return build_report(spec, trials, {})


@pytest.fixture(scope="session")
def studies() -> SimpleNamespace:
    """The makers of specs and records, for tests that change something."""
    return SimpleNamespace(
        zakharov_spec=zakharov_spec,
        zakharov_trials=zakharov_trials,
        digits_spec=digits_spec,
        digits_trials=digits_trials,
        record=record,
        environment=ENVIRONMENT,
    )
