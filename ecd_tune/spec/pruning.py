"""``[pruning]``: ending trials of the search that are behind the others."""

from __future__ import annotations

from typing import Any, Literal, Self

from pydantic import Field, model_validator

from ecd_tune.spec._table import SpecModel

__all__ = ["PruningSpec"]

_KEYS = {
    "none": frozenset[str](),
    "median": frozenset({"startup_trials", "warmup", "interval", "least_trials"}),
    "hyperband": frozenset({"least_epochs", "reduction"}),
}


class PruningSpec(SpecModel):
    """``[pruning]``: one of Optuna's pruners, on the metric after each evaluated epoch.

    Confirmation runs are never pruned.

    Attributes:
        kind: ``none``; ``median``: a trial ends when its best value so far is worse than the
            median of the others at the same epoch; ``hyperband``: trials are dealt to brackets
            of successive halving.
        startup_trials: ``median``: finished trials before the first is pruned.
        warmup: ``median``: epochs during which nothing is pruned.
        interval: ``median``: epochs between two looks.
        least_trials: ``median``: minimum number of values at an epoch for a median.
        least_epochs: ``hyperband``: epochs that each trial gets at least.
        reduction: ``hyperband``: one of so many trials continues at each rung.
    """

    kind: Literal["none", "median", "hyperband"] = "none"
    startup_trials: int = Field(default=5, ge=0)
    warmup: int = Field(default=0, ge=0)
    interval: int = Field(default=1, ge=1)
    least_trials: int = Field(default=1, ge=1)
    least_epochs: int = Field(default=1, ge=1)
    reduction: int = Field(default=3, ge=2)

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
        return self.model_dump(include={"kind", *_KEYS[self.kind]})
