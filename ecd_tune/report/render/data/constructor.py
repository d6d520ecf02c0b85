"""A call that constructs an optimizer, ready to paste.

torch's optimizers are called by torch's own names, with every value spelled out, because a
study's defaults (GDM has a momentum of 0.9) need not be torch's. Our own take their
hyperparameters by the names that studies use.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ecd_tune.records import Scalar
from ecd_tune.registry import OPTIMIZERS

__all__ = ["describe_call", "render_constructor", "render_import", "render_literal"]

_OWN = {
    "ecdsep": "ECDSep",
    "ecdsep_f0": "ECDSepF0",
    "bbi": "BBI",
    "ecdq1": "ECDq1",
    "ecd_auto": "auto",
}
_TORCH = {"sgd": "SGD", "gdm": "SGD", "adam": "Adam", "adamw": "AdamW"}
_LINE = 88


def describe_call(name: str, params: Mapping[str, Scalar]) -> tuple[str, dict[str, Any]]:
    """Return the constructor and its keywords, without the parameters.

    Args:
        name: Registry name of the optimizer.
        params: Hyperparameters by name; those of a single group, such as ``scale.embeddings``, are
            omitted.

    Returns:
        Module and attribute, joined by a dot, and the keywords.
    """
    common = {key: value for key, value in params.items() if "." not in key}
    if name in _OWN:
        return f"ecd_tune.optim.{_OWN[name]}", dict(common)
    # torch's SGD has no scale.
    if name in _TORCH and common.get("scale", 1.0) == 1.0 and len(common) == len(params):
        return f"torch.optim.{_TORCH[name]}", _torch_keywords(name, common)
    module, _, attribute = OPTIMIZERS.get(name).factory.partition(":")
    return f"{module}.{attribute}", {"seed": 0, **common}


def render_constructor(name: str, params: Mapping[str, Scalar]) -> str:
    """Write the call.

    Args:
        name: Registry name of the optimizer.
        params: Hyperparameters by name.

    Returns:
        An import and an assignment to ``optimizer``; The reader defines ``model`` and, for groups
        with their own values, the lists of parameters with the groups' names, and ``others``.
    """
    grouped = {key: value for key, value in params.items() if "." in key}
    first = _groups(grouped) if grouped else "model.parameters()"
    path, keywords = describe_call(name, params)
    load, function = render_import(path)
    items = [f"{key}={render_literal(value)}" for key, value in keywords.items()]
    return f"{load}\n\noptimizer = {_call(function, first, items)}"


def render_import(path: str) -> tuple[str, str]:
    """Write the import of a dotted path.

    Args:
        path: Module and attribute, joined by a dot.

    Returns:
        The statement, and how the attribute is called after it.
    """
    module, _, attribute = path.rpartition(".")
    if module == "torch.optim":
        return "import torch", path
    return f"from {module} import {attribute}", attribute


def _groups(grouped: Mapping[str, Scalar]) -> str:
    own: dict[str, list[str]] = {}
    for key, value in grouped.items():
        name, _, group = key.partition(".")
        own.setdefault(group, []).append(f'"{name}": {render_literal(value)}')
    groups = [f'{{"params": {group}, {", ".join(items)}}}' for group, items in own.items()]
    return "[" + ", ".join([*groups, '{"params": others}']) + "]"


def render_literal(value: Any) -> str:
    """Write a hyperparameter, or a tuple of them, as Python."""
    if isinstance(value, tuple):
        return f"({', '.join(map(render_literal, value))})"
    # float() because numpy's floats, which are Python's too, print their type.
    return repr(float(value)) if isinstance(value, float) else ascii(value)


def _torch_keywords(name: str, params: Mapping[str, Scalar]) -> dict[str, Any]:
    declared = OPTIMIZERS.get(name).hyperparameters
    defaults = {key: h.default for key, h in declared.items() if h.default is not None}
    full: dict[str, Any] = {**defaults, **params}
    if "beta1" in full:
        full = {"lr": full.pop("lr"), "betas": (full.pop("beta1"), full.pop("beta2")), **full}
    return {key: value for key, value in full.items() if key != "scale"}


def _call(function: str, first: str, items: list[str]) -> str:
    line = f"{function}({', '.join([first, *items])})"
    if len("optimizer = ") + len(line) <= _LINE:
        return line
    return f"{function}(\n    " + ",\n    ".join([first, *items]) + ",\n)"
