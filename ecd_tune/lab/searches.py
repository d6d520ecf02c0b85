"""Simulated searches with a known law, as the trial records of a study.

:func:`simulated_search` runs every trial with the optimizers' own step, on a quadratic bowl of
condition 10. :func:`exact_search` draws each number from its law instead, at once.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
import numpy.typing as npt

from ecd_tune.analysis.checks import StudyTrials
from ecd_tune.lab.landscapes import Quadratic, directions
from ecd_tune.lab.setups import potential_share
from ecd_tune.lab.trajectory import ChainSetup, Moment
from ecd_tune.measurements import BLOCKS, TAIL_SHARE, RunMeasurements
from ecd_tune.records import Params, Scalar, StudyKey, TrialRecord, TrialState
from ecd_tune.spec import StudySpec
from ecd_tune.theory import Array, Basin, bounce_cosine, effective_eta

__all__ = ["Bowl", "exact_search", "search_spec", "simulated_search", "take"]

OPTIMIZER = "ecdsep"
_TURNS = 4000


@dataclass(frozen=True)
class Bowl:
    """The searched hyperparameters and their ranges.

    Attributes:
        integrator: ``"algorithm1"`` or ``"sync"``.
        trials: Number of trials.
        n: Dimension.
        F_min: Lowest loss.
        F0: Loss offset.
        steps: Length of a trial.
        eta: Range of η, uniform.
        lr: Range of Δt, logarithmic.
        nu_sqrt_n: Range of ν√n, logarithmic; by default 0.03 to 1, and to 3 for Algorithm 1.
    """

    integrator: str = "sync"
    trials: int = 160
    n: int = 50
    F_min: float = 1.0
    F0: float = 0.0
    steps: int = 4000
    eta: tuple[float, float] = (1.25, 4.0)
    lr: tuple[float, float] = (0.1, 3.2)
    nu_sqrt_n: tuple[float, float] | None = None

    def space(self) -> dict[str, Any]:
        """Return the search space as a study file has it."""
        low, high = self.nu_sqrt_n or (0.03, 3.0 if self.integrator == "algorithm1" else 1.0)
        ranges = {"lr": (*self.lr, True), "eta": (*self.eta, False), "nu_sqrt_n": (low, high, True)}
        searched = {
            name: {"low": low, "high": high, "log": log}
            for name, (low, high, log) in ranges.items()
        }
        return {**searched, "s": 0, "delta_energy": 1.0, "integrator": self.integrator}


def search_spec(bowl: Bowl, **tables: Any) -> StudySpec:
    """Return a study file's meaning for such a search; the task only lends its name.

    Args:
        bowl: The search.
        **tables: Further tables, or others in the place of these.

    Returns:
        The study.
    """
    table = {
        "name": "bowl",
        "task": {"name": "zakharov", "n": bowl.n},
        "budget": {"trials": bowl.trials, "steps": bowl.steps},
        "sampler": {"name": "random"},
        "optimizers": {OPTIMIZER: {"space": bowl.space()}},
        **tables,
    }
    return StudySpec.model_validate(table)


def _draw(bowl: Bowl, rng: np.random.Generator) -> dict[str, Array]:
    space = search_spec(bowl).optimizers[OPTIMIZER].space
    return _columns([space.draw(rng) for _ in range(bowl.trials)])


def _columns(points: Sequence[Params]) -> dict[str, Array]:
    return {name: np.array([params[name] for params in points]) for name in points[0]}


def simulated_search(bowl: Bowl, seed: int = 0) -> StudyTrials:
    """Run a random search.

    Args:
        bowl: The search.
        seed: Of parameters, starts and turns.

    Returns:
        The study with its records.
    """
    from ecd_tune.lab.chains import run_chains, turn_cosines  # loads torch

    rng = np.random.default_rng(seed)
    params = _draw(bowl, rng)
    start = rng.standard_normal((bowl.trials, bowl.n))
    setup = ChainSetup(
        Quadratic(np.geomspace(0.1, 1.0, bowl.n), bowl.F_min),
        start,
        directions(rng, bowl.trials, bowl.n),
        lr=params["lr"],
        eta=params["eta"],
        nu=params["nu_sqrt_n"] / math.sqrt(bowl.n),
        integrator=bowl.integrator,
        F0=bowl.F0,
    )
    meter = _Meter(setup, bowl.steps)
    for moment in run_chains(setup, bowl.steps, rng):
        meter.look(moment)
    cosines = [
        float(turn_cosines(bowl.n, float(nu), _TURNS, rng).mean()) for nu in np.asarray(setup.nu)
    ]
    return _study(bowl, params, {**meter.columns(), "cos_bounce": np.array(cosines)})


@dataclass
class _Meter:
    """Measures chains; see :class:`RunMeasurements`."""

    setup: ChainSetup
    steps: int
    _sums: dict[str, Array] = field(default_factory=dict)
    _first: Moment | None = None
    _largest: Array = field(default_factory=lambda: np.zeros(1))
    _hazards: Array = field(default_factory=lambda: np.zeros(1))

    def look(self, moment: Moment) -> None:
        """Add one step."""
        self._first = self._first or moment
        length: Array = np.linalg.norm(moment.moved, axis=1) / self.setup.lr
        self._largest = np.maximum(self._largest, length)
        self._hazards = self._hazards + (moment.unreachable | moment.held)
        tail = self.steps - round(TAIL_SHARE * self.steps)
        if moment.t < tail:
            return
        age = (moment.t - tail) / (self.steps - tail)
        there = ~moment.held
        gap = np.where(there, moment.loss - self.setup.F0, 1.0)
        work = np.einsum("bi,bi->b", moment.theta, moment.gradient)
        self._add("loss", moment.loss, there)
        self._add("virial", 0.5 * self.setup.eta * work / gap, there)
        self._add("w", potential_share(moment), there)
        self._add(f"log_gap_{1 + int(3 * age)}", np.log(gap), there)
        self._add(f"block_{int(BLOCKS * age)}", 1 / gap, there)

    def _add(self, name: str, value: Array, there: npt.NDArray[np.bool_]) -> None:
        total, count = self._sums.get(name, np.zeros(2)[:, None])
        self._sums[name] = np.array([total + np.where(there, value, 0.0), count + there])

    def columns(self) -> dict[str, Array]:
        """Return what was measured, one number per chain."""
        assert self._first is not None  # there was a step
        with np.errstate(invalid="ignore"):  # a chain that was held all the time has no mean
            means = {name: total / count for name, (total, count) in self._sums.items()}
        blocks = np.array([means.pop(f"block_{i}") for i in range(BLOCKS)])
        return {
            **{f"tail_{name}": mean for name, mean in means.items()},
            "tail_inverse_gap": blocks.mean(axis=0),
            "tail_inverse_gap_se": blocks.std(axis=0, ddof=1) / math.sqrt(BLOCKS),
            "log_energy": self._first.log_energy,
            "loss_init": self._first.loss,
            "max_step_over_lr": self._largest,
            "share_hazard": self._hazards / self.steps,
        }


def exact_search(
    bowl: Bowl,
    seed: int = 0,
    noise: float = 0.01,
    params: Sequence[Params] | None = None,
) -> StudyTrials:
    """Draw what a random search would measure, were all runs on their plateaus.

    Args:
        bowl: The search; needs F_min > F0.
        seed: Of parameters and errors.
        noise: Relative error of each measured mean.
        params: Of each trial, with η and ν√n; drawn by default.

    Returns:
        The study with its records.
    """
    rng = np.random.default_rng(seed)
    drawn = _columns(params) if params else _draw(bowl, rng)
    nu, depth = drawn["nu_sqrt_n"] / math.sqrt(bowl.n), bowl.F_min - bowl.F0
    basin = Basin(bowl.n, drawn["eta"], bowl.F_min, bowl.F0, 0.3, 20.0 + bowl.F_min, 0, 1.0)
    effective = np.asarray(effective_eta(drawn["eta"], bowl.n, nu, bowl.integrator))

    def err() -> Array:
        return np.exp(noise * rng.standard_normal(bowl.trials))

    gap = basin.plateau_gap(nu, bowl.integrator) * err()
    measured = {
        "tail_loss": bowl.F_min + gap,
        "tail_inverse_gap": (1 - 1 / effective) / depth * err(),
        "tail_inverse_gap_se": noise * (1 - 1 / effective) / depth,
        "tail_virial": drawn["eta"] / effective * err(),
        "tail_w": np.exp(-basin.log_energy),
        **{f"tail_log_gap_{i}": np.log(gap + depth) + 0.01 * i for i in (1, 2, 3)},
        "log_energy": np.asarray(basin.log_energy),
        "loss_init": np.full(bowl.trials, 20.0 + bowl.F_min),
        "max_step_over_lr": np.full(bowl.trials, 0.9),
        "share_hazard": np.zeros(bowl.trials),
        "cos_bounce": np.asarray(bounce_cosine(bowl.n, nu)) * err(),
    }
    return _study(bowl, drawn, measured)


def _study(bowl: Bowl, params: Mapping[str, Array], seen: Mapping[str, Array]) -> StudyTrials:
    spec = search_spec(bowl)
    return StudyTrials(spec, OPTIMIZER, tuple(_records(bowl, spec, params, seen)))


def _records(
    bowl: Bowl, spec: StudySpec, params: Mapping[str, Array], seen: Mapping[str, Array]
) -> Iterator[TrialRecord]:
    common: dict[str, Any] = {
        "n": bowl.n,
        "steps": bowl.steps,
        "F0": bowl.F0,
        "s": 0,
        "delta_energy": 1.0,
        "weight_decay": 0.0,
        "conserve_energy": 1,
        "sync": int(bowl.integrator == "sync"),
    }
    key: StudyKey = spec.key(OPTIMIZER)
    for number in range(bowl.trials):
        own: dict[str, Any] = {name: float(column[number]) for name, column in seen.items()}
        searched: dict[str, Scalar] = {k: v[number].item() for k, v in params.items()}
        finite = all(map(math.isfinite, own.values()))
        metrics = RunMeasurements(**common, **own).to_metrics() if finite else {}
        metrics["resolved_nu"] = float(searched["nu_sqrt_n"]) / math.sqrt(bowl.n)
        # A chain without a mean was held because the gap is 0 up to rounding: it is at the minimum.
        value = own["tail_loss"] if finite else bowl.F_min
        yield TrialRecord(key, number, TrialState.COMPLETE, value, searched, metrics=metrics)


def take(data: StudyTrials, chosen: Iterable[int], **options: Scalar) -> StudyTrials:
    """Return a study of some of the trials.

    Args:
        data: All trials.
        chosen: Their places.
        **options: Options of the check in the study file.

    Returns:
        The smaller study.
    """
    return replace(data, records=[data.records[i] for i in chosen], options=options)
