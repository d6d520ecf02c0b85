"""``[training]``: how a learning task is trained, apart from the optimizer's hyperparameters."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any, Literal, Self, get_args

from pydantic import Field, model_validator

from ecd_tune.records import Params
from ecd_tune.registry import Hyperparameter
from ecd_tune.spec._table import SpecModel

__all__ = ["SEARCHABLE_SCHEDULE", "Averaging", "Schedule", "TrainingSpec", "meaning"]

ScheduleName = Literal["constant", "linear", "cosine", "step"]

SEARCHABLE_SCHEDULE: Mapping[str, Hyperparameter] = {
    "schedule": Hyperparameter(
        str, "the learning rate over the run", choices=get_args(ScheduleName)
    ),
    "schedule_warmup": Hyperparameter(
        float, "share of all steps for the warm-up of lr", low=0.0, high=1.0, high_open=True
    ),
    "schedule_final": Hyperparameter(
        float, "final factor of lr for linear and cosine", low=0.0, high=1.0
    ),
}
"""Further names in a search space: name, ``warmup`` and ``final`` of the schedule."""


class Schedule(SpecModel):
    """``[training.schedule]``: the learning rate over the run, as a factor of ``lr``.

    It acts on each parameter group's ``lr``, for every optimizer.

    Attributes:
        name: ``constant``, ``linear`` (to ``final``), ``cosine`` (to ``final``) or ``step``.
        warmup: Share of all steps over which the factor first rises from 0 to 1.
        final: Factor at the end of ``linear`` and ``cosine``.
        every: Epochs between two drops of ``step``.
        factor: Factor of ``step`` at each drop.
    """

    name: ScheduleName = "constant"
    warmup: float = Field(default=0.0, ge=0.0, lt=1.0)
    final: float = Field(default=0.0, ge=0.0, le=1.0)
    every: int = Field(default=30, ge=1)
    factor: float = Field(default=0.1, gt=0.0, le=1.0)


Epoch = Annotated[int, Field(ge=1)]


class Averaging(SpecModel):
    """``[training.averaging]``: evaluate the mean of several epochs' weights.

    Attributes:
        kind: ``swa``: a running mean from the epoch ``start`` on. ``post_hoc``: the last k epochs,
            with the best k on the evaluation split.
        start: ``swa``: first averaged epoch, or several, from which the evaluation split selects.
            ``post_hoc``: first epoch that may be averaged; by default half of the training.
        statistics: Running statistics of the mean's batch normalisation: ``renew`` (a pass over
            the training data) or ``average``. None: ``average`` for ``post_hoc`` under the
            paper's protocol, else ``renew``.
        every: ``swa``: epochs between two evaluations of the mean during training, for its curve;
            under the paper's protocol the selection is also from these. None: as often as single
            epochs under the paper's protocol, else never before the last epoch.
        max_gib: Largest size of the weights that ``post_hoc`` keeps on disk meanwhile, in GiB.
    """

    kind: Literal["swa", "post_hoc"]
    start: Epoch | Annotated[tuple[Epoch, ...], Field(min_length=1)] | None = None
    statistics: Literal["renew", "average"] | None = None
    every: int | None = Field(default=None, ge=1)
    max_gib: float = Field(default=20.0, gt=0.0)

    @model_validator(mode="after")
    def _check_start(self) -> Self:
        if self.kind == "swa" and self.start is None:
            raise ValueError("swa needs start, the first averaged epoch, such as 161")
        if self.kind == "post_hoc" and isinstance(self.start, tuple):
            raise ValueError("post_hoc tries all starts from a given one; give one number")
        if self.kind == "post_hoc" and self.every is not None:
            raise ValueError("post_hoc has no mean before the last epoch; every is only for swa")
        return self

    def starts(self, epochs: int) -> tuple[int, ...]:
        """Return the first epochs among which to choose.

        Args:
            epochs: Length of the run.

        Returns:
            Increasing epochs; for ``post_hoc`` all that may be the first.
        """
        if isinstance(self.start, tuple):
            return tuple(sorted(set(self.start)))
        if self.kind == "swa" and self.start is not None:
            return (self.start,)
        half = epochs - epochs // 2 + 1
        return tuple(range(min(self.start or half, epochs), epochs + 1))


class TrainingSpec(SpecModel):
    """``[training]``: the training loop's settings; tasks that count iterations have none.

    Attributes:
        clip: Largest norm of the gradient of one step, or None.
        eval_every: Epochs between two evaluations; the first and the last epoch always are.
        schedule: The learning rate over the run.
        precision: ``fp32``; ``tf32`` for float32 products of TF32 on a CUDA device, elsewhere
            ``fp32``; ``auto``, at present the same; or ``bf16`` for torch's autocast in forward
            passes.
        memory_format: ``contiguous``, or ``channels_last`` for images.
        compile: Compile the network with torch.compile.
        device: ``auto`` (a GPU where there is one), ``cpu``, ``cuda`` or ``cuda:N``.
        accumulate: Batches of the task whose gradients make one step.
        averaging: Weights of several epochs averaged, or None.
        second_forward: Pass each step's batch forward once more after it, as the paper's code does
            on Tiny ImageNet and ImageNet: running statistics move twice.
        diagnostics: Store the optimizer's diagnostics, epoch by epoch.
    """

    clip: float | None = Field(default=None, gt=0.0)
    eval_every: int = Field(default=1, ge=1)
    schedule: Schedule = Schedule()
    precision: Literal["auto", "fp32", "tf32", "bf16"] = "fp32"
    memory_format: Literal["contiguous", "channels_last"] = "contiguous"
    compile: bool = False
    device: str = Field(default="auto", pattern=r"^(auto|cpu|cuda(:[0-9]+)?)$")
    accumulate: int = Field(default=1, ge=1)
    averaging: Averaging | None = None
    second_forward: bool = False
    diagnostics: bool = False

    def identity(self) -> dict[str, Any]:
        """Return the values that determine a run, as plain values.

        Keys that were added later are omitted at their defaults, so that older studies continue.
        """
        later = {"precision", "memory_format", "compile"}
        later |= {"accumulate", "averaging", "second_forward"}
        data = meaning(self.model_dump(mode="json"))
        plain = type(self)().model_dump(mode="json")
        if self.averaging is not None and self.averaging.every is None:
            del data["averaging"]["every"]
        return {k: v for k, v in data.items() if k not in later or v != plain[k]}

    def resolved(self, oracle: bool) -> Self:
        """Return these settings with the averaging's statistics decided.

        Args:
            oracle: Whether the study follows the paper's protocol on a task that learns; the
                paper averages the statistics of ``post_hoc`` means.

        Returns:
            A changed copy, or this object where nothing is open.
        """
        averaging = self.averaging
        if averaging is None or averaging.statistics is not None:
            return self
        kind = "average" if oracle and averaging.kind == "post_hoc" else "renew"
        changed = averaging.model_copy(update={"statistics": kind})
        return self.model_copy(update={"averaging": changed})

    def with_searched(self, params: Params) -> Self:
        """Return these settings with the schedule of a search space.

        Args:
            params: Searched values; others than those of the schedule do not matter.

        Returns:
            A changed copy, or this object if nothing changes.
        """
        found: dict[str, Any] = {
            name.removeprefix("schedule_"): params[name]
            for name in SEARCHABLE_SCHEDULE
            if name in params
        }
        if not found:
            return self
        if "schedule" in found:
            found["name"] = found.pop("schedule")
        schedule = Schedule.model_validate({**self.schedule.model_dump(), **found})
        return self.model_copy(update={"schedule": schedule})


def meaning(table: Mapping[str, Any]) -> dict[str, Any]:
    """Remove the keys of ``[training]`` that change no run: device, disk limit, diagnostics.

    Args:
        table: The table as plain values; keys may be missing.

    Returns:
        The rest.
    """
    kept = {key: value for key, value in table.items() if key not in ("device", "diagnostics")}
    averaging = kept.get("averaging")
    if isinstance(averaging, Mapping):
        kept["averaging"] = {key: value for key, value in averaging.items() if key != "max_gib"}
    return kept
