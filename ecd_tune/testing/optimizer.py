"""The contract of an optimizer: subclass :class:`OptimizerContract` and pytest does the rest.

::

    class TestMine(OptimizerContract):
        definition = MY_DEF                      # an OptimizerDef
        hyperparameters = {"lr": 0.1}

For an optimizer with a batched form, :class:`BatchedOptimizerContract` checks that each row
goes the way of the single optimizer.
"""

from __future__ import annotations

import io
from collections.abc import Mapping, Sequence
from typing import Any, ClassVar

import torch
from torch import Tensor

from ecd_tune.records import Scalar
from ecd_tune.registry import OptimizerDef, load_attribute

__all__ = ["BatchedOptimizerContract", "OptimizerContract"]


def _bowl(x: Tensor) -> Tensor:
    """Return an anisotropic quadratic with minimum 1/2, over the last dimension."""
    scale = torch.arange(1, x.shape[-1] + 1, dtype=x.dtype)
    return (scale * x.square()).sum(-1) + 0.5


class _Run:
    """Two tensors on a bowl, and the optimizer under test."""

    def __init__(self, contract: OptimizerContract, dtype: torch.dtype = torch.float64) -> None:
        self.params = [
            torch.nn.Parameter(torch.tensor([1.0, -0.5, 0.3], dtype=dtype)),
            torch.nn.Parameter(torch.full((2, 2), 0.7, dtype=dtype)),
        ]
        self.optimizer = contract.make(self.params)

    def closure(self) -> Tensor:
        self.optimizer.zero_grad()
        loss = sum(_bowl(p.reshape(-1).double()) for p in self.params)
        assert isinstance(loss, Tensor)
        loss.backward()  # type: ignore[no-untyped-call]
        return loss

    def go(self, steps: int) -> list[float]:
        step: Any = self.optimizer.step
        return [step(self.closure).item() for _ in range(steps)]

    def position(self) -> Tensor:
        return torch.cat([p.detach().flatten() for p in self.params])


class OptimizerContract:
    """Contract of every registered optimizer.

    Attributes:
        definition: The optimizer.
        hyperparameters: Values with which it lowers the loss on a quadratic bowl.
        steps: In how many steps it does so.
    """

    definition: ClassVar[OptimizerDef]
    hyperparameters: ClassVar[Mapping[str, Scalar]]
    steps: ClassVar[int] = 200

    def make(self, params: Any, seed: int = 3) -> torch.optim.Optimizer:
        """Build the optimizer through its registered factory.

        Returns:
            The optimizer.
        """
        factory = load_attribute(self.definition.factory)
        optimizer = factory(params, seed, **self.hyperparameters)
        assert isinstance(optimizer, torch.optim.Optimizer)
        return optimizer

    def test_names_are_declared(self) -> None:
        """The contract's own hyperparameters are among the declared ones."""
        assert set(self.hyperparameters) <= set(self.definition.hyperparameters)

    def test_declared_defaults_are_allowed(self) -> None:
        """A default is in its own range."""
        for name, declared in self.definition.hyperparameters.items():
            assert declared.default is None or declared.problem(declared.default) is None, name

    def test_step_returns_the_loss_and_lowers_it(self) -> None:
        """The closure's loss comes back, and the best one is well below the first."""
        losses = _Run(self).go(self.steps)
        assert min(losses) - 1.0 < 0.5 * (losses[0] - 1.0)

    def test_same_seed_gives_the_same_path(self) -> None:
        """Two runs with one seed are bit-equal, independently of torch's global generator."""
        first, second = _Run(self), _Run(self)
        torch.manual_seed(1)
        first.go(20)
        torch.manual_seed(2)
        second.go(20)
        assert torch.equal(first.position(), second.position())

    def test_run_resumed_from_a_file_is_bit_equal(self) -> None:
        """Save, load with ``weights_only=True`` into a fresh optimizer, and continue."""
        unbroken, resumed = _Run(self), _Run(self)
        unbroken.go(15)
        file = io.BytesIO()
        torch.save(unbroken.optimizer.state_dict(), file)
        file.seek(0)
        with torch.no_grad():
            for new, old in zip(resumed.params, unbroken.params, strict=True):
                new.copy_(old)
        resumed.optimizer.load_state_dict(torch.load(file, weights_only=True))
        assert unbroken.go(25) == resumed.go(25)
        assert torch.equal(unbroken.position(), resumed.position())

    def test_learning_rate_is_read_at_every_step(self) -> None:
        """With lr = 0, set as a scheduler would, nothing moves."""
        run = _Run(self)
        run.go(3)
        before = run.position()
        run.optimizer.param_groups[0]["lr"] = 0.0
        run.go(2)
        assert torch.equal(before, run.position())

    def test_missing_and_zero_gradients(self) -> None:
        """A parameter without gradient stays; a zero gradient gives no NaN."""
        run = _Run(self)
        loss = _bowl(run.params[0])
        loss.backward()  # type: ignore[no-untyped-call]
        self._step(run.optimizer, loss)
        assert torch.equal(run.params[1].detach(), torch.full((2, 2), 0.7, dtype=torch.float64))
        for p in run.params:
            p.grad = torch.zeros_like(p)
        self._step(run.optimizer, torch.tensor(1.0))
        assert bool(run.position().isfinite().all())

    def test_zero_first_gradient(self) -> None:
        """Even a first gradient of zero gives no NaN."""
        run = _Run(self)
        for p in run.params:
            p.grad = torch.zeros_like(p)
        self._step(run.optimizer, torch.tensor(1.0))
        run.go(3)
        assert bool(run.position().isfinite().all())

    def test_float32(self) -> None:
        """Parameters keep their dtype."""
        run = _Run(self, torch.float32)
        run.go(5)
        assert run.position().dtype == torch.float32

    def _step(self, optimizer: torch.optim.Optimizer, loss: Tensor) -> None:
        optimizer.step(lambda: loss)  # type: ignore[arg-type, return-value]


class BatchedOptimizerContract:
    """Each row of a batch goes the way of the single optimizer.

    Attributes:
        definition: The optimizer; must have a batched form.
        rows: Hyperparameters, one mapping per trial.
        tolerance: Largest difference in units of the size of the path, float64.
        steps: Steps to compare.
    """

    definition: ClassVar[OptimizerDef]
    rows: ClassVar[Sequence[Mapping[str, Scalar]]]
    tolerance: ClassVar[float] = 1e-12
    steps: ClassVar[int] = 80

    def loss(self, theta: Sequence[Tensor]) -> Tensor:
        """Return the loss over all blocks, for one trial or a batch of them; override at will.

        Returns:
            0-d, or ``[B]`` if the blocks have a leading dimension more.
        """
        first, second = theta
        return _bowl(torch.cat([first, second.flatten(-2)], dim=-1)) + first.sin().sum(-1).square()

    def start(self) -> list[Tensor]:
        """Return the blocks of one trial.

        Returns:
            Shapes (3,) and (2, 2).
        """
        return [torch.tensor([1.0, -0.5, 0.3]).double(), torch.full((2, 2), 0.7).double()]

    def run_batch(self, active: Tensor | None = None, poison: int | None = None) -> list[Tensor]:
        """Run the batch.

        Args:
            active: Active trials; all by default.
            poison: A trial whose loss and gradient are NaN.

        Returns:
            Final blocks.
        """
        count = len(self.rows)
        theta = [b.expand(count, *b.shape).clone() for b in self.start()]
        make = load_attribute(self.definition.batched or "")
        optimizer = make(theta, list(range(count)), self.rows)
        mask = torch.ones(count, dtype=torch.bool) if active is None else active
        for _ in range(self.steps):
            blocks = [b.detach().requires_grad_() for b in optimizer.params]
            loss = self.loss(blocks)
            grads = list(torch.autograd.grad(loss.sum(), blocks))
            loss = loss.detach()
            if poison is not None:
                loss[poison] = torch.nan
                for g in grads:
                    g[poison] = torch.nan
            optimizer.step(loss, grads, mask)
        result: list[Tensor] = optimizer.params
        return result

    def run_single(self, row: int) -> list[Tensor]:
        """Run a single trial.

        Args:
            row: Its number in the batch.

        Returns:
            Final blocks.
        """
        params = [torch.nn.Parameter(b) for b in self.start()]
        make = load_attribute(self.definition.factory)
        optimizer = make(params, row, **self.rows[row])

        def closure() -> Tensor:
            optimizer.zero_grad()
            loss = self.loss(params)
            loss.backward()  # type: ignore[no-untyped-call]
            return loss

        for _ in range(self.steps):
            optimizer.step(closure)
        return [p.detach() for p in params]

    def test_batch_equals_single_runs(self) -> None:
        """Every row agrees with its own single run."""
        batch = self.run_batch()
        for row in range(len(self.rows)):
            ends = self.run_single(row)
            scale = max(float(b.abs().max()) for b in (*self.start(), *ends))
            for got, want in zip(batch, ends, strict=True):
                assert float((got[row] - want).abs().max()) <= self.tolerance * scale, row

    def test_inactive_trials_stay_fixed_and_affect_no_others(self) -> None:
        """A trial that is not active keeps its place although all its numbers are NaN."""
        active = torch.ones(len(self.rows), dtype=torch.bool)
        active[0] = False
        free, poisoned = self.run_batch(), self.run_batch(active, poison=0)
        for start, got, want in zip(self.start(), poisoned, free, strict=True):
            assert torch.equal(got[0], start)
            assert torch.equal(got[1:], want[1:])

    def test_diverged_trial_affects_no_others(self) -> None:
        """NaN in an active trial reaches no other."""
        free, poisoned = self.run_batch(), self.run_batch(poison=0)
        for got, want in zip(poisoned, free, strict=True):
            assert torch.equal(got[1:], want[1:])
