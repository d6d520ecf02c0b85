"""``[pruning]``: ending trials of the search that are behind the others."""

from __future__ import annotations

from typing import Any, Literal, Self

from pydantic import Field, model_validator

from ecd_tune.spec._table import SpecModel

__all__ = ["PruningSpec"]

_RUNGS = frozenset({"least_epochs", "reduction", "resume"})
_KEYS = {
    "none": frozenset[str](),
    "median": frozenset({"startup_trials", "warmup", "interval", "least_trials"}),
    "successive_halving": _RUNGS,
    "hyperband": _RUNGS,
}


class PruningSpec(SpecModel):
    """``[pruning]``: one of Optuna's pruners, on the metric after each evaluated epoch.

    Confirmation runs are never pruned.

    Attributes:
        kind: ``none``; ``median``: a trial ends when its best value so far is worse than the
            median of the others at the same epoch; ``successive_halving``: at each rung, an epoch,
            only the best continue; ``hyperband``: trials are dealt to brackets of successive
            halving whose first rungs lie at different epochs.
        startup_trials: ``median``: finished trials before the first is pruned.
        warmup: ``median``: epochs during which nothing is pruned.
        interval: ``median``: epochs between two looks.
        least_trials: ``median``: minimum number of values at an epoch for a median.
        least_epochs: With rungs: epochs that each trial gets at least.
        reduction: With rungs: one of so many trials continues at each of them.
        resume: With rungs: a trial that does not continue is paused, and continues from its
            checkpoint once it is among the best (:mod:`ecd_tune.spec.rungs`); otherwise it ends
            for good, as Optuna's pruners end it.
    """

    kind: Literal["none", "median", "successive_halving", "hyperband"] = "none"
    startup_trials: int = Field(default=5, ge=0)
    warmup: int = Field(default=0, ge=0)
    interval: int = Field(default=1, ge=1)
    least_trials: int = Field(default=1, ge=1)
    least_epochs: int = Field(default=1, ge=1)
    reduction: int = Field(default=3, ge=2)
    resume: bool = False

    @model_validator(mode="after")
    def _check_keys(self) -> Self:
        strange = sorted(self.model_fields_set - {"kind"} - _KEYS[self.kind])
        if strange:
            allowed = ", ".join(sorted(_KEYS[self.kind])) or "nothing else"
            raise ValueError(
                f"kind = {self.kind!r} does not accept {', '.join(strange)}; allowed: {allowed}"
            )
        return self

    def identity(self) -> dict[str, Any]:
        """Return the keys that count for this kind; none where nothing is pruned."""
        if self.kind == "none":
            return {}
        found = self.model_dump(include={"kind", *_KEYS[self.kind]})
        if not self.resume:
            found.pop("resume", None)  # came later; studies from before it continue
        return found
