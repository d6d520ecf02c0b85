"""Convert a study to plain values for :func:`ecd_tune.spec.load.parse_study`."""

from __future__ import annotations

from typing import Any

from ecd_tune.space import Choice, Dimension, Fixed, Float, Int, Prior, Space
from ecd_tune.spec.model import StudySpec

__all__ = ["study_table"]


def study_table(spec: StudySpec) -> dict[str, Any]:
    """Return the equivalent table of a study file.

    Args:
        spec: The study.

    Returns:
        Texts, numbers, booleans, lists and tables of them; what was not given is left out.
    """
    table = spec.model_dump(mode="json", exclude_unset=True, exclude={"optimizers"})
    optimizers = {
        key: {
            **optimizer.model_dump(mode="json", exclude_unset=True, exclude={"space"}),
            "space": _space_table(optimizer.space),
        }
        for key, optimizer in spec.optimizers.items()
    }
    return {**_without_none(table), "optimizers": _without_none(optimizers)}


def _without_none(value: Any) -> Any:
    # TOML has no None: omit the key.
    if isinstance(value, dict):
        return {key: _without_none(own) for key, own in value.items() if own is not None}
    return [_without_none(own) for own in value] if isinstance(value, list) else value


def _space_table(space: Space) -> dict[str, Any]:
    return {name: _dimension_table(dimension) for name, dimension in space.dimensions.items()}


def _dimension_table(dimension: Dimension) -> Any:
    when = {name: list(values) for name, values in dimension.when.items()}
    own: dict[str, Any] = {"when": when} if when else {}
    match dimension:
        case Fixed():
            return {"value": dimension.value, **own} if own else dimension.value
        case Choice():
            values = list(dimension.values)
            if dimension.prior is not None:
                own["prior"] = list(dimension.prior)
            return {"choices": values, **own} if own else values
        case Int():
            kind: dict[str, Any] = {"type": "int"}
        case Float():
            kind = {} if dimension.zero is None else {"zero": _zero_table(dimension)}
    if dimension.prior is not None:
        kind["prior"] = _prior_table(dimension.prior)
    return {"low": dimension.low, "high": dimension.high, "log": dimension.log, **kind, **own}


def _prior_table(prior: Prior) -> Any:
    if prior.spread is None:
        return prior.center
    return {"center": prior.center, "spread": prior.spread}


def _zero_table(dimension: Float) -> dict[str, Any]:
    assert dimension.zero is not None  # the caller has looked
    when = {name: list(values) for name, values in dimension.zero.when.items()}
    return {"below": dimension.zero.below, **({"when": when} if when else {})}
