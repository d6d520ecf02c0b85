"""The contract of a fused form: subclass :class:`FusedContract` and pytest does the rest.

Each test runs the reference form and the fused one side by side; a form for another device names
that device.
"""

from __future__ import annotations

import copy
import io
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Any, ClassVar

import pytest
import torch
from torch import Tensor

from ecd_tune.optim import ECDq1, ECDSep, ECDSepF0

__all__ = ["CASES", "SHAPES", "FusedContract", "Pair"]

SHAPES: tuple[tuple[int, ...], ...] = ((70,), (3, 2), (), (130, 2), (64,))
"""Blocks of less than 64 elements, of 64, and of more that end within 64."""

_SEP: dict[str, Any] = {"lr": 0.05, "eta": 2.0, "nu": 0.0}
_UNIT: dict[str, Any] = {"lr": 0.2, "eta": 4.0, "nu": 0.0}

CASES: dict[str, tuple[Any, dict[str, Any]]] = {
    "plain": (ECDSep, _SEP),
    "noise": (ECDSep, {**_SEP, "nu": 0.1}),
    "sync": (ECDSep, {**_SEP, "nu": 0.1, "integrator": "sync"}),
    "sync without noise": (ECDSep, {**_SEP, "integrator": "sync"}),
    "unbounded": (ECDSep, {**_SEP, "nu": 0.05, "s": 0, "lr": 0.01}),
    "unbounded sync": (ECDSep, {**_SEP, "nu": 0.05, "s": 0, "lr": 0.01, "integrator": "sync"}),
    "not rescaled": (ECDSep, {**_SEP, "nu": 0.05, "conserve_energy": False}),
    "seldom rescaled": (ECDSep, {**_SEP, "nu": 0.05, "eps1": 0.1, "delta_energy": 0.5}),
    "decay": (ECDSep, {**_SEP, "nu": 0.05, "weight_decay": 0.1, "delta_energy": 0.5}),
    "decoupled": (
        ECDSep, {**_SEP, "nu": 0.05, "weight_decay": 0.1, "decoupled_weight_decay": True}
    ),
    "hold": (ECDSep, {**_SEP, "F0": 390.0}),
    "stop": (ECDSep, {**_SEP, "F0": 390.0, "on_gap": "stop"}),
    "shift": (ECDSep, {**_SEP, "nu": 0.05, "F0": 390.0, "on_gap": "shift"}),
    "algorithm 2": (ECDSepF0, {**_SEP, "eta": 3, "nu": 0.05, "F0": 390.0}),
    "reset energy": (ECDSepF0, {**_SEP, "eta": 3, "F0": 390.0, "reset_energy": True}),
    "scale": (ECDSep, {**_SEP, "nu": 0.05, "scale": 0.5}),
    "share": (ECDSep, {**_SEP, "nu": 0.05, "scale": "share"}),
    "moments": (ECDSep, {**_SEP, "nu": 0.05, "scale": "moments", "weight_decay": 0.1}),
    "moments at unit speed": (ECDq1, {**_UNIT, "scale": "moments"}),
    "moments sync": (ECDq1, {**_UNIT, "nu": 0.3, "scale": "moments", "integrator": "sync"}),
    "unit speed": (ECDq1, {**_UNIT, "nu": 0.3, "weight_decay": 0.1}),
    "unit speed sync": (ECDq1, {**_UNIT, "nu": 0.3, "integrator": "sync"}),
    "first order": (ECDq1, {**_UNIT, "nu": 0.3, "flow": "first_order"}),
    "first order wandering": (
        ECDq1, {**_UNIT, "flow": "first_order", "conserve_energy": False, "integrator": "sync"}
    ),
}  # fmt: skip


class Pair:
    """The same run in both forms.

    Args:
        kind: Class of the optimizer.
        options: Its hyperparameters.
        dtype: Of the parameters.
        device: Where they are.
        shapes: Theirs.
        groups: Turns the parameters into what the constructor takes.
    """

    def __init__(
        self,
        kind: Any,
        options: Mapping[str, Any],
        dtype: torch.dtype = torch.float64,
        device: str = "cpu",
        shapes: Sequence[tuple[int, ...]] = SHAPES,
        groups: Callable[[Sequence[Tensor]], Any] = list,
    ) -> None:
        generator = torch.Generator().manual_seed(0)
        start = [torch.randn(s, generator=generator, dtype=torch.float64) for s in shapes]
        self.params = [
            [torch.nn.Parameter(x.to(device, dtype, copy=True)) for x in start] for _ in range(2)
        ]
        seed = {"seed": 5, **options}
        self.optimizers = [
            kind(groups(params), fused=form, **seed)
            for params, form in zip(self.params, (False, None), strict=True)
        ]

    def step(self, losses: Callable[[Sequence[Tensor]], Tensor] | None = None) -> None:
        """Make one step of each.

        Args:
            losses: Parameters to the loss; a sum of bowls by default.
        """
        for params, optimizer in zip(self.params, self.optimizers, strict=True):
            optimizer.zero_grad()
            loss = (losses or bowls)(params)
            loss.backward()  # type: ignore[no-untyped-call]
            optimizer.step(loss=loss)

    def go(self, steps: int) -> Pair:
        """Make several steps.

        Args:
            steps: Number of steps.

        Returns:
            The pair.
        """
        for _ in range(steps):
            self.step()
        return self

    def check(self, tolerance: float) -> None:
        """Compare parameters and reports.

        Args:
            tolerance: Largest difference in units of the parameters.
        """
        assert self.optimizers[1].report()["form"] == "fused"
        assert self.optimizers[1]._working.plan is not None, "the last step was not fused"
        here, there = (
            torch.cat([p.detach().double().flatten() for p in params]) for params in self.params
        )
        assert bool(here.isfinite().all())
        assert float((here - there).norm() / here.norm()) <= tolerance
        first, second = (_numbers(optimizer) for optimizer in self.optimizers)
        assert second == pytest.approx(first, rel=max(100 * tolerance, 1e-9), nan_ok=True)


def bowls(params: Sequence[Tensor]) -> Tensor:
    """Return a loss that falls from about 500."""
    terms = [(p.double().square() * (i + 1)).sum() for i, p in enumerate(params)]
    return torch.stack(terms).sum() * 0.4 + 0.5


def _bowls_of(used: Sequence[int], params: Sequence[Tensor]) -> Tensor:
    return bowls([params[number] for number in used])


def _numbers(optimizer: Any) -> dict[str, float]:
    told = ("form", "form_reason", "remarks")
    report = {k: v for k, v in optimizer.report().items() if k not in told}
    report.update(report.pop("scales", {}))
    return {str(k): float("nan") if v is None else float(v) for k, v in report.items()}


class FusedContract:
    """Contract of every fused form.

    Attributes:
        device: Device of its parameters.
        tolerances: Largest difference to the reference form by dtype, in units of the parameters.
        steps: Steps to compare.
    """

    device: ClassVar[str] = "cpu"
    tolerances: ClassVar[Mapping[torch.dtype, float]] = {
        torch.float64: 1e-12,
        torch.float32: 1e-6,
        torch.bfloat16: 1e-3,
        torch.float16: 1e-4,
    }
    steps: ClassVar[int] = 25

    def pair(self, case: str, dtype: torch.dtype = torch.float64, **more: Any) -> Pair:
        """Return the two runs of a case.

        Args:
            case: Name in :data:`CASES`.
            dtype: Of the parameters.
            **more: For :class:`Pair`.

        Returns:
            They, before their first step.
        """
        kind, options = CASES[case]
        return Pair(kind, options, dtype, self.device, **more)

    @pytest.mark.parametrize("dtype", [torch.float64, torch.float32])
    @pytest.mark.parametrize("case", CASES)
    def test_matches_the_reference(self, case: str, dtype: torch.dtype) -> None:
        """Parameters, counters and scalars agree after some steps."""
        self.pair(case, dtype).go(self.steps).check(self.tolerances[dtype])

    @pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
    @pytest.mark.parametrize("case", ["noise", "decay", "decoupled", "unit speed sync", "moments"])
    def test_sixteen_bit_parameters_are_rounded_once(self, case: str, dtype: torch.dtype) -> None:
        """Their momentum is float32."""
        pair = self.pair(case, dtype).go(self.steps)
        pair.check(self.tolerances[dtype])
        kept = pair.optimizers[1].state[pair.params[1][0]]["direction"]
        assert kept.dtype == torch.float32

    def test_mixed_dtypes(self) -> None:
        """Noise is then that of float32."""
        pair = self.pair("noise", torch.float32)
        for params, optimizer in zip(pair.params, pair.optimizers, strict=True):
            for number in (0, 3):
                params[number].data = params[number].data.double()
            params[1].data = params[1].data.bfloat16()
            assert not optimizer.state
        pair.go(self.steps).check(1e-3)

    def test_lr_and_weight_decay_per_group(self) -> None:
        """Schedulers also write into them; the step size may be a tensor."""

        def groups(params: Sequence[Tensor]) -> Any:
            return [
                {"params": params[:2], "lr": 0.1, "weight_decay": 0.1},
                {"params": params[2:3], "lr": torch.tensor(0.03), "scale": 2.0},
                {"params": params[3:4], "weight_decay": 0.2, "decoupled_weight_decay": True},
                {"params": params[4:], "scale": "moments"},
            ]

        pair = self.pair("noise", groups=groups)
        for step in range(self.steps):
            pair.step()
            for optimizer in pair.optimizers:
                optimizer.param_groups[0]["lr"] = 0.1 / (step + 1)
                optimizer.param_groups[1]["lr"].mul_(0.9)
                optimizer.param_groups[2]["weight_decay"] = 0.2 if step < 12 else 0.1
        pair.check(1e-12)

    def test_zero_lr_moves_nothing(self) -> None:
        """As a warm-up begins."""
        pair = self.pair("noise").go(3)
        for optimizer in pair.optimizers:
            optimizer.param_groups[0]["lr"] = 0.0
        before = [p.detach().clone() for p in pair.params[1]]
        pair.go(2).check(1e-12)
        assert all(torch.equal(a, b) for a, b in zip(before, pair.params[1], strict=True))

    @pytest.mark.parametrize("case", ["noise", "decay", "unit speed"])
    def test_maximizes(self, case: str) -> None:
        """−F takes the place of F."""
        kind, options = CASES[case]
        pair = Pair(kind, {**options, "F0": -900.0, "maximize": True}, device=self.device)
        for _ in range(self.steps):
            pair.step(lambda params: 100 - bowls(params))
        pair.check(1e-12)

    def test_missing_gradients(self) -> None:
        """Where one does, the step is one of the reference form."""
        pair = self.pair("noise")
        fused = 0
        for step in range(self.steps + 2):
            used = [0, 1, 2, 3, 4] if step // 4 % 2 == 0 else [0, 1, 3]
            pair.step(partial(_bowls_of, used))
            fused += pair.optimizers[1]._working.plan is not None
        pair.check(1e-12)
        assert fused >= self.steps // 2

    def test_gradients_with_other_strides(self) -> None:
        """Sparse, transposed, in steps; they are copied."""
        pair = self.pair("noise").go(2)
        for number in range(4):
            for params, optimizer in zip(pair.params, pair.optimizers, strict=True):
                loss = bowls(params)
                optimizer.zero_grad()
                loss.backward()  # type: ignore[no-untyped-call]
                grad = params[3].grad
                assert grad is not None
                params[3].grad = (
                    grad.to_sparse() if number == 2 else grad.t().contiguous().t()
                )  # fmt: skip
                optimizer.step(loss=loss)
        pair.check(1e-12)

    @pytest.mark.parametrize("case", ["plain", "unit speed sync", "moments at unit speed"])
    def test_other_memory_formats(self, case: str) -> None:
        """Without noise, elements are processed in memory order."""
        kind, options = CASES[case]
        pair = Pair(kind, {**options, "nu": 0.0}, device=self.device, shapes=((5, 3, 4, 4), (7,)))
        for params in pair.params:
            params[0].data = params[0].data.contiguous(memory_format=torch.channels_last)
        pair.go(self.steps).check(1e-12)
        assert pair.params[1][0].is_contiguous(memory_format=torch.channels_last)

    def test_parameters_can_be_replaced(self) -> None:
        """As ``p.data = ...`` does."""
        pair = self.pair("noise").go(3)
        for params in pair.params:
            params[0].data = params[0].data * 0.5
        pair.go(self.steps).check(1e-12)

    def test_parameters_can_be_added(self) -> None:
        """Their momentum begins at zero."""
        pair = self.pair("noise").go(3)
        for params, optimizer in zip(pair.params, pair.optimizers, strict=True):
            late = torch.nn.Parameter(torch.ones(80, dtype=torch.float64, device=self.device))
            params.append(late)
            optimizer.add_param_group({"params": [late], "lr": 0.02})
        pair.go(self.steps).check(1e-12)

    @pytest.mark.parametrize("case", ["noise", "sync", "unit speed", "share", "moments"])
    def test_resumed_run_is_bit_equal(self, case: str) -> None:
        """Saved, loaded with ``weights_only=True`` and continued; or copied."""
        pair = self.pair(case, torch.float32).go(20)
        params, optimizer = pair.params[1], pair.optimizers[1]
        file = io.BytesIO()
        torch.save(optimizer.state_dict(), file)
        file.seek(0)
        kind, options = CASES[case]
        others = [torch.nn.Parameter(p.detach().clone()) for p in params]
        resumed = kind(others, **options)
        resumed.load_state_dict(torch.load(file, weights_only=True))
        copied, third = copy.deepcopy((params, optimizer))
        for run, stepper in ((params, optimizer), (others, resumed), (copied, third)):
            _advance(run, stepper, 10)
        for one, other, further in zip(params, others, copied, strict=True):
            assert torch.equal(one, other)
            assert torch.equal(one, further)

    def test_reference_form_continues_from_it(self) -> None:
        """And the other way round: ``fused`` may differ from run to run."""
        pair = self.pair("noise").go(5)
        for optimizer in pair.optimizers:
            optimizer.param_groups[0]["fused"] = not optimizer.param_groups[0]["fused"]
        pair.go(5)
        pair.optimizers.reverse()
        pair.params.reverse()
        pair.check(1e-12)

    @pytest.mark.parametrize("case", ["noise", "sync", "decay", "hold"])
    def test_diagnostics_match_the_reference(self, case: str) -> None:
        """Those of less than 256 steps, and of more; asked in between too."""
        pair = self.pair(case)
        for steps in (7, 300):
            pair.go(steps)
            first, second = (optimizer.diagnostics() for optimizer in pair.optimizers)
            assert second == pytest.approx(first, rel=1e-6, abs=1e-9, nan_ok=True)

    def test_nonfinite_values_change_nothing(self) -> None:
        """A gradient is counted; a loss raises."""
        pair = self.pair("noise").go(3)
        before = [p.detach().clone() for p in pair.params[1]]
        pair.step(lambda params: bowls(params) + (params[0] * 0).abs().sqrt().sum())
        pair.check(1e-12)
        assert all(torch.equal(a, b) for a, b in zip(before, pair.params[1], strict=True))
        assert pair.optimizers[1].report()["bad_gradients"] == 1

    @pytest.mark.parametrize("dtype", [torch.float64, torch.float32])
    @pytest.mark.parametrize("share", [1e-2, 1e-4, 1e-6])
    def test_a_kick_that_nearly_undoes_the_momentum(self, dtype: torch.dtype, share: float) -> None:
        """|Π'|² from sums would lose its digits; the direction that is left is still right."""
        pair = Pair(ECDSep, {**_SEP, "s": 0, "lr": 0.5, "conserve_energy": False}, dtype)
        pair.go(1)
        loss = 10.0
        sideways = torch.linspace(-1, 1, 130 * 2, dtype=torch.float64).reshape(130, 2)
        for params, optimizer in zip(pair.params, pair.optimizers, strict=True):
            length = optimizer.report()["log_momentum"]
            # Kick = lr η/F · g; that along the momentum takes all but `share` of it.
            for number, p in enumerate(params):
                e = optimizer.state[p]["direction"].double()
                aside = sideways if number == 3 else torch.zeros_like(e)
                wanted = torch.tensor(length).exp() * (e * (1 - share) + 0.1 * share * aside)
                p.grad = (wanted * loss / (0.5 * 2.0)).to(dtype)
            optimizer.step(loss=loss)
        rounding = torch.finfo(dtype).eps
        logs = [optimizer.report()["log_momentum"] for optimizer in pair.optimizers]
        assert logs[1] == pytest.approx(logs[0], abs=4 * rounding / share)
        directions = [
            torch.cat([optimizer.state[p]["direction"].double().flatten() for p in params])
            for params, optimizer in zip(pair.params, pair.optimizers, strict=True)
        ]
        assert float((directions[0] - directions[1]).norm()) <= 40 * rounding / share


def _advance(params: Sequence[Tensor], optimizer: Any, steps: int) -> None:
    for _ in range(steps):
        optimizer.zero_grad()
        loss = bowls(params)
        loss.backward()  # type: ignore[no-untyped-call]
        optimizer.step(loss=loss)
