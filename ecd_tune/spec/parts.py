"""The tables of a study file, one model each; :class:`ecd_tune.spec.model.StudySpec` joins them."""

from __future__ import annotations

import dataclasses
from typing import Annotated, Any, Literal, Self

from pydantic import (
    BeforeValidator,
    ConfigDict,
    Field,
    PlainSerializer,
    PrivateAttr,
    model_validator,
)

from ecd_tune.records import Params, Scalar
from ecd_tune.registry import OPTIMIZERS, Hyperparameter, OptimizerDef
from ecd_tune.space import Space, parse_space, resolve, searchable
from ecd_tune.spec._table import SpecModel
from ecd_tune.spec.training import SEARCHABLE_SCHEDULE

__all__ = [
    "MOST_TRIALS",
    "Budget",
    "Confirmation",
    "FirstTrial",
    "Name",
    "OptimizerSpec",
    "Reference",
    "Retries",
    "SamplerSpec",
    "TaskSpec",
]

MOST_TRIALS = 500_000
"""Search seeds end here, confirmation seeds begin."""

Name = Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9_.-]*$", max_length=100)]
"""Name of a study, an optimizer or a reference: valid in a column, a path and a URL."""

Value = bool | int | float | str
SamplerName = Literal["random", "tpe", "qmc", "gp", "cmaes", "grid", "auto"]


def _serialize_space(space: Space) -> dict[str, Any]:
    found = {
        name: {"kind": type(d).__name__, **dataclasses.asdict(d)}
        for name, d in space.dimensions.items()
    }
    for fields in found.values():
        for later in ("zero", "prior"):  # added later; older studies continue
            if fields.get(later, ...) is None:
                del fields[later]
    return found


SpaceField = Annotated[
    Space,
    BeforeValidator(lambda value: value if isinstance(value, Space) else parse_space(value)),
    PlainSerializer(_serialize_space),
]


class TaskSpec(SpecModel):
    """``[task]``: the task's name and the options that differ from its defaults."""

    model_config = ConfigDict(extra="allow", frozen=True)
    name: str

    @property
    def options(self) -> dict[str, Value]:
        """The options given, without defaults."""
        return dict(self.__pydantic_extra__ or {})


class Budget(SpecModel):
    """``[budget]``: the budget of one optimizer's search.

    Attributes:
        trials: Finished trials per optimizer. For a grid: the number of its points.
        steps: Length of one trial, in the task's unit (iterations or epochs).
        batch: Trials that one worker asks for and runs at once; more than one is useful only if
            the task supports it.
        timeout: Time limit of a trial in seconds; a longer one fails. No limit when not
            given.
    """

    trials: int | None = Field(default=None, ge=1, le=MOST_TRIALS)
    steps: int = Field(ge=1)
    batch: int = Field(default=1, ge=1, le=10_000)
    timeout: float | None = Field(default=None, gt=0, allow_inf_nan=False)


class SamplerSpec(SpecModel):
    """``[sampler]``: one of Optuna's samplers by name, and its options.

    Attributes:
        name: random, tpe, qmc, gp, cmaes or grid; auto until a study is loaded, which chooses one
            (:mod:`ecd_tune.spec.auto`).
    """

    model_config = ConfigDict(extra="allow", frozen=True)
    name: SamplerName = "tpe"
    _why: str = PrivateAttr("")

    @model_validator(mode="after")
    def _check_auto(self) -> Self:
        if self.name == "auto" and self.options:
            raise ValueError(
                f"'auto' takes no options, and there are {', '.join(self.options)}; name a sampler"
            )
        return self

    @property
    def why(self) -> str:
        """Reason for the choice of ``auto``; empty otherwise."""
        return self._why

    def chosen(self, why: str) -> Self:
        """Return a copy that ``auto`` has chosen.

        Args:
            why: The reason, in words; not part of the study's identity.
        """
        copy = self.model_copy()
        copy._why = why
        return copy

    @property
    def options(self) -> dict[str, Value]:
        """Keyword arguments for Optuna's sampler."""
        return dict(self.__pydantic_extra__ or {})


class Confirmation(SpecModel):
    """``[confirmation]``: repeated runs of the best hyperparameters with new seeds.

    Attributes:
        runs: Number of runs, each with its own seed; 0 turns the confirmation off.
        steps: Length of one run; the search's when not given.
        references: Run the study file's reference hyperparameters under the same seeds too.
        task: Task options that differ from the search's, for example a random start.
        margin: Difference of the confirmed number that is too small to matter, within which
            optimizers can be equivalent; a factor above 1 where values span decades and are
            compared by ratio. None: equivalence is not tested.
    """

    runs: int = Field(default=10, ge=0, le=MOST_TRIALS)
    steps: int | None = Field(default=None, ge=1)
    references: bool = True
    task: dict[str, Value] = Field(default_factory=dict)
    margin: float | None = Field(default=None, gt=0, allow_inf_nan=False)


class Retries(SpecModel):
    """``[retries]``: how often a trial without a value is tried again, by cause.

    An attempt that is tried again does not count against the budget; the last one does. Trials that
    a worker releases on a signal are always retried and not counted here.

    Attributes:
        lost: The worker was killed, or did not renew its lease.
        out_of_memory: The trial ran out of memory.
        timeout: It took longer than ``[budget] timeout``.
        non_finite: Not even the first loss was finite.
        exception: Any other exception.
        stop_worker_after: Number of consecutive trials with the same exception after which the
            worker stops: the cause is then not a single trial.
    """

    lost: int = Field(default=3, ge=0, le=1000)
    out_of_memory: int = Field(default=0, ge=0, le=1000)
    timeout: int = Field(default=0, ge=0, le=1000)
    non_finite: int = Field(default=0, ge=0, le=1000)
    exception: int = Field(default=0, ge=0, le=1000)
    stop_worker_after: int = Field(default=10, ge=1)

    def counts(self) -> dict[str, int]:
        """Return cause to extra attempts."""
        return self.model_dump(exclude={"stop_worker_after"})


class Reference(SpecModel):
    """``[[optimizers.NAME.references]]``: published hyperparameters to run in addition to ours.

    Attributes:
        label: Short name, unique in its optimizer, for example ``paper``.
        params: Full hyperparameters.
        note: Where they come from.
    """

    label: Name
    params: dict[str, Value]
    note: str = ""


class FirstTrial(SpecModel):
    """``[[optimizers.NAME.first]]``: a trial that runs before the sampler proposes any.

    Attributes:
        label: Short name, unique in its optimizer: the trial's source.
        params: Complete hyperparameters; they may be outside the space.
    """

    label: Name
    params: dict[str, Value]


class OptimizerSpec(SpecModel):
    """``[optimizers.NAME]``: an optimizer and its search space.

    Attributes:
        optimizer: Registry name; the key itself when not given.
        title: Title in reports; the optimizer's own title when not given.
        space: Hyperparameter to dimension; missing ones keep the optimizer's defaults.
        references: Published hyperparameters.
        first: Fixed first trials of the search; they count against the budget.
        training: Keys of ``[training]`` that differ for this optimizer.
    """

    optimizer: str
    title: str = ""
    training: dict[str, Any] = Field(default_factory=dict)
    space: SpaceField
    references: tuple[Reference, ...] = ()
    first: tuple[FirstTrial, ...] = ()

    @property
    def definition(self) -> OptimizerDef:
        """The registered optimizer."""
        return OPTIMIZERS.get(self.optimizer)

    @property
    def searchable(self) -> dict[str, Hyperparameter]:
        """All names allowed in ``space``: hyperparameters, derived quantities, the schedule.

        Hyperparameters by group are included as ``NAME.GROUP`` if the table uses them.
        """
        own = self.definition.hyperparameters
        given: tuple[Reference | FirstTrial, ...] = (*self.references, *self.first)
        named = {*self.space.dimensions, *(k for point in given for k in point.params)}
        bases = {name: own.get(name.partition(".")[0]) for name in named if "." in name}
        grouped = {name: base for name, base in bases.items() if base and base.by_group}
        return {**SEARCHABLE_SCHEDULE, **searchable(own), **grouped}

    def resolve(self, params: Params, n: int) -> dict[str, Scalar]:
        """Convert searched values to the optimizer's hyperparameters.

        Args:
            params: Values of the search space.
            n: Number of parameters of the network.

        Returns:
            Hyperparameters by name, without those of the schedule.
        """
        declared = self.definition.hyperparameters
        own = {
            name: value
            for name, value in self.space.resolve(params).items()
            if name in declared or name not in SEARCHABLE_SCHEDULE
        }
        return resolve(own, n, declared)
