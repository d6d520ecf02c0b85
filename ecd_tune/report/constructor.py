"""A call that constructs an optimizer, ready to paste.

torch's optimizers are called by torch's own names, with every value spelled out, because a
study's defaults (GDM has a momentum of 0.9) need not be torch's. Our own take their
hyperparameters by the names that studies use.
"""

from __future__ import annotations

from collections.abc import Mapping

from ecd_tune.records import Scalar
from ecd_tune.registry import OPTIMIZERS

__all__ = ["render_constructor"]

_OWN = {
    "ecdsep": "ECDSep",
    "ecdsep_f0": "ECDSepF0",
    "bbi": "BBI",
    "ecdq1": "ECDq1",
    "ecd_auto": "auto",
}
_TORCH = {"sgd": "SGD", "gdm": "SGD", "adam": "Adam", "adamw": "AdamW"}
_LINE = 88


def render_constructor(name: str, params: Mapping[str, Scalar]) -> str:
    """Write the call.

    Args:
        name: Registry name of the optimizer.
        params: Hyperparameters by name.

    Returns:
        An import and an assignment to ``optimizer``; ``model`` is the reader's.
    """
    if name in _OWN:
        call = _call(_OWN[name], "model.parameters()", _items(params))
        return f"from ecd_tune.optim import {_OWN[name]}\n\noptimizer = {call}"
    if name in _TORCH:
        call = _call(
            f"torch.optim.{_TORCH[name]}", "model.parameters()", _torch_items(name, params)
        )
        return f"import torch\n\noptimizer = {call}"
    return _render_factory(name, params)


def _items(params: Mapping[str, Scalar]) -> list[str]:
    return [f"{key}={_literal(value)}" for key, value in params.items()]


def _literal(value: Scalar) -> str:
    # float() because numpy's floats, which are Python's too, print their type.
    return repr(float(value)) if isinstance(value, float) else repr(value)


def _torch_items(name: str, params: Mapping[str, Scalar]) -> list[str]:
    declared = OPTIMIZERS.get(name).hyperparameters
    defaults = {key: h.default for key, h in declared.items() if h.default is not None}
    full = {**defaults, **params}
    items = []
    for key, value in full.items():
        if key == "beta1":
            items.append(f"betas=({_literal(value)}, {_literal(full['beta2'])})")
        elif key != "beta2":
            items.append(f"{key}={_literal(value)}")
    return items


def _call(function: str, first: str, items: list[str]) -> str:
    line = f"{function}({', '.join([first, *items])})"
    if len("optimizer = ") + len(line) <= _LINE:
        return line
    return f"{function}(\n    " + ",\n    ".join([first, *items]) + ",\n)"


def _render_factory(name: str, params: Mapping[str, Scalar]) -> str:
    module, _, attribute = OPTIMIZERS.get(name).factory.partition(":")
    call = _call(attribute, "model.parameters()", ["seed=0", *_items(params)])
    return f"from {module} import {attribute}\n\noptimizer = {call}"
