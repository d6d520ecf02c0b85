"""Quantities to search in place of a hyperparameter.

ν√n sets the angle of a bounce for any number n of parameters, and 1 − β spans decades where β does
not: such a quantity has a meaningful range, and the optimizer's hyperparameter is derived from it
when a trial runs and n is known. A trial keeps what was searched among its parameters, and what the
optimizer was given as the metric ``resolved_NAME``.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass

from ecd_tune.records import Params, Scalar
from ecd_tune.registry import Hyperparameter

__all__ = ["DERIVED", "RESOLVED", "Derived", "mean_rotation", "resolve", "searchable"]

RESOLVED = "resolved_"
"""Prefix of the metric with the resolved value of a derived quantity."""


@dataclass(frozen=True)
class Derived:
    """A quantity from which one hyperparameter is derived.

    Attributes:
        target: The hyperparameter.
        words: How it follows, for reports.
        declared: Allowed values of the quantity.
        formula: ``(value, hyperparameters, n)`` to the hyperparameter's value; the
            hyperparameters are those that are known by then, defaults included.
        reads: Other hyperparameters whose numbers the formula needs.
        requires: Hyperparameters that the optimizer must have too, for the target to mean what the
            formula takes it for.
    """

    target: str
    words: str
    declared: Hyperparameter
    formula: Callable[[float, Params, int], float]
    reads: tuple[str, ...] = ()
    requires: tuple[str, ...] = ()


def mean_rotation(nu: float, n: int) -> float:
    """Return λ, the mean cosine between a direction before and after a bounce (eq. 23).

    To second order in 1/n; the relative error is below 0.18/n².

    Args:
        nu: Chaos strength ν.
        n: Number of parameters.

    Returns:
        λ, in (0, 1].
    """
    q = nu * nu * n
    return (1 + q * (2 - q) / (4 * n * (1 + q) ** 2)) / math.sqrt(1 + q)


def _eta_of_effective(value: float, params: Params, n: int) -> float:
    if params.get("integrator", "algorithm1") != "algorithm1":
        return max(1.0, value)
    rotation = mean_rotation(float(params.get("nu", 0.0)), n)
    # η cannot be below 1; the record shows the resolved value.
    return max(1.0, value * (1 + rotation) / 2 / (1 - (1 - rotation) / n))


def _one_minus(name: str, symbol: str) -> Derived:
    doc = f"1 − {symbol}, in place of {name}"
    declared = Hyperparameter(float, doc, low=0.0, high=1.0, low_open=True)
    words = f"1 − one_minus_{name}"
    return Derived(name, words, declared, lambda value, params, n: 1.0 - value)


_ECDSEP = ("s",)
"""ECD at unit speed has an η and a ν too; its ν is ν√n already, and its bias another."""

DERIVED: Mapping[str, Derived] = {
    "nu_sqrt_n": Derived(
        "nu",
        "nu_sqrt_n / √n",
        Hyperparameter(float, "ν√n for n parameters, in place of nu", low=0.0),
        lambda value, params, n: value / math.sqrt(n),
        requires=_ECDSEP,
    ),
    # After ν, on which it depends.
    "eta_eff": Derived(
        "eta",
        "eta_eff (1 + λ) / 2 / (1 − (1 − λ) / n), at least 1",
        Hyperparameter(
            float, "η_eff, exponent of the law that Algorithm 1 samples, in place of eta", low=1.0
        ),
        _eta_of_effective,
        reads=("nu",),
        requires=_ECDSEP,
    ),
    "one_minus_momentum": _one_minus("momentum", "β"),
    "one_minus_beta1": _one_minus("beta1", "β1"),
    "one_minus_beta2": _one_minus("beta2", "β2"),
}
"""The derived quantities by name."""


def searchable(declared: Mapping[str, Hyperparameter]) -> dict[str, Hyperparameter]:
    """Return all that a space of an optimizer may name.

    Args:
        declared: The optimizer's hyperparameters.

    Returns:
        The hyperparameters, and the quantities from which one of them is derived.
    """
    fitting = {
        name: derived.declared
        for name, derived in DERIVED.items()
        if derived.target in declared
        and declared[derived.target].kind is float
        and all(other in declared for other in derived.requires)
    }
    return {**fitting, **declared}


def resolve(params: Params, n: int, declared: Mapping[str, Hyperparameter]) -> dict[str, Scalar]:
    """Replace derived quantities by their hyperparameters.

    Args:
        params: The searched values.
        n: Number of parameters of the network.
        declared: The optimizer's hyperparameters.

    Returns:
        The optimizer's hyperparameters, in the same order.
    """
    used = {name: DERIVED[name] for name in _derived_in(params, declared)}
    known: dict[str, Scalar] = {k: h.default for k, h in declared.items() if h.default is not None}
    known |= {name: value for name, value in params.items() if name not in used}
    for name, derived in used.items():
        known[derived.target] = derived.formula(float(params[name]), known, n)
    targets = [used[name].target if name in used else name for name in params]
    return {target: known[target] for target in targets}


def _derived_in(params: Params, declared: Mapping[str, Hyperparameter]) -> Iterable[str]:
    return (name for name in DERIVED if name in params and name not in declared)
