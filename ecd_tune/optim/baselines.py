"""Torch's SGD, Adam and AdamW with the registry's hyperparameter names.

SGD has a ``scale`` of each tensor too, the same change of coordinates as ECDSep's
(:mod:`ecd_tune.optim.params.scale`).

The paper's GDM (eq. 13) is Π ← βΠ − ∇F, Θ ← Θ + αΠ. Torch's SGD keeps b = −Π and, without
dampening, does b ← βb + ∇F, Θ ← Θ − αb: the same, so α is ``lr`` and β is ``momentum``, and α
multiplies the whole momentum rather than the gradient.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import torch
from torch import Tensor

from ecd_tune.errors import HyperparameterError
from ecd_tune.optim.definitions import SHARE, check_hyperparameters
from ecd_tune.optim.params.scale import BATCHES, factor_of, found_scales, see_share, seen_of

__all__ = ["ScaledSGD", "check_nesterov", "make_adam", "make_adamw", "make_gdm", "make_sgd"]


class ScaledSGD(torch.optim.SGD):
    """Torch's SGD in other coordinates: SGD updates u, where θ = c·u.

    The gradient in u is c times the gradient in θ, and a step in θ is c times the step in u:
    together, the learning rate is c² times as large. With c = 1 this is torch's SGD, bit for bit.

    Args:
        params: Parameters or groups; a group may have its own ``scale``.
        scale: c, > 0, or ``"share"``: determined in the first 16 batches, as for ECDSep.
        **options: Of torch's SGD.

    Raises:
        HyperparameterError: A scale is not allowed.
    """

    def __init__(self, params: Iterable[Any], scale: float | str = 1.0, **options: Any) -> None:
        super().__init__(params, **options)
        self.defaults["scale"] = scale
        for group in self.param_groups:
            group.setdefault("scale", scale)

    def __setstate__(self, state: dict[str, Any]) -> None:
        """Load a state, also one of torch's SGD."""
        super().__setstate__(state)  # type: ignore[no-untyped-call]
        for group in self.param_groups:
            group.setdefault("scale", 1.0)

    def add_param_group(self, param_group: dict[str, Any]) -> None:
        """Add parameters.

        Args:
            param_group: As for any torch optimizer, with or without ``scale``.

        Raises:
            HyperparameterError: Its scale is not allowed.
        """
        if "scale" in param_group:
            checked = check_hyperparameters("sgd", {"scale": param_group["scale"]})
            param_group = {**param_group, "scale": checked["scale"]}
        super().add_param_group(param_group)

    def _init_group(
        self,
        group: dict[str, Any],
        params: list[Tensor],
        grads: list[Tensor],
        momentum_buffer_list: list[Tensor | None],
    ) -> bool:
        """Gather a group as torch does, with the gradients that give the scaled step."""
        gather: Any = super()._init_group
        sparse: bool = gather(group, params, grads, momentum_buffer_list)
        decay = -group["weight_decay"] if group["maximize"] else group["weight_decay"]
        for number, (p, grad) in enumerate(zip(params, grads, strict=True)):
            square = self._factor(group["scale"], p, grad) ** 2
            if square != 1:
                grads[number] = grad * square
                if decay:  # torch adds it once
                    grads[number] = grads[number].add(p, alpha=(square - 1) * decay)
        return sparse

    def _factor(self, scale: float | str, p: Tensor, grad: Tensor) -> float:
        if scale != SHARE:
            return float(scale)
        own = self.state[p]
        if own.get("batches", 0) < BATCHES:
            # Numbers: torch casts a state's tensors to the parameter's dtype when it loads them.
            own.update({key: value.item() for key, value in see_share(own, grad).items()})
        return factor_of(seen_of(own)).item()

    def report(self) -> dict[str, Any]:
        """Return ``scales`` with automatic scaling: those that are not 1."""
        return dict(found_scales(self.param_groups, self.state))


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
    """Check that ``momentum`` is positive if ``nesterov`` is set.

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
    return ScaledSGD(params, **values)


def _adam(name: str, hyperparameters: dict[str, Any]) -> dict[str, Any]:
    values = check_hyperparameters(name, hyperparameters)
    betas = (values.pop("beta1"), values.pop("beta2"))
    return {**values, "betas": betas}
