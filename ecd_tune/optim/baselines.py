"""Torch's SGD, Adam and AdamW under the registry's names of their hyperparameters.

The paper's GDM (eq. 13) is Π ← βΠ − ∇F, Θ ← Θ + αΠ. Torch's SGD keeps b = −Π and, without
dampening, does b ← βb + ∇F, Θ ← Θ − αb: the same, so α is ``lr`` and β is ``momentum``, and α
multiplies the whole momentum rather than the gradient.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import torch

from ecd_tune.errors import HyperparameterError
from ecd_tune.optim.definitions import check_hyperparameters

__all__ = ["check_nesterov", "make_adam", "make_adamw", "make_gdm", "make_sgd"]


def make_sgd(params: Iterable[Any], seed: int, **hyperparameters: Any) -> torch.optim.SGD:
    """Build torch's SGD.

    Args:
        params: Parameters or groups.
        seed: Not used; SGD draws no random numbers.
        **hyperparameters: As declared in ``OPTIMIZER_DEFS["sgd"]``.

    Returns:
        The optimizer.
    """
    return _sgd("sgd", params, hyperparameters)


def make_gdm(params: Iterable[Any], seed: int, **hyperparameters: Any) -> torch.optim.SGD:
    """Build the paper's gradient descent with momentum (eq. 13).

    Args:
        params: Parameters or groups.
        seed: Not used; GDM draws no random numbers.
        **hyperparameters: ``lr`` is α, ``momentum`` is β; the rest as for SGD.

    Returns:
        Torch's SGD with dampening 0.
    """
    return _sgd("gdm", params, hyperparameters)


def make_adam(params: Iterable[Any], seed: int, **hyperparameters: Any) -> torch.optim.Adam:
    """Build torch's Adam.

    Args:
        params: Parameters or groups.
        seed: Not used; Adam draws no random numbers.
        **hyperparameters: As declared in ``OPTIMIZER_DEFS["adam"]``.

    Returns:
        The optimizer.
    """
    return torch.optim.Adam(params, **_adam("adam", hyperparameters))


def make_adamw(params: Iterable[Any], seed: int, **hyperparameters: Any) -> torch.optim.AdamW:
    """Build torch's AdamW.

    Args:
        params: Parameters or groups.
        seed: Not used; AdamW draws no random numbers.
        **hyperparameters: As declared in ``OPTIMIZER_DEFS["adamw"]``.

    Returns:
        The optimizer.
    """
    return torch.optim.AdamW(params, **_adam("adamw", hyperparameters))


def check_nesterov(name: str, values: dict[str, Any]) -> None:
    """Check that Nesterov's momentum has a momentum.

    Args:
        name: Optimizer, for the message.
        values: Has ``nesterov`` and ``momentum``.

    Raises:
        HyperparameterError: ``nesterov`` is set and ``momentum`` is 0.
    """
    if values["nesterov"] and values["momentum"] == 0:
        raise HyperparameterError(
            f"{name}: nesterov = True needs momentum > 0, not {values['momentum']!r}"
        )


def _sgd(name: str, params: Iterable[Any], hyperparameters: dict[str, Any]) -> torch.optim.SGD:
    values = check_hyperparameters(name, hyperparameters)
    check_nesterov(name, values)
    return torch.optim.SGD(params, **values)


def _adam(name: str, hyperparameters: dict[str, Any]) -> dict[str, Any]:
    values = check_hyperparameters(name, hyperparameters)
    betas = (values.pop("beta1"), values.pop("beta2"))
    return {**values, "betas": betas}
