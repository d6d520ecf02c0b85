"""Batched SGD, GDM, Adam and AdamW for B trials, with torch's formulas in each row."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import partial
from typing import Any

import torch
from torch import Tensor

from ecd_tune.optim.baselines import check_nesterov
from ecd_tune.optim.batched.rows import BatchRows, StepSizes
from ecd_tune.optim.params.blocks import Algebra
from ecd_tune.records import Scalar

__all__ = ["BatchedAdam", "BatchedSGD", "make_adamw", "make_gdm"]

_ALGEBRA = Algebra(batched=True)


class _Refillable:
    """Base of optimizers whose rows can be replaced: columns are re-read when they are needed."""

    _outdated = False
    _counted = False  # whether the single optimizer keeps the number of its steps
    params: list[Tensor]
    _updates: Tensor

    def row_state(self, row: int) -> list[dict[str, Tensor]]:
        """Return a row's state; see :class:`~ecd_tune.optim.RefillableOptimizer`."""
        count, blocks = self._updates[row], self._named(row)
        if not count:
            return [{} for _ in self.params]
        return [
            ({"step": count.float()} if self._counted else {})
            | {name: own[number][row].clone() for name, own in blocks.items()}
            for number in range(len(self.params))
        ]

    def load_row_state(self, row: int, state: Sequence[Mapping[str, Any]]) -> None:
        """Load a row's state; see :class:`~ecd_tune.optim.RefillableOptimizer`.

        Raises:
            ValueError: It is not of such an optimizer.
        """
        blocks = self._named(row)
        for number, saved in enumerate(state):
            if saved.keys() != blocks.keys() | ({"step"} if self._counted else set()):
                raise ValueError(f"a state with {sorted(saved)} belongs to another optimizer")
            for name, own in blocks.items():
                if saved[name].shape != own[number][row].shape:
                    raise ValueError(f"{name} has shape {tuple(saved[name].shape)}")
                own[number][row].copy_(saved[name])
            self._updates[row] = int(saved.get("step", 1))

    def _named(self, row: int) -> dict[str, list[Tensor]]:
        """Return the blocks of a row's state by torch's names."""
        raise NotImplementedError

    def _refresh(self) -> None:
        if self._outdated:
            self._read()

    def _read(self) -> None:
        raise NotImplementedError


def _keep(block: Tensor, new: Tensor, active: Tensor, whole: bool) -> None:
    """Write new numbers into the rows of active trials; elsewhere they may be NaN."""
    block.copy_(new if whole else _ALGEBRA.where(active, [new], [block])[0])


class BatchedSGD(_Refillable):
    """Torch's SGD with dampening 0 and scales, for B trials.

    Args:
        theta: Parameter blocks with leading dimension B; updated in place.
        seeds: Only their number is used.
        hyperparameters: One mapping per trial, as declared for ``name``.
        name: ``"sgd"`` or ``"gdm"``; they differ in the default of ``momentum``.
    """

    def __init__(
        self,
        theta: list[Tensor],
        seeds: Sequence[int],
        hyperparameters: Sequence[Mapping[str, Scalar]],
        name: str = "sgd",
    ) -> None:
        rows = BatchRows(name, hyperparameters, theta, seeds)
        for values in rows.values:
            check_nesterov(name, values)
        self.params, self._rows, self._steps = rows.theta, rows, 0
        self._buffers = [torch.zeros_like(block) for block in theta]
        self._updates = torch.zeros(len(seeds), dtype=torch.int64, device=rows.device)
        self._read()

    def _read(self) -> None:
        """Read the hyperparameters of all rows."""
        rows, self._outdated = self._rows, False
        momentum, nesterov = rows.column("momentum"), rows.column("nesterov")
        self._sizes = StepSizes(rows)
        self._lr = rows.factors(-self._sizes.top)
        self._momentum = rows.factors(momentum)
        self._of_buffer = rows.factors(torch.where(nesterov, momentum, 1.0))
        self._of_grad = rows.factors(torch.where(nesterov, 1.0, 0.0))
        self._nesterov = rows.any("nesterov")
        decay = rows.any("weight_decay")
        self._weight_decay = rows.factors(rows.column("weight_decay")) if decay else None

    def _named(self, row: int) -> dict[str, list[Tensor]]:
        return {"momentum_buffer": self._buffers} if self._rows.values[row]["momentum"] else {}

    def begin_row(self, row: int, hyperparameters: Mapping[str, Scalar]) -> float:
        """Start a trial in a row; see :class:`~ecd_tune.optim.RefillableOptimizer`."""
        values = self._rows.replace(row, hyperparameters)
        check_nesterov(self._rows.name, values)
        for buffer in self._buffers:
            buffer[row] = 0.0
        self._updates[row], self._outdated = 0, True
        return float(values["lr"])

    def set_lr(self, lr: Sequence[float]) -> None:
        """Set the learning rate of each row."""
        self._refresh()
        self._lr = self._rows.factors(-self._rows.tensor(lr))

    @torch.no_grad()
    def step(self, loss: Tensor, grads: Sequence[Tensor], active: Tensor) -> None:
        """Make one step of every active trial; see ``BatchedOptimizer``.

        Args:
            loss: Shape ``[B]``; not used.
            grads: Shaped as ``params``.
            active: Shape ``[B]``, bool.
        """
        self._refresh()
        self._sizes.see(grads, self._steps)
        self._steps += 1
        whole = bool(active.all())
        for number, (block, grad) in enumerate(zip(self.params, grads, strict=True)):
            own, buffer = grad, self._buffers[number]
            if self._weight_decay is not None:
                own = torch.addcmul(own, block, self._weight_decay[number])
            if self._sizes.scales is not None:  # the gradient in θ = c·u, and the step in θ
                own = own * self._sizes.scales[number] * self._sizes.scales[number]
            used = torch.addcmul(own, buffer, self._momentum[number])
            _keep(buffer, used, active, whole)
            if self._nesterov:
                used = torch.addcmul(own * self._of_grad[number], used, self._of_buffer[number])
            _keep(block, torch.addcmul(block, used, self._lr[number]), active, whole)
        self._updates += active

    def report(self) -> dict[str, Tensor]:
        """Return the number of ``updates`` of each trial."""
        return {"updates": self._updates.clone()}


class BatchedAdam(_Refillable):
    """Torch's Adam, or AdamW with ``decoupled``, for B trials.

    Args:
        theta: Parameter blocks with leading dimension B; updated in place.
        seeds: Only their number is used.
        hyperparameters: One mapping per trial, as declared for ``adam`` or ``adamw``.
        decoupled: Shrink the parameters instead of adding to the gradient (AdamW).
    """

    _counted = True

    def __init__(
        self,
        theta: list[Tensor],
        seeds: Sequence[int],
        hyperparameters: Sequence[Mapping[str, Scalar]],
        decoupled: bool = False,
    ) -> None:
        rows = BatchRows("adamw" if decoupled else "adam", hyperparameters, theta, seeds)
        self.params, self._rows, self._decoupled = rows.theta, rows, decoupled
        self._mean = [torch.zeros_like(block) for block in theta]
        self._square = [torch.zeros_like(block) for block in theta]
        self._largest = [block.clone() for block in self._square]
        self._updates = torch.zeros(len(seeds), dtype=torch.int64, device=rows.device)
        self._read()

    def _read(self) -> None:
        """Read the hyperparameters of all rows."""
        rows, self._outdated = self._rows, False
        self._beta1, self._beta2 = rows.column("beta1"), rows.column("beta2")
        self._new1, self._new2 = rows.factors(1 - self._beta1), rows.factors(1 - self._beta2)
        self._old2 = rows.factors(self._beta2)
        self._eps = rows.factors(rows.column("eps"))
        self._amsgrad = rows.column("amsgrad") if rows.any("amsgrad") else None
        self._read_lr(rows.column("lr"))

    def _read_lr(self, lr: Tensor) -> None:
        rows, decay = self._rows, self._rows.column("weight_decay")
        factor = 1 - lr * decay if self._decoupled else decay
        self._weight_decay = rows.factors(factor) if rows.any("weight_decay") else None
        self._lr = lr

    def _named(self, row: int) -> dict[str, list[Tensor]]:
        largest = {"max_exp_avg_sq": self._largest} if self._rows.values[row]["amsgrad"] else {}
        return {"exp_avg": self._mean, "exp_avg_sq": self._square} | largest

    def begin_row(self, row: int, hyperparameters: Mapping[str, Scalar]) -> float:
        """Start a trial in a row; see :class:`~ecd_tune.optim.RefillableOptimizer`."""
        values = self._rows.replace(row, hyperparameters)
        for block in (*self._mean, *self._square, *self._largest):
            block[row] = 0.0
        self._updates[row], self._outdated = 0, True
        return float(values["lr"])

    def set_lr(self, lr: Sequence[float]) -> None:
        """Set the learning rate of each row."""
        self._refresh()
        self._read_lr(self._rows.tensor(lr))

    @torch.no_grad()
    def step(self, loss: Tensor, grads: Sequence[Tensor], active: Tensor) -> None:
        """Make one step of every active trial; see ``BatchedOptimizer``.

        Args:
            loss: Shape ``[B]``; not used.
            grads: Shaped as ``params``.
            active: Shape ``[B]``, bool.
        """
        self._refresh()
        whole = bool(active.all())
        self._updates += active
        steps = self._updates.clamp(min=1)
        size = self._rows.factors(-self._lr / (1 - self._beta1**steps))
        root = self._rows.factors((1 - self._beta2**steps).sqrt())
        for number, (block, grad) in enumerate(zip(self.params, grads, strict=True)):
            own, mean, square = grad, self._mean[number], self._square[number]
            if self._weight_decay is not None and self._decoupled:
                _keep(block, block * self._weight_decay[number], active, whole)
            elif self._weight_decay is not None:
                own = torch.addcmul(own, block, self._weight_decay[number])
            _keep(mean, torch.lerp(mean, own, self._new1[number]), active, whole)
            second = square * self._old2[number]
            second.addcmul_(own * self._new2[number], own)
            _keep(square, second, active, whole)
            divisor = self._divisor(number).sqrt().div_(root[number]).add_(self._eps[number])
            amount = torch.div(mean, divisor, out=divisor).mul_(size[number])
            _keep(block, amount.add_(block), active, whole)

    def _divisor(self, number: int) -> Tensor:
        """Return the second moments that divide a block, the largest so far where that is asked."""
        square = self._square[number]
        if self._amsgrad is None:
            return square
        # A trial that is not active has the square that it had, and so the largest.
        largest = torch.maximum(self._largest[number], square)
        (self._largest[number],) = _ALGEBRA.where(self._amsgrad, [largest], [square])
        return self._largest[number]

    def report(self) -> dict[str, Tensor]:
        """Return the number of ``updates`` of each trial."""
        return {"updates": self._updates.clone()}


make_gdm = partial(BatchedSGD, name="gdm")
"""Build GDM (eq. 13) for B trials."""

make_adamw = partial(BatchedAdam, decoupled=True)
"""Build AdamW for B trials."""
