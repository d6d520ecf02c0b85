"""Which ranges of ECDSep's hyperparameters suit twenty trials, on eight generated tasks.

    python -m benchmarks.ranges [--points 768] [--tasks linear ...] [--pool pool.json]
                                [--out docs/results/default-ranges.md]

The default space of ECDSep (``studies/_own.toml``) was chosen with this benchmark, not on the tasks
of ``benchmarks.defaults``. On each task it trains many random points of a wide space at once, and
the same number of points of the default spaces of AdamW and GDM. The mean of the best of twenty
points drawn from the pool without replacement is computed exactly, so any part of the wide space
can be evaluated without another run; ``RANGES`` are such parts. All points of a pool have the same
order of the data and different initial weights. With ``--pool`` the values of a task are read from
a file, and added to it if they are missing.
"""

from __future__ import annotations

import argparse
import json
import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch

from benchmarks.stacked import CASES, VALIDATION, Case, size_of, values
from benchmarks.written import written_by
from ecd_tune.spec import OptimizerSpec, own_study, parse_study

FEW = 20
AROUND = {
    "lr": {"low": 0.01, "high": 10.0, "log": True},
    "eta": {"low": 1.0, "high": 10.0, "log": True},
    "nu_sqrt_n": {"low": 1e-3, "high": 1.0, "log": True, "zero": {"below": 1e-2}},
    "weight_decay": {"low": 1e-7, "high": 0.1, "log": True, "zero": {"below": 1e-6}},
    "scale": ["share", "moments"],
}
"""The wide space."""

Bounds = Mapping[str, tuple[float, float] | str]
RANGES: dict[str, Bounds] = {
    "all": {},
    "lr .03–1, η 1–4, ν√n ≤ .3, wd ≤ 1e-3, share": {
        "lr": (0.03, 1), "eta": (1, 4), "nu_sqrt_n": (0, 0.3), "weight_decay": (0, 1e-3),
        "scale": "share",
    },
    "the same with moments": {
        "lr": (0.03, 1), "eta": (1, 4), "nu_sqrt_n": (0, 0.3), "weight_decay": (0, 1e-3),
        "scale": "moments",
    },
    "moments": {"scale": "moments"},
    "moments, η ≤ 2": {"scale": "moments", "eta": (1, 2)},
    "moments, η 2–4": {"scale": "moments", "eta": (2, 4)},
    "moments, η 4–10": {"scale": "moments", "eta": (4, 10)},
    "moments, lr < .1": {"scale": "moments", "lr": (0, 0.1)},
    "moments, lr .1–3": {"scale": "moments", "lr": (0.1, 3)},
    "moments, lr > 3": {"scale": "moments", "lr": (3, 10)},
    "moments, ν√n < .03": {"scale": "moments", "nu_sqrt_n": (0, 0.03)},
    "moments, ν√n .03–.3": {"scale": "moments", "nu_sqrt_n": (0.03, 0.3)},
    "moments, ν√n > .3": {"scale": "moments", "nu_sqrt_n": (0.3, 1)},
    "moments, wd < 1e-5": {"scale": "moments", "weight_decay": (0, 1e-5)},
    "moments, wd 1e-5–1e-3": {"scale": "moments", "weight_decay": (1e-5, 1e-3)},
    "moments, wd 1e-3–1e-2": {"scale": "moments", "weight_decay": (1e-3, 1e-2)},
    "moments, wd > 1e-2": {"scale": "moments", "weight_decay": (1e-2, 0.1)},
    "moments, lr .1–3, η 2–8, ν√n ≤ .3, wd ≤ .03": {
        "lr": (0.1, 3), "eta": (2, 8), "nu_sqrt_n": (0, 0.3), "weight_decay": (0, 0.03),
        "scale": "moments",
    },
    "moments, lr .3–10, η 1.5–6, ν√n ≤ .3, wd ≤ .03": {
        "lr": (0.3, 10), "eta": (1.5, 6), "nu_sqrt_n": (0, 0.3), "weight_decay": (0, 0.03),
        "scale": "moments",
    },
    "share, lr .1–3, η 1.5–6, ν√n ≤ .3, wd ≤ .03": {
        "lr": (0.1, 3), "eta": (1.5, 6), "nu_sqrt_n": (0, 0.3), "weight_decay": (0, 0.03),
        "scale": "share",
    },
    "**moments, lr .1–3, η 1.5–6, ν√n ≤ .3, wd ≤ .03**": {
        "lr": (0.1, 3), "eta": (1.5, 6), "nu_sqrt_n": (0, 0.3), "weight_decay": (0, 0.03),
        "scale": "moments",
    },
}  # fmt: skip


STARTS = 4
"""Number of initial weights for each of ``SETTINGS``."""
SETTINGS: dict[str, Mapping[str, Any]] = {
    "auto, share": {"lr": "auto", "s": 0, "eta": 3.0, "scale": "share"},
    "auto, moments": {"lr": "auto", "s": 0, "eta": 3.0, "scale": "moments"},
    "share": {"lr": 0.1, "s": 1, "eta": 3.0, "scale": "share"},
    "paper": {"lr": 0.4, "eta": 1.0, "nu": 1e-5},
    **{
        f"moments, lr {lr}, η {eta}": {
            "lr": lr, "eta": eta, "nu_sqrt_n": 0.1, "weight_decay": 1e-4, "scale": "moments",
        }
        for lr in (0.3, 1.0, 3.0)
        for eta in (2.0, 3.0, 4.5, 6.0)
    },
}  # fmt: skip
"""Candidates for a fixed first trial."""


def optimizer_of(name: str, space: Mapping[str, Any] | None = None) -> OptimizerSpec:
    """Return an optimizer of a user study, with its default space or another."""
    table = {} if space is None else {"space": space}
    return parse_study(own_study("digits", {name: table}, budget={"steps": 1})).optimizers[name]


def pool(case: Case, own: OptimizerSpec, points: int) -> list[Any]:
    """Return random points of a space, each with its value."""
    random = np.random.default_rng(0)
    drawn = [own.space.draw(random) for _ in range(points)]
    settings = [own.resolve(point, size_of(case)) for point in drawn]
    found = values(case, own.definition.name, settings)
    return [
        {**point, **setting, "value": float(value)}
        for point, setting, value in zip(drawn, settings, found, strict=True)
    ]


def single(case: Case) -> dict[str, float]:
    """Return the mean value of each of ``SETTINGS`` over initial weights."""
    own = optimizer_of("ecdsep")
    found: dict[str, float] = {}
    for auto in (False, True):  # apart: with an automatic step no run of a batch is fused
        chosen = {k: v for k, v in SETTINGS.items() if (v["lr"] == "auto") is auto}
        settings = [own.resolve(v, size_of(case)) for v in chosen.values() for _ in range(STARTS)]
        means = values(case, "ecdsep", settings).reshape(-1, STARTS).mean(1)
        found |= dict(zip(chosen, means.tolist(), strict=True))
    return found


def lies_in(point: Mapping[str, Any], bounds: Bounds) -> bool:
    """Return whether a point of the wide space is in a part of it."""
    return all(
        point[key] == limits if isinstance(limits, str) else limits[0] <= point[key] <= limits[1]
        for key, limits in bounds.items()
    )


def best_of(found: Sequence[float], few: int, highest: bool) -> float:
    """Return the mean of the best of ``few`` values drawn without replacement.

    Args:
        found: Values of a pool; NaN and infinity are the worst.
        few: Number of drawn values.
        highest: Whether a larger value is better.

    Returns:
        Σ over ranks i of value_i · C(N − 1 − i, few − 1) / C(N, few); NaN for a smaller pool.
    """
    ranked = sorted((v for v in found if math.isfinite(v)), reverse=highest)
    size = len(found)
    if size < few:
        return math.nan
    ways = [math.comb(size - 1 - rank, few - 1) for rank in range(len(ranked))]
    return sum(w * v for w, v in zip(ways, ranked, strict=True)) / sum(ways)


def main() -> None:
    """Train missing points and print the page."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--points", type=int, default=768)
    parser.add_argument("--tasks", nargs="*", choices=list(CASES), default=list(CASES))
    parser.add_argument("--pool", type=Path)
    parser.add_argument("--out", type=Path)
    given = parser.parse_args()
    torch.set_num_threads(1)
    known = json.loads(given.pool.read_text()) if given.pool and given.pool.exists() else {}
    spaces = {"ecdsep": AROUND, "adamw": None, "gdm": None}
    for task, case in ((task, CASES[task]) for task in given.tasks):
        results = known.setdefault(task, {})
        for name in [name for name in spaces if name not in results]:
            results[name] = pool(case, optimizer_of(name, spaces[name]), given.points)
        if "single" not in results:
            results["single"] = single(case)
        if given.pool:
            given.pool.write_text(json.dumps(known))
    text = "\n".join(page(given, known)) + "\n"
    if given.out:
        given.out.write_text(text)
    print(text)


def page(given: argparse.Namespace, known: Mapping[str, Any]) -> list[str]:
    """Return the page's lines."""
    cases = {task: CASES[task] for task in given.tasks}
    others = {task: score(task, known[task]["adamw"], FEW) for task in cases}
    gdm = [percent(t, score(t, known[t]["gdm"], FEW), others[t]) for t in cases]
    rows = [f"| GDM, its default space | {given.points} | {' | '.join(gdm)} |"]
    for title, bounds in RANGES.items():
        inside = {t: [p for p in known[t]["ecdsep"] if lies_in(p, bounds)] for t in cases}
        cells = [percent(t, score(t, inside[t], FEW), others[t]) for t in cases]
        rows.append(f"| {title} | {len(inside[given.tasks[0]])} | {' | '.join(cells)} |")
    alone = [
        f"| {title} | "
        + " | ".join(percent(t, known[t]["single"][title], others[t]) for t in cases)
        + " |"
        for title in SETTINGS
    ]
    titles = " | ".join(case.title for case in cases.values())
    return [
        "# Ranges of ECDSep on eight generated tasks",
        "",
        *written_by(f"python -m benchmarks.ranges --points {given.points}"),
        "",
        f"Mean of the best of {FEW} random points: how much worse, in percent, than the best of "
        f"{FEW} random points of AdamW's default space; negative if ECDSep is better. "
        f"Accuracy or mean squared error on {VALIDATION} validation examples; a pool of "
        f"{given.points} points per task and optimizer, one seed.",
        "",
        f"| range | points | {titles} |",
        "|---|---:|" + "---:|" * len(cases),
        f"| AdamW, value | | {' | '.join(f'{value:.4f}' for value in others.values())} |",
        *rows,
        "",
        "## Candidates for a first trial",
        "",
        f"The same for single settings: mean over {STARTS} initial weights, compared with the best "
        f"of {FEW} of AdamW. With moments, ν√n is .1 and the weight decay 1e-4.",
        "",
        f"| setting | {titles} |",
        "|---|" + "---:|" * len(cases),
        *alone,
    ]


def score(task: str, points: Sequence[Mapping[str, Any]], few: int) -> float:
    """Return the mean of the best of some points of a task.

    A squared error above 1, the error of the mean target, counts as 1. Otherwise a setting that
    diverges without becoming infinite would outweigh all others.
    """
    classes = CASES[task].classes
    values = [point["value"] if classes else min(point["value"], 1.0) for point in points]
    return best_of(values, few, classes)


def percent(task: str, value: float, other: float) -> str:
    """Return by how many percent a value is worse than another; a dash for NaN."""
    if math.isnan(value):
        return "–"
    return f"{100 * (other - value) / other * (1 if CASES[task].classes else -1):+.1f}"


if __name__ == "__main__":
    main()
