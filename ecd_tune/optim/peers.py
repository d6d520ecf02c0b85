"""Recent optimizers of the library pytorch-optimizer, to compare with: an extra, ``peers``.

Muon (Jordan and others 2024), SOAP (Vyas and others, ICLR 2025), Prodigy (Mishchenko and Defazio,
ICML 2024) and Schedule-Free AdamW (Defazio and others, NeurIPS 2024), with the defaults of their
papers.
"""

from __future__ import annotations

from collections.abc import Iterable
from importlib import import_module
from typing import Any

import torch

from ecd_tune.errors import HyperparameterError
from ecd_tune.optim.definitions import check_hyperparameters

__all__ = ["make_muon", "make_prodigy", "make_schedule_free", "make_soap"]


def make_muon(params: Iterable[Any], seed: int, **hyperparameters: Any) -> torch.optim.Optimizer:
    """Build Muon for tensors of two or more dimensions, with AdamW for all others.

    Args:
        params: Parameters or groups of them.
        seed: Not used.
        **hyperparameters: As declared in ``OPTIMIZER_DEFS["muon"]``.

    Returns:
        The optimizer.

    Raises:
        HyperparameterError: The extra is not installed.
    """
    values = check_hyperparameters("muon", hyperparameters)
    lr = values.pop("lr")
    ratio, decay = values.pop("adamw_lr_ratio"), values["weight_decay"]
    tensors = [p for entry in params for p in _tensors(entry)]
    matrices = {"params": [p for p in tensors if p.ndim >= 2], "use_muon": True, "lr": lr, **values}
    others = {"params": [p for p in tensors if p.ndim < 2], "use_muon": False}
    others |= {"lr": ratio * lr, "weight_decay": decay}
    groups = [group for group in (matrices, others) if group["params"]]
    return _make("Muon", groups, {})


def make_soap(params: Iterable[Any], seed: int, **hyperparameters: Any) -> torch.optim.Optimizer:
    """Build SOAP; arguments as for :func:`make_muon`.

    Raises:
        HyperparameterError: The extra is not installed.
    """
    return _make("SOAP", params, _with_betas("soap", hyperparameters))


def make_prodigy(params: Iterable[Any], seed: int, **hyperparameters: Any) -> torch.optim.Optimizer:
    """Build Prodigy; arguments as for :func:`make_muon`.

    Raises:
        HyperparameterError: The extra is not installed.
    """
    return _make("Prodigy", params, _with_betas("prodigy", hyperparameters))


def make_schedule_free(
    params: Iterable[Any], seed: int, **hyperparameters: Any
) -> torch.optim.Optimizer:
    """Build Schedule-Free AdamW; arguments as for :func:`make_muon`.

    Its ``eval`` and ``train`` exchange the parameters for their average and back; training loops
    of studies call them around each evaluation.

    Raises:
        HyperparameterError: The extra is not installed.
    """
    values = _with_betas("schedule_free", hyperparameters)
    optimizer = _make("ScheduleFreeAdamW", params, values)
    optimizer.train()  # type: ignore[attr-defined]
    return optimizer


def _tensors(entry: Any) -> list[torch.Tensor]:
    return list(entry["params"]) if isinstance(entry, dict) else [entry]


def _with_betas(name: str, hyperparameters: dict[str, Any]) -> dict[str, Any]:
    values = check_hyperparameters(name, hyperparameters)
    return {**values, "betas": (values.pop("beta1"), values.pop("beta2"))}


def _make(name: str, params: Iterable[Any], values: dict[str, Any]) -> torch.optim.Optimizer:
    try:
        library: Any = import_module("pytorch_optimizer")
    except ImportError as error:
        raise HyperparameterError(
            f"{name} needs the extra peers: pip install 'ecd_tune[peers]'"
        ) from error
    optimizer: torch.optim.Optimizer = getattr(library, name)(params, **values)
    return optimizer
