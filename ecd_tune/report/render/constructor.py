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
        An import and an assignment to ``optimizer``; ``model`` is the reader's, and where a
        group has values of its own so are the lists of parameters that have its name, and
        ``others``.
    """
    common = {key: value for key, value in params.items() if "." not in key}
    grouped = {key: value for key, value in params.items() if "." in key}
    first = _groups(grouped) if grouped else "model.parameters()"
    if name in _OWN:
        call = _call(_OWN[name], first, _items(common))
        return f"from ecd_tune.optim import {_OWN[name]}\n\noptimizer = {call}"
    # torch's SGD has no scale.
    if name in _TORCH and not grouped and common.get("scale", 1.0) == 1.0:
        call = _call(f"torch.optim.{_TORCH[name]}", first, _torch_items(name, common))
        return f"import torch\n\noptimizer = {call}"
    return _render_factory(name, first, common)


def _groups(grouped: Mapping[str, Scalar]) -> str:
    own: dict[str, list[str]] = {}
    for key, value in grouped.items():
        name, _, group = key.partition(".")
        own.setdefault(group, []).append(f'"{name}": {_literal(value)}')
    groups = [f'{{"params": {group}, {", ".join(items)}}}' for group, items in own.items()]
    return "[" + ", ".join([*groups, '{"params": others}']) + "]"


def _items(params: Mapping[str, Scalar]) -> list[str]:
    return [f"{key}={_literal(value)}" for key, value in params.items()]


def _literal(value: Scalar) -> str:
    # float() because numpy's floats, which are Python's too, print their type.
    return repr(float(value)) if isinstance(value, float) else ascii(value)


def _torch_items(name: str, params: Mapping[str, Scalar]) -> list[str]:
    declared = OPTIMIZERS.get(name).hyperparameters
    defaults = {key: h.default for key, h in declared.items() if h.default is not None}
    full = {**defaults, **params}
    items = []
    for key, value in full.items():
        if key == "beta1":
            items.append(f"betas=({_literal(value)}, {_literal(full['beta2'])})")
        elif key not in ("beta2", "scale"):
            items.append(f"{key}={_literal(value)}")
    return items


def _call(function: str, first: str, items: list[str]) -> str:
    line = f"{function}({', '.join([first, *items])})"
    if len("optimizer = ") + len(line) <= _LINE:
        return line
    return f"{function}(\n    " + ",\n    ".join([first, *items]) + ",\n)"


def _render_factory(name: str, first: str, params: Mapping[str, Scalar]) -> str:
    module, _, attribute = OPTIMIZERS.get(name).factory.partition(":")
    call = _call(attribute, first, ["seed=0", *_items(params)])
    return f"from {module} import {attribute}\n\noptimizer = {call}"
