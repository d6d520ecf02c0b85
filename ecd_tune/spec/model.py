"""What a study is: one task, some optimizers with their spaces, a budget, and how to confirm.

The model is checked twice: pydantic checks keys and types, :mod:`ecd_tune.spec.load` checks
what needs the registries (names of tasks, optimizers, hyperparameters and options).
"""

from __future__ import annotations

import dataclasses
import hashlib
import json
from collections.abc import Mapping
from typing import Annotated, Any, Literal, Self

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, PlainSerializer, model_validator

from ecd_tune.records import Scalar, Stage, StudyKey
from ecd_tune.registry import OPTIMIZERS, TASKS, OptimizerDef, TaskDef
from ecd_tune.space import Space, parse_space

__all__ = [
    "Budget",
    "Confirmation",
    "OptimizerSpec",
    "Reference",
    "Retries",
    "SamplerSpec",
    "StudySpec",
]

_CONFIRM_SEED_OFFSET = 500_000
_SEED_STRIDE = 1_000_000

Value = bool | int | float | str
SamplerName = Literal["random", "tpe", "qmc", "gp", "cmaes", "grid"]


def _serialize_space(space: Space) -> dict[str, Any]:
    return {
        name: {"kind": type(d).__name__, **dataclasses.asdict(d)}
        for name, d in space.dimensions.items()
    }


SpaceField = Annotated[
    Space,
    BeforeValidator(lambda value: value if isinstance(value, Space) else parse_space(value)),
    PlainSerializer(_serialize_space),
]


class _Model(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, arbitrary_types_allowed=True)


class TaskSpec(_Model):
    """``[task]``: the task's name and the options that differ from its defaults."""

    model_config = ConfigDict(extra="allow", frozen=True)
    name: str

    @property
    def options(self) -> dict[str, Value]:
        """The options given, without defaults."""
        return dict(self.__pydantic_extra__ or {})


class Budget(_Model):
    """``[budget]``: how much one optimizer may use in the search.

    Attributes:
        trials: Finished trials per optimizer. For a grid: the number of its points.
        steps: Length of one trial, in the task's unit (iterations or epochs).
        batch: Trials that one worker asks for and runs at once; more than one only helps where
            the task runs whole batches.
    """

    trials: int | None = Field(default=None, ge=1, le=_CONFIRM_SEED_OFFSET)
    steps: int = Field(ge=1)
    batch: int = Field(default=1, ge=1, le=10_000)


class SamplerSpec(_Model):
    """``[sampler]``: one of Optuna's samplers by name, and its options.

    Attributes:
        name: random, tpe, qmc, gp, cmaes or grid.
    """

    model_config = ConfigDict(extra="allow", frozen=True)
    name: SamplerName = "tpe"

    @property
    def options(self) -> dict[str, Value]:
        """Keyword arguments for Optuna's sampler."""
        return dict(self.__pydantic_extra__ or {})


class Confirmation(_Model):
    """``[confirmation]``: reruns of the best hyperparameters under fresh seeds.

    Attributes:
        runs: Number of runs, each with its own seed; 0 turns the confirmation off.
        steps: Length of one run; the search's when not given.
        references: Run the study file's reference hyperparameters under the same seeds too.
        task: Task options that differ from the search's, for example a random start.
    """

    runs: int = Field(default=10, ge=0, le=_CONFIRM_SEED_OFFSET)
    steps: int | None = Field(default=None, ge=1)
    references: bool = True
    task: dict[str, Value] = Field(default_factory=dict)


class Retries(_Model):
    """``[retries]``: how often a trial without a value is tried again, by cause.

    An attempt that is tried again does not count against the budget; the last one does. Trials
    that a worker gives back on a signal are always tried again and not counted here.

    Attributes:
        lost: The worker was killed, or was not heard of in time.
        out_of_memory: The trial ran out of memory.
        non_finite: Not even the first loss was finite.
        exception: Any other exception.
        stop_worker_after: Trials that end in a row with the same exception before the worker
            stops: what fails every time is no property of a trial.
    """

    lost: int = Field(default=3, ge=0, le=1000)
    out_of_memory: int = Field(default=0, ge=0, le=1000)
    non_finite: int = Field(default=0, ge=0, le=1000)
    exception: int = Field(default=0, ge=0, le=1000)
    stop_worker_after: int = Field(default=10, ge=1)

    def counts(self) -> dict[str, int]:
        """Return cause to extra attempts."""
        return self.model_dump(exclude={"stop_worker_after"})


class Reference(_Model):
    """``[[optimizers.NAME.references]]``: published hyperparameters to run beside ours.

    Attributes:
        label: Short name, unique in its optimizer, for example ``paper``.
        params: Full hyperparameters.
        note: Where they come from.
    """

    label: str = Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9_.-]*$")
    params: dict[str, Value]
    note: str = ""


class OptimizerSpec(_Model):
    """``[optimizers.NAME]``: an optimizer and its search space.

    Attributes:
        optimizer: Registry name; the key itself when not given.
        title: As the report prints it; the optimizer's own title when not given.
        space: Hyperparameter to dimension; what is not named keeps the optimizer's default.
        references: Published hyperparameters.
    """

    optimizer: str
    title: str = ""
    space: SpaceField
    references: tuple[Reference, ...] = ()

    @property
    def definition(self) -> OptimizerDef:
        """The registered optimizer."""
        return OPTIMIZERS.get(self.optimizer)


class StudySpec(_Model):
    """A whole study, as its file says.

    Attributes:
        name: Name of the study; letters, digits, ``-``, ``_`` and ``.``.
        title: One line for reports.
        summary: What the study is for, in prose.
        protocol: ``paper`` selects as the paper did, ``clean`` on a validation split.
        seed: Every random number of the study follows from it.
        task: Task and options.
        budget: Trials and their length.
        sampler: How trials are chosen.
        confirmation: How the best are confirmed.
        retries: How often a trial without a value is tried again.
        optimizers: Key to optimizer and space, in the order of the file.
    """

    name: str = Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9_.-]*$")
    title: str = ""
    summary: str = ""
    protocol: Literal["paper", "clean"] = "clean"
    seed: int = Field(default=0, ge=0, le=1_000_000_000)
    task: TaskSpec
    budget: Budget
    sampler: SamplerSpec = SamplerSpec()
    confirmation: Confirmation = Confirmation()
    retries: Retries = Retries()
    optimizers: dict[
        Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9_.-]*$")], OptimizerSpec
    ] = Field(min_length=1)

    @model_validator(mode="before")
    @classmethod
    def _name_optimizers(cls, data: Any) -> Any:
        optimizers = data.get("optimizers") if isinstance(data, dict) else None
        if not isinstance(optimizers, dict):
            return data
        named = {
            key: {"optimizer": key, **value} if isinstance(value, dict) else value
            for key, value in optimizers.items()
        }
        return {**data, "optimizers": named}

    @property
    def task_def(self) -> TaskDef:
        """The registered task."""
        return TASKS.get(self.task.name)

    def task_options(self, stage: Stage) -> dict[str, Scalar]:
        """Return the task's full options for a stage, defaults filled in."""
        options = {name: option.default for name, option in self.task_def.options.items()}
        options.update(self.task.options)
        if stage is Stage.CONFIRM:
            options.update(self.confirmation.task)
        return options

    def steps(self, stage: Stage) -> int:
        """Return the length of one run in a stage."""
        if stage is Stage.CONFIRM and self.confirmation.steps is not None:
            return self.confirmation.steps
        return self.budget.steps

    def trials(self, optimizer: str) -> int:
        """Return how many finished trials the search of one optimizer is to have."""
        if self.sampler.name == "grid":
            points = sum(1 for _ in self.optimizers[optimizer].space.grid())
            return min(points, self.budget.trials or points)
        assert self.budget.trials is not None  # checked when the file is loaded
        return self.budget.trials

    def key(self, optimizer: str, stage: Stage = Stage.SEARCH) -> StudyKey:
        """Return the name under which one optimizer's trials are stored."""
        return StudyKey(self.name, optimizer, stage)

    def search_seed(self, number: int) -> int:
        """Return the seed of search trial ``number``, the same for every optimizer."""
        return self.seed * _SEED_STRIDE + number

    def confirm_seed(self, run: int) -> int:
        """Return the seed of confirmation run ``run``; never one that the search used."""
        return self.seed * _SEED_STRIDE + _CONFIRM_SEED_OFFSET + run

    def with_overrides(
        self,
        *,
        trials: int | None = None,
        seed: int | None = None,
        optimizers: tuple[str, ...] | None = None,
    ) -> Self:
        """Return a copy with what the command line changes."""
        changes: dict[str, Any] = {}
        if trials is not None:
            changes["budget"] = self.budget.model_copy(update={"trials": trials})
        if seed is not None:
            changes["seed"] = seed
        if optimizers is not None:
            changes["optimizers"] = {key: self.optimizers[key] for key in optimizers}
        return self.model_copy(update=changes)

    def identity(self, optimizer: str) -> dict[str, Any]:
        """Return all that decides what a trial of ``optimizer`` means, as plain values.

        Texts, retries, the number of trials and of confirmation runs are left out: changing
        them goes on with the same trials.
        """
        data = self.model_dump(
            mode="json",
            exclude={
                "title": True,
                "summary": True,
                "optimizers": True,
                "retries": True,
                "budget": {"trials"},
                "confirmation": {"runs", "references"},
            },
        )
        own = self.optimizers[optimizer].model_dump(mode="json", exclude={"title", "references"})
        return {**data, "optimizer": own, "task": _task_identity(self)}

    def fingerprint(self, optimizer: str) -> str:
        """Return the SHA-256 (64 hex digits) of :meth:`identity`."""
        text = json.dumps(self.identity(optimizer), sort_keys=True, separators=(",", ":"))
        return hashlib.sha256(text.encode()).hexdigest()


def _task_identity(spec: StudySpec) -> Mapping[str, Any]:
    # With the defaults spelled out, a later change of a default is seen as a difference.
    return {"name": spec.task.name, **spec.task_options(Stage.SEARCH)}
