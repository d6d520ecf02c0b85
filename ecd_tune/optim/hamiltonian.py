"""What the optimizers that move with a momentum along the loss have in common.

:class:`HamiltonianOptimizer` evaluates the closure, checks the loss, gathers parameters and
gradients as blocks of real numbers, and keeps everything that the future depends on in
``state_dict``. A subclass says in ``_advance`` what one step is.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping
from typing import Any, ClassVar

import torch
from torch import Tensor

from ecd_tune.errors import HyperparameterError, NonFiniteLossError
from ecd_tune.optim.definitions import OPTIMIZER_DEFS, check_hyperparameters
from ecd_tune.optim.gather import Gathered, align, gather
from ecd_tune.optim.noise import NoiseSource

__all__ = ["HamiltonianOptimizer"]

_EXTRA = "trajectory"
"""Key of the global state in ``state_dict``."""


class HamiltonianOptimizer(torch.optim.Optimizer):
    """Base of ECDSep and BBI.

    Args:
        params: Parameters, or groups of them; a group may have its own values of what
            ``per_group`` names.
        hyperparameters: Values by name, checked against the declarations of ``name``.
        seed: Seed of the noise; None draws one from torch's global generator, so that
            ``torch.manual_seed`` governs it.
        foreach: Use ``torch._foreach_*``; None decides by the number of blocks.

    Raises:
        HyperparameterError: A value is not allowed, a parameter is not of a dense floating or
            complex dtype, or groups differ in a value that is global.
    """

    name: ClassVar[str]
    per_group: ClassVar[frozenset[str]] = frozenset({"lr"})

    def __init__(
        self,
        params: Iterable[Any],
        hyperparameters: Mapping[str, Any],
        seed: int | None,
        foreach: bool | None,
    ) -> None:
        defaults = check_hyperparameters(self.name, hyperparameters)
        self._foreach, self._steps = foreach, 0
        self._log_p: Tensor | None = None
        super().__init__(params, defaults)
        if seed is None:
            seed = int(torch.randint(2**62, ()).item())
        self._noise = NoiseSource(seed, self._home())

    # ---------------------------------------------------------------- one step

    @torch.no_grad()
    def step(
        self, closure: Callable[[], Any] | None = None, *, loss: Tensor | float | None = None
    ) -> Any:
        """Make one step.

        Args:
            closure: Clears the gradients, computes the loss, calls ``backward`` and returns
                the loss.
            loss: Instead of a closure: the loss whose ``backward`` has been called. With a
                gradient scaler, the unscaled loss, after ``unscale_``.

        Returns:
            The loss, as it was given.

        Raises:
            TypeError: Neither or both of ``closure`` and ``loss`` are given, or the closure
                returns nothing.
            NonFiniteLossError: The loss is NaN or infinite; nothing was changed.
        """
        if (closure is None) == (loss is None):
            raise TypeError(
                f"{type(self).__name__}.step needs the loss: call step(closure), or "
                "step(loss=loss) after loss.backward()"
            )
        if closure is not None:
            with torch.enable_grad():
                loss = closure()
            if loss is None:
                raise TypeError("the closure given to step must return the loss")
        assert loss is not None
        exact = loss.detach() if isinstance(loss, Tensor) else _double(loss)
        value = exact.to(self._home(), torch.float64).reshape(())
        self._advance(value)
        self._steps += 1
        return loss

    def _advance(self, loss: Tensor) -> None:
        """Update parameters and state for one loss value, float64, 0-d."""
        raise NotImplementedError

    def report(self) -> dict[str, Any]:
        """Return counters and global state as plain numbers.

        Raises:
            NotImplementedError: In this base class.
        """
        raise NotImplementedError

    def _check_loss(self, value: float) -> None:
        if not math.isfinite(value):
            raise NonFiniteLossError(
                f"{type(self).__name__}: the loss at step {self._steps} is {value}; "
                "a finite loss is needed (try a smaller lr)"
            )

    # ------------------------------------------------------------ groups, blocks

    def add_param_group(self, param_group: dict[str, Any]) -> None:
        """Add parameters; their momentum starts at zero.

        Args:
            param_group: As for any torch optimizer.

        Raises:
            HyperparameterError: As at construction.
        """
        super().add_param_group(param_group)
        try:
            self._check_group(self.param_groups[-1])
        except HyperparameterError:
            self.param_groups.pop()
            raise

    def _check_group(self, group: dict[str, Any]) -> None:
        group.update(check_hyperparameters(self.name, {k: group[k] for k in self._declared()}))
        for p in group["params"]:
            if p.layout != torch.strided or not (p.is_floating_point() or p.is_complex()):
                raise HyperparameterError(
                    f"{self.name}: a parameter of dtype {p.dtype} and layout {p.layout} cannot "
                    "be optimized; dense real or complex floating tensors can"
                )
        self._shared()

    @classmethod
    def _declared(cls) -> Iterable[str]:
        return OPTIMIZER_DEFS[cls.name].hyperparameters

    def _shared(self) -> dict[str, Any]:
        """Return the global hyperparameters.

        Raises:
            HyperparameterError: Two groups do not agree on one.
        """
        first = self.param_groups[0]
        names = [k for k in self._declared() if k not in self.per_group]
        for group in self.param_groups[1:]:
            for key in names:
                if group[key] != first[key]:
                    raise HyperparameterError(
                        f"{self.name}: {key} is global, but one parameter group has "
                        f"{first[key]!r} and another {group[key]!r}; only "
                        f"{', '.join(sorted(self.per_group))} may differ"
                    )
        return {key: first[key] for key in names}

    def _home(self) -> torch.device:
        """Return the device of the first parameter, where scalars and noise live."""
        for group in self.param_groups:
            for p in group["params"]:
                return torch.device(p.device)
        return torch.device("cpu")

    def _gather(self) -> Gathered:
        gathered = gather(self.param_groups, self.state, self._foreach)
        if self._log_p is not None and gathered.params:
            self._log_p = align(gathered, self.state, self._log_p)
        return gathered

    # ------------------------------------------------------- saving and restoring

    def _trajectory(self) -> dict[str, Any]:
        """Return the global state: tensors, numbers and strings only."""
        momentum = {} if self._log_p is None else {"log_p": self._log_p.clone()}
        return {"steps": self._steps, "noise": self._noise.state_dict(), **momentum}

    def _restore(self, trajectory: dict[str, Any]) -> None:
        self._steps, log_p = trajectory["steps"], trajectory.get("log_p")
        self._log_p = None if log_p is None else log_p.to(self._home(), copy=True)
        self._noise.load_state_dict(trajectory["noise"])

    def state_dict(self) -> dict[str, Any]:
        """Return momenta, groups and, under ``"trajectory"``, all global state."""
        return {**super().state_dict(), _EXTRA: self._trajectory()}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Go on exactly where the saved optimizer stood.

        Args:
            state_dict: What :meth:`state_dict` returned; loadable with
                ``torch.load(weights_only=True)``.

        Raises:
            HyperparameterError: It comes from another kind of optimizer.
        """
        if _EXTRA not in state_dict:
            raise HyperparameterError(
                f"{self.name}: this state_dict has no {_EXTRA!r}; it is not from this optimizer"
            )
        super().load_state_dict({k: v for k, v in state_dict.items() if k != _EXTRA})
        # torch casts state to the parameter's dtype and may share its memory with the
        # dictionary; the momentum must keep its own dtype and memory.
        saved = [i for group in state_dict["param_groups"] for i in group["params"]]
        present = [p for group in self.param_groups for p in group["params"]]
        for index, p in zip(saved, present, strict=True):
            if index in state_dict["state"]:
                kept = state_dict["state"][index]
                self.state[p] = {k: v.detach().to(p.device, copy=True) for k, v in kept.items()}
        self._shared()
        self._restore(state_dict[_EXTRA])

    def __getstate__(self) -> dict[str, Any]:
        kept = {"foreach": self._foreach, _EXTRA: self._trajectory()}
        return {**super().__getstate__(), "_kept": kept}

    def __setstate__(self, state: dict[str, Any]) -> None:
        kept = state.pop("_kept", None)
        super().__setstate__(state)
        if kept is not None:
            self._foreach = kept["foreach"]
            self._noise = NoiseSource(0, self._home())
            self._restore(kept[_EXTRA])


def _double(value: float) -> Tensor:
    # as_tensor would round a Python float to torch's default dtype first.
    return torch.tensor(float(value), dtype=torch.float64)
