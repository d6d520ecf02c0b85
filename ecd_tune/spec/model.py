"""The model of a study: one task, optimizers with their spaces, a budget, and a confirmation.

The model is checked twice: pydantic checks keys and types, :mod:`ecd_tune.spec.load` checks
what needs the registries (names of tasks, optimizers, hyperparameters and options).
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal, Self

from pydantic import Field, model_validator

from ecd_tune.records import Params, Scalar, Stage, StudyKey
from ecd_tune.references import is_reference, short_reference
from ecd_tune.registry import TASKS, TaskDef
from ecd_tune.spec._table import SpecModel
from ecd_tune.spec.auto import choose_sampler
from ecd_tune.spec.checkpoints import CheckpointSpec
from ecd_tune.spec.checks import Checks, CheckSpec
from ecd_tune.spec.cost import CostSpec
from ecd_tune.spec.identity import fingerprint_of
from ecd_tune.spec.launch import LaunchSpec
from ecd_tune.spec.parts import (
    MOST_TRIALS,
    Budget,
    Confirmation,
    Name,
    OptimizerSpec,
    Retries,
    SamplerSpec,
    TaskSpec,
)
from ecd_tune.spec.pruning import PruningSpec
from ecd_tune.spec.searches import (
    MOST_SEARCHES,
    SearchSpec,
    SelectionSpec,
    number_of,
    search_key,
)
from ecd_tune.spec.training import TrainingSpec, meaning

__all__ = ["StudySpec"]

_SEED_STRIDE = 1_000_000
_SEARCH_STRIDE = MOST_TRIALS // MOST_SEARCHES
"""Seeds that each search of an optimizer has for its own, and likewise its confirmation."""


class StudySpec(SpecModel):
    """A complete study, as in its file.

    Attributes:
        name: Name of the study; at most 100 letters, digits, ``-``, ``_`` and ``.``.
        title: One line for reports.
        summary: Purpose of the study, in prose.
        protocol: ``paper`` selects as the paper did, ``clean`` on a validation split.
        seed: Every random number of the study follows from it.
        task: Task and options.
        budget: Trials and their length.
        sampler: How trials are chosen.
        search: How often each optimizer is searched.
        selection: How the best trial of a search is chosen.
        confirmation: How the best are confirmed.
        retries: How often a trial without a value is tried again.
        training: How learning tasks are trained.
        cost: Settings for energy and carbon.
        checkpoints: Where unfinished runs are kept.
        launch: Where and how many workers are started.
        pruning: Which trials of the search end early.
        checks: Checks of the theory on the trials.
        optimizers: Key to optimizer and space, in the order of the file.
        smoke: Not empty in a smoke run: the substitute data, for the report's first lines.
    """

    name: Name
    title: str = ""
    summary: str = ""
    protocol: Literal["paper", "clean"] = "clean"
    seed: int = Field(default=0, ge=0, le=1_000_000_000)
    task: TaskSpec
    budget: Budget
    sampler: SamplerSpec = SamplerSpec()
    search: SearchSpec = SearchSpec()
    selection: SelectionSpec = SelectionSpec()
    confirmation: Confirmation = Confirmation()
    training: TrainingSpec = TrainingSpec()
    cost: CostSpec = CostSpec()
    checkpoints: CheckpointSpec = CheckpointSpec()
    launch: LaunchSpec = LaunchSpec()
    pruning: PruningSpec = PruningSpec()
    checks: Checks = ()
    smoke: str = ""
    retries: Retries = Retries()
    optimizers: dict[Name, OptimizerSpec] = Field(min_length=1)

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

    @property
    def learns(self) -> bool:
        """Whether the task learns from data, and so has splits."""
        return self.task_def.confirm_metric != "value" or self.task_def.budget_unit == "epochs"

    @property
    def oracle(self) -> bool:
        """Whether every number is a maximum on the split that is also reported."""
        return self.learns and self.protocol == "paper"

    @property
    def metric(self) -> str:
        """Description of a trial's value."""
        if self.learns and self.training.averaging is not None:
            name = self.task_def.confirm_metric.removeprefix("test_").replace("_", " ")
            return f"best {'test' if self.oracle else 'validation'} {name} of averaged weights"
        if not self.oracle:
            return self.task_def.metric
        return f"best {self.task_def.confirm_metric.replace('_', ' ')} over the epochs"

    @property
    def measure(self) -> bool:
        """Whether runs are measured, because a check needs the measurements."""
        return any(check.definition.measured for check in self.checks)

    def checks_of(self, optimizer: str) -> tuple[CheckSpec, ...]:
        """Return the checks of one optimizer's trials, each with its key."""
        return tuple(
            check.model_copy(update={"optimizer": optimizer})
            for check in self.checks
            if check.applies_to(optimizer, self.optimizers[optimizer])
        )

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

    def timeout(self, stage: Stage) -> float | None:
        """Return the seconds that a run in a stage may take: more where it is longer."""
        if self.budget.timeout is None:
            return None
        return self.budget.timeout * self.steps(stage) / self.budget.steps

    def trials(self, optimizer: str) -> int:
        """Return how many finished trials the search of one optimizer is to have.

        An optimizer of which nothing is searched has one: there is one point.
        """
        if not self.optimizers[optimizer].space.searched:
            return 1
        if self.sampler.name == "grid":
            points = self.optimizers[optimizer].space.grid_size()
            return min(points, self.budget.trials or points)
        assert self.budget.trials is not None  # checked when the file is loaded
        return self.budget.trials

    def runs(self, optimizer: str, stage: Stage) -> int:
        """Return how many runs one search of an optimizer is to have in a stage."""
        trials, runs = self.trials(optimizer), self.confirmation.runs
        if stage is Stage.SEARCH:
            return trials
        if stage is Stage.SELECT:
            again = min(self.selection.top, trials)
            return again * self.selection.runs if again > 1 else 0
        references = self.optimizers[optimizer].references if self.confirmation.references else ()
        return runs * (1 + len(references))

    def training_for(self, optimizer: str, params: Params | None = None) -> TrainingSpec:
        """Return ``[training]`` with the changes of one optimizer and its searched values."""
        changes = self.optimizers[optimizer].training
        training = TrainingSpec.model_validate({**self.training.model_dump(), **changes})
        return training.resolved(self.oracle).with_searched(params or {})

    def key(self, optimizer: str, stage: Stage = Stage.SEARCH) -> StudyKey:
        """Return the name under which one optimizer's trials are stored."""
        return StudyKey(self.name, optimizer, stage)

    @property
    def stages(self) -> tuple[Stage, ...]:
        """The stages that the study has."""
        return tuple(s for s in Stage if s is not Stage.SELECT or self.selection.top)

    def searches(self, optimizer: str) -> tuple[str, ...]:
        """Return the keys of an optimizer's searches."""
        return tuple(search_key(optimizer, n + 1) for n in range(self.search.repeats))

    def by_search(self) -> Self:
        """Return a copy in which each search is a separate optimizer.

        Worker and store use only this form; ``optimizers`` contains the searches' keys.
        """
        if self.search.repeats == 1:
            return self
        expanded = {
            key: spec if key == optimizer else _name_search(spec, key)
            for optimizer, spec in self.optimizers.items()
            for key in self.searches(optimizer)
        }
        once = self.search.model_copy(update={"repeats": 1})
        return self.model_copy(update={"optimizers": expanded, "search": once})

    def search_seed(self, number: int, key: str = "") -> int:
        """Return the seed of a trial of a search, the same for every optimizer.

        Args:
            number: Of the trial.
            key: Of the search; the first where not given.
        """
        return self.seed * _SEED_STRIDE + _first_seed(key) + number

    def confirm_seed(self, run: int, key: str = "") -> int:
        """Return the seed of a confirmation run; never one that a search used.

        Args:
            run: From 0.
            key: Of the search whose best is confirmed; the first where not given.
        """
        return self.seed * _SEED_STRIDE + MOST_TRIALS + _first_seed(key) + run

    def select_seed(self, run: int, key: str = "") -> int:
        """Return the seed of a selection run; never one of a search or a confirmation.

        Args:
            run: From 0.
            key: Of the search; the first where not given.
        """
        return self.confirm_seed(_SEARCH_STRIDE - 1 - run, key)

    def with_overrides(
        self,
        *,
        trials: int | None = None,
        seed: int | None = None,
        optimizers: tuple[str, ...] | None = None,
    ) -> Self:
        """Return a copy with the changes of the command line."""
        changes: dict[str, Any] = {}
        if trials is not None:
            changes["budget"] = self.budget.model_copy(update={"trials": trials})
            if self.sampler.why:
                changes["sampler"] = choose_sampler(self.model_copy(update=changes))
        if seed is not None:
            changes["seed"] = seed
        if optimizers is not None:
            changes["optimizers"] = {key: self.optimizers[key] for key in optimizers}
            changes["checks"] = tuple(
                check for check in self.checks if check.optimizer in (None, *optimizers)
            )
        return self.model_copy(update=changes)

    def identity(self, optimizer: str) -> dict[str, Any]:
        """Return all that decides what a trial of ``optimizer`` means, as plain values.

        Texts, references, costs, retries, checkpoints, launch, checks, device, disk limits, the
        time limit of a trial, the selection, the number of searches, of trials and of confirmation
        runs are left out: changing them continues with the same trials.
        """
        data = self.model_dump(
            mode="json",
            exclude={
                "title": True,
                "summary": True,
                "optimizers": True,
                "checkpoints": True,
                "checks": True,
                "cost": True,
                "launch": True,
                "retries": True,
                "training": True,
                "pruning": True,
                "search": True,
                "selection": True,
                "budget": {"trials", "timeout"},
                "confirmation": {"runs", "references", "margin"},
            },
        )
        own = self.optimizers[optimizer].model_dump(mode="json", exclude={"title", "references"})
        own["training"] = meaning(own["training"])
        if not own["first"]:
            del own["first"]  # added later; older studies continue
        pruning, search = self.pruning.identity(), self.search.identity()
        return {
            **data,
            "training": self.training.identity(),
            **({"pruning": pruning} if pruning else {}),
            **({"search": search} if search else {}),
            "optimizer": own,
            "task": _task_identity(self),
        }

    def fingerprint(self, optimizer: str) -> str:
        """Return the SHA-256 (64 hex digits) of :meth:`identity`."""
        return fingerprint_of(self.identity(optimizer))


def _first_seed(key: str) -> int:
    # Depends only on its number, so that further searches do not change the seeds of the first
    # ones.
    return (number_of(key) - 1) * _SEARCH_STRIDE


def _name_search(spec: OptimizerSpec, key: str) -> OptimizerSpec:
    title = spec.title or spec.definition.title
    return spec.model_copy(update={"title": f"{title}, search {number_of(key)}"})


def _task_identity(spec: StudySpec) -> Mapping[str, Any]:
    # With the defaults spelled out, a later change of a default is seen as a difference.
    own, options = spec.task_def, spec.task_options(Stage.SEARCH)
    if not is_reference(spec.task.name):
        return {"name": spec.task.name, **options}
    # Without the folder, which differs from machine to machine.
    objective = {"metric": own.metric, "direction": own.direction.value}
    return {"name": short_reference(spec.task.name), **options, **objective}
