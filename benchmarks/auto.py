"""Compare the optimizer that needs no number with tuned ones, on seven tasks.

Usage: python -m benchmarks.auto [--processes N] [--tasks A,B] [--only short|long] [--seeds N]
                                 [--out FILE] [--json FILE]

Every method that has numbers chooses them by the validation value of one run of seed 0 with each of
its settings, anew for long runs; all methods then run with seeds 1 to 5, or as many as ``--seeds``
says. A run's value is its best validation value over the epochs, and its test value is that of the
same epoch. Long runs have three times the length (the language model: 1500 steps) on three tasks,
and tell what averaged weights add. Runs are kept in the JSON file, and those that it has are not
made again.
"""

from __future__ import annotations

import argparse
import json
import math
import multiprocessing
import platform
import statistics
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import torch
from torch.optim.swa_utils import AveragedModel, get_ema_multi_avg_fn

from ecd_tune.optim import ECDq1, ECDSep, auto
from ecd_tune.records import Stage
from ecd_tune.registry import TASKS, load_attribute

SEEDS = 5
LM_LONG = 15
AVERAGE = 0.98


class Case(NamedTuple):
    """A task with the length of its runs."""

    task: str
    options: Mapping[str, Any]
    epochs: int
    metric: str
    sign: int
    """1 where more is better."""


_TINY = {"model": "tiny", "width": 32, "layers": 1, "batch_size": 128, "max_length": 32}
CASES = {
    "SST-2": Case("glue_sst2", {**_TINY, "subset": 12800, "device": "cpu"}, 4, "accuracy", 1),
    "CoLA": Case("glue_cola", {**_TINY, "device": "cpu"}, 5, "matthews", 1),
    "Cora": Case("cora", {"device": "cpu"}, 100, "accuracy", 1),
    "CiteSeer": Case("citeseer", {"device": "cpu"}, 100, "accuracy", 1),
    "digits": Case("digits", {}, 20, "accuracy", 1),
    "ResNet-20": Case(
        "cifar10",
        {
            "source": "jpeg",
            "model": "resnet20",
            "subset": 100,
            "val_fraction": 0.2,
            "batch_size": 32,
            "device": "cpu",
        },
        5,
        "accuracy",
        1,
    ),
    "characters": Case("char_lm", {"device": "cpu"}, 4, "loss", -1),
}
LONG = ("SST-2", "ResNet-20", "characters")

Build = Callable[[Sequence[torch.Tensor], int], torch.optim.Optimizer]


class Method(NamedTuple):
    """An optimizer with the settings that are tried; one setting is not searched."""

    settings: tuple[Mapping[str, Any], ...]
    build: Callable[..., torch.optim.Optimizer]
    falls: bool
    """The learning rate falls linearly to 0."""


def _ecd(kind: Any, **fixed: Any) -> Callable[..., torch.optim.Optimizer]:
    return lambda params, seed, **own: kind(params, seed=seed, **fixed, **own)


def _torch(kind: Any, **fixed: Any) -> Callable[..., torch.optim.Optimizer]:
    return lambda params, seed, **own: kind(params, **fixed, **own)


_STEPS = tuple({"lr": lr, "eta": 3.0} for lr in (0.05, 0.1, 0.3))
METHODS = {
    "AdamW, tuned": Method(
        tuple({"lr": lr} for lr in (1e-3, 3e-3, 1e-2)), _torch(torch.optim.AdamW), True
    ),
    "SGD, tuned": Method(
        tuple({"lr": lr} for lr in (0.03, 0.1, 0.3)), _torch(torch.optim.SGD, momentum=0.9), True
    ),
    "ECDSep, tuned": Method(_STEPS, _ecd(ECDSep, nu=0.0), False),
    "ECDSep, share, tuned": Method(_STEPS, _ecd(ECDSep, nu=0.0, scale="share"), False),
    "ECDSep, share, lr and F0 auto, η 10": Method(
        ({},), _ecd(ECDSep, nu=0.0, scale="share", lr="auto", F0="auto", eta=10.0, s=0), False
    ),
    "ECDq1, Δt̂ 3, η 100, share": Method(
        ({},), _ecd(ECDq1, lr=3.0, eta=100.0, scale="share"), False
    ),
    "ECDq1, share": Method(({},), _ecd(ECDq1, scale="share"), False),
    "auto: ECDq1, moments": Method(({},), _ecd(auto), False),
    "auto, its Δt̂ falling": Method(({},), _ecd(auto), True),
}
FIXED = {"AdamW, lr .003": ("AdamW, tuned", 1)}
"""Rows of the tables that are one setting of a method that is searched."""

ROWS = ("AdamW, tuned", *FIXED, *(name for name in METHODS if name != "AdamW, tuned"))
LONG_ROWS = (
    "AdamW, tuned",
    "AdamW, lr .003",
    "ECDq1, Δt̂ 3, η 100, share",
    "ECDq1, share",
    "auto: ECDq1, moments",
    "auto, its Δt̂ falling",
)


class Job(NamedTuple):
    """One run."""

    case: str
    method: str
    setting: int
    seed: int
    long: bool


def epochs_of(job: Job) -> int:
    if not job.long:
        return CASES[job.case].epochs
    return LM_LONG if job.case == "characters" else 3 * CASES[job.case].epochs


def run(job: Job) -> dict[str, Any]:
    """Train once; return the best validation value, and its epoch's test value."""
    torch.set_num_threads(1)
    case, method = CASES[job.case], METHODS[job.method]
    task = load_attribute(TASKS.get(case.task).factory)(**case.options)
    problem = task.build(job.seed, Stage.CONFIRM if job.seed else Stage.SEARCH)
    torch.manual_seed(job.seed)
    optimizer = method.build(problem.parameters, job.seed, **method.settings[job.setting])
    epochs = epochs_of(job)
    steps = epochs * problem.steps_per_epoch
    schedule = torch.optim.lr_scheduler.LambdaLR(
        optimizer, lambda step: 1 - step / steps if method.falls else 1.0
    )
    average = Average(problem.parameters) if job.long else None
    begin, best, first, last = time.perf_counter(), None, math.nan, math.nan
    for step in range(steps):
        loss = problem.closure(step)
        last = float(loss)
        if not math.isfinite(last):
            break
        optimizer.step(lambda loss=loss: loss)
        schedule.step()
        first = last if step == 0 else first
        if average is not None:
            average.update()
        if (step + 1) % problem.steps_per_epoch == 0:
            value = case.sign * problem.evaluate("val")[case.metric]
            if best is None or value > best[0]:
                test = problem.evaluate("test")[case.metric] if job.seed else math.nan
                best = (value, test)
    best = best or (-math.inf, math.nan)
    found = {"val": case.sign * best[0], "test": best[1], "first": first, "last": last}
    found["seconds"] = time.perf_counter() - begin
    if average is not None:
        average.put(problem)
        found["averaged"] = problem.evaluate("val")[case.metric]
    return {**job._asdict(), **found}


class Average:
    """A running mean of the parameters, of torch."""

    def __init__(self, parameters: Sequence[torch.Tensor]) -> None:
        self._list = torch.nn.ParameterList(parameters)
        self._mean = AveragedModel(self._list, multi_avg_fn=get_ema_multi_avg_fn(AVERAGE))

    def update(self) -> None:
        """Take the present parameters in."""
        self._mean.update_parameters(self._list)

    def put(self, problem: Any) -> None:
        """Let the problem have the mean."""
        with torch.no_grad():
            for p, mean in zip(self._list, self._mean.module, strict=True):
                p.copy_(mean)
        if hasattr(problem, "renew_statistics"):
            problem.renew_statistics()


class Runs:
    """All runs, made once and kept in a file.

    Args:
        pool: Makes them.
        kept: The file, or None.
    """

    def __init__(self, pool: Any, kept: Path | None) -> None:
        self._pool, self._kept = pool, kept
        found = json.loads(kept.read_text()) if kept and kept.exists() else []
        self._done = {Job(*(run[key] for key in Job._fields)): run for run in found}

    def make(self, jobs: Sequence[Job], what: str) -> list[dict[str, Any]]:
        """Return the runs of these jobs."""
        missing = [job for job in jobs if job not in self._done]
        begin = time.perf_counter()
        for number, found in enumerate(self._pool.imap_unordered(run, missing), 1):
            self._done[Job(*(found[key] for key in Job._fields))] = found
            if self._kept:
                self._kept.write_text(json.dumps(list(self._done.values())))
            seconds = time.perf_counter() - begin
            print(
                f"{what} {number}/{len(missing)} {seconds:5.0f} s  {found['case']}  "
                f"{found['method']}  seed {found['seed']}  {found['val']:.4f}",
                flush=True,
            )
        return [self._done[job] for job in jobs]


class Table:
    """The runs of some rows: searched with seed 0, then made with the other seeds.

    Args:
        made: Makes and keeps the runs.
        cases: Names of the tasks.
        rows: Names of the rows.
        seeds: How many seeds.
        long: Whether the runs are long.
    """

    def __init__(
        self, made: Runs, cases: Sequence[str], rows: Sequence[str], seeds: int, long: bool
    ) -> None:
        self._cases, self._rows = cases, rows
        searched = [name for name in rows if name in METHODS and len(METHODS[name].settings) > 1]
        tried = {
            (case, name): [
                Job(case, name, number, 0, long) for number in range(len(METHODS[name].settings))
            ]
            for case in cases
            for name in searched
        }
        found = made.make([job for jobs in tried.values() for job in jobs], "search")
        self._setting = {key: _best([r for r in found if _key(r) == key]) for key in tried}
        jobs = {
            (case, row): [
                Job(case, *self._method(case, row), seed, long) for seed in range(1, seeds + 1)
            ]
            for row in rows
            for case in cases
        }
        made.make(list(dict.fromkeys(job for own in jobs.values() for job in own)), "seeds")
        self._runs = {key: made.make(own, "seeds") for key, own in jobs.items()}

    def _method(self, case: str, row: str) -> tuple[str, int]:
        return FIXED.get(row, (row, self._setting.get((case, row), 0)))

    def values(self, key: str) -> list[str]:
        """Return a table of means and ranges of one of a run's figures."""
        return self._table(self._rows, lambda case, row: _cell(self._runs[case, row], key))

    def chosen(self) -> list[str]:
        """Return a table of the settings that were chosen."""

        def setting(case: str, row: str) -> str:
            own = METHODS[row].settings[self._setting[case, row]]
            return ", ".join(f"{name} {value:g}" for name, value in own.items())

        rows = [row for row in self._rows if (self._cases[0], row) in self._setting]
        return self._table(rows, setting)

    def hot(self) -> list[str]:
        """Return a list of the tasks on which a run's last loss lies above its first, by row."""
        lines = []
        for row in self._rows:
            found = [
                case
                for case in self._cases
                if any(run["last"] >= run["first"] for run in self._runs[case, row])
            ]
            lines.append(f"- {row}: {', '.join(found) or 'none'}")
        return lines

    def _table(self, rows: Sequence[str], cell: Callable[[str, str], str]) -> list[str]:
        lines = ["| | " + " | ".join(self._cases) + " |", "|---|" + "---|" * len(self._cases)]
        for row in rows:
            lines.append(f"| {row} | " + " | ".join(cell(c, row) for c in self._cases) + " |")
        return lines


def _key(found: Mapping[str, Any]) -> tuple[str, str]:
    return found["case"], found["method"]


def _best(runs: Sequence[Mapping[str, Any]]) -> int:
    """Return the setting of the best run; of equal ones, the first."""
    sign = CASES[runs[0]["case"]].sign

    def order(run: Mapping[str, Any]) -> tuple[float, int]:
        value = sign * run["val"]
        return (value if math.isfinite(value) else -math.inf, -run["setting"])

    return int(max(runs, key=order)["setting"])


def _cell(runs: Sequence[Mapping[str, Any]], key: str) -> str:
    values = [run[key] for run in runs]
    return f"{statistics.fmean(values):.3f} ({min(values):.3f}–{max(values):.3f})"


def short_page(made: Runs, cases: Sequence[str], seeds: int) -> list[str]:
    table = Table(made, cases, ROWS, seeds, long=False)
    return [
        *(f"## Validation value: mean of {seeds} seeds (lowest–highest)", ""),
        *(*table.values("val"), ""),
        *("## Test value of the same epoch", "", *table.values("test"), ""),
        *("## Settings selected by one run with seed 0 each", "", *table.chosen(), ""),
        *("## Runs whose last loss is above the first", "", *table.hot()),
    ]


def long_page(made: Runs, cases: Sequence[str], seeds: int) -> list[str]:
    table = Table(made, [case for case in cases if case in LONG], LONG_ROWS, seeds, long=True)
    return [
        *(f"## Long runs: validation value, mean of {seeds} seeds (lowest–highest)", ""),
        *(*table.values("val"), ""),
        f"## The same runs with averaged weights at the end (running mean, decay {AVERAGE})",
        *("", *table.values("averaged"), ""),
        *("## Settings selected by one run with seed 0 each", "", *table.chosen()),
    ]


def page(parts: Sequence[list[str]], command: str, only: str | None) -> str:
    head = [
        f"# One setting for seven tasks{': long runs' if only == 'long' else ''}",
        "",
        f"Generated by `{command}` on {time.strftime('%Y-%m-%d')}, torch {torch.__version__}, "
        f"{platform.machine()}, one thread per run. CoLA: Matthews correlation; characters: nats "
        "per character, lower is better; else accuracy. The learning rate of AdamW and SGD "
        "decreases linearly to 0; that of the others is constant.",
        "",
    ]
    return "\n".join([*head, *(line for part in parts for line in [*part, ""])])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--processes", type=int, default=2)
    parser.add_argument("--tasks", default=",".join(CASES))
    parser.add_argument("--only", choices=("short", "long"))
    parser.add_argument("--seeds", type=int, default=SEEDS)
    parser.add_argument("--out", type=Path)
    parser.add_argument("--json", type=Path)
    given = parser.parse_args()
    cases = [case for case in given.tasks.split(",") if case in CASES]
    with multiprocessing.get_context("spawn").Pool(given.processes) as pool:
        made = Runs(pool, given.json)
        parts = [
            make(made, cases, given.seeds)
            for name, make in (("short", short_page), ("long", long_page))
            if given.only in (None, name)
        ]
    options = [f"--only {given.only}"] * bool(given.only) + [f"--seeds {given.seeds}"]
    text = page(parts, " ".join(["python -m benchmarks.auto", *options]), given.only)
    print(text)
    if given.out:
        given.out.write_text(text)


if __name__ == "__main__":
    main()
