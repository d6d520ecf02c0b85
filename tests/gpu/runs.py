"""The same run twice: with the reference of ecd_tune.optim, and with the kernels."""

from __future__ import annotations

import torch

from ecd_tune.optim.definitions import check_hyperparameters
from ecd_tune.optim.driver import StepInput, begin_state, make_step
from ecd_tune.optim.fused.triton_step import TritonStep
from ecd_tune.optim.fused.triton_tables import rule_constants
from ecd_tune.optim.monitoring.watching import Step
from ecd_tune.optim.params.blocks import Algebra
from ecd_tune.optim.params.noise import Noise
from ecd_tune.optim.params.ranks import Ranks
from ecd_tune.optim.rules import read_rules
from ecd_tune.optim.self_tuning.adaptive import split_auto_lr
from ecd_tune.optim.unit_speed.optimizer import read_unit_rules
from ecd_tune.optim.unit_speed.step import UnitStepInput, begin_unit, make_unit_step

CPU = torch.device("cpu")
YES = torch.ones((), dtype=torch.bool)


def momentum_dtype(dtype):
    return torch.float64 if dtype == torch.float64 else torch.float32


class Reference:
    """A run of the reference on the CPU, for a quadratic loss.

    Args:
        shapes: Of the parameters; ``name`` and ``hp`` are the optimizer's.
        dtypes: One, or one a parameter.
        scales: Factor of Δt of each parameter, or None.
        offset: What the loss is at its minimum.
    """

    def __init__(self, name, shapes, dtypes, *, seed=7, scales=None, offset=0.0, **hp):
        self.name, self.seed, self.offset, self.unit = name, seed, offset, name == "ecdq1"
        row = check_hyperparameters(name, hp)
        if self.unit:
            self.rules = read_unit_rules([row], CPU, single=True)
        else:
            row = split_auto_lr(name, row) if "orbit_step" in row else row
            self.rules = read_rules(name, [row], CPU, single=True)
        self.dtypes = dtypes if isinstance(dtypes, list) else [dtypes] * len(shapes)
        generator = torch.Generator().manual_seed(3)
        draws = [torch.randn(s, generator=generator, dtype=torch.float64) for s in shapes]
        self.theta = [d.to(t) for d, t in zip(draws, self.dtypes, strict=True)]
        self.stiffness = [0.5 + torch.rand(s, generator=generator).double() for s in shapes]
        self._hard = {}
        self.e = [torch.zeros_like(t, dtype=momentum_dtype(t.dtype)) for t in self.theta]
        self.begins, self.total = Ranks(None, None).lay_out([t.numel() for t in draws], True)
        self.scales = [1.0] * len(shapes) if scales is None else scales
        self.lr = [row["lr"] * scale for scale in self.scales]
        wd, decoupled = row["weight_decay"], row.get("decoupled_weight_decay", False)
        self.wd = [wd] * len(shapes) if wd and not decoupled else None
        self.decay = [wd * row["lr"]] * len(shapes) if wd and decoupled else None
        zero = torch.zeros((), dtype=torch.float64)
        self.state = begin_unit(zero) if self.unit else begin_state(zero, self.rules)
        self.noise, self.number, self.rows = Noise(seed), 0, []

    def loss(self, theta):
        """Return the loss and its gradient at parameters on any device."""
        home = theta[0].device
        if home not in self._hard:
            self._hard[home] = [c.to(home) for c in self.stiffness]
        hard = self._hard[home]
        parts = [(c * t.double().square()).sum() / 2 for c, t in zip(hard, theta, strict=True)]
        grads = [(c * t.double()).to(t.dtype) for c, t in zip(hard, theta, strict=True)]
        return torch.stack(parts).sum() + self.offset, grads

    def step(self, given=None):
        loss, grads = self.loss(self.theta) if given is None else given
        double = all(e.dtype == torch.float64 for e in self.e)
        spans = [(b, t.numel()) for b, t in zip(self.begins, self.theta, strict=True)]
        dtype = torch.float64 if double else torch.float32
        flat = self.noise.normal(self.number, self.total, spans, dtype)
        parts = torch.split(flat, [t.numel() for t in self.theta])
        z = [p.view_as(e).to(e.dtype) for p, e in zip(parts, self.e, strict=True)]
        theta = [t.to(e.dtype) for t, e in zip(self.theta, self.e, strict=True)]
        grads = [g.to(e.dtype) for g, e in zip(grads, self.e, strict=True)]
        starting, algebra = not bool(self.state.started), Algebra()
        noise = z if self.rules.chaotic or starting else None
        if self.unit:
            point = UnitStepInput(
                theta, loss, grads, self.lr, max(self.lr), self.wd, self._size(), self.number
            )
            make = make_unit_step
        else:
            scales = None if all(s == 1 for s in self.scales) else self.scales
            point = StepInput(
                theta, loss, grads, self.lr, max(self.lr), scales, self.wd, self.decay,
                self._size(), self.number,
            )  # fmt: skip
            make = make_step
        made = make(algebra, point, self.e, self.state, self.rules, noise, YES, starting=starting)
        go, moved, e, self.state = made.go, made.moved, made.e, made.state
        turning = noise if self.rules.chaotic else None
        self.rows.append(tape_row(Step.of(algebra, point, made, turning, self.rules.integrator)))
        if go:
            for t, amount in zip(self.theta, moved, strict=True):
                t.add_(amount)
            self.e = list(e)
        self.number += 1

    def _size(self):
        return sum(t.numel() for t in self.theta)

    def scalars(self):
        """Return the scalars in the order in which the kernels keep them."""
        s = self.state
        floats = [s.log_p] if self.unit else [s.log_p, s.log_energy, s.shift]
        flags = [s.started, s.converged] if self.unit else [s.started, s.stopped, s.converged]
        ints = torch.cat([torch.stack([s.updates, s.first_bad]), s.counts])
        return torch.stack(floats), ints, torch.stack(flags)


def tape_row(step):
    """Return what ``Diagnostics`` keeps of a step."""
    seen, info = step.seen, step.info
    nothing = torch.full_like(seen.gap, torch.nan)
    turned = nothing if info.turned is None else info.turned
    numbers = (
        step.made, step.held, seen.gap, seen.log_potential, step.log_energy, step.constants.s,
        info.log_p_before, info.speed, turned, info.rescaled, info.unreachable, seen.log_gap,
        seen.force_norm, info.log_p, info.log_p_after, step.constants.F0,
        torch.ones_like(seen.gap) if step.constants.pace is None else step.constants.pace,
    )  # fmt: skip
    return torch.stack([number.double() for number in numbers])


class Fused:
    """What continues with the kernels from where a reference stands."""

    def __init__(self, run, device, constants=None, tape=0, **options):
        self.run, self.constants = run, constants or {}
        self.theta = [t.to(device, copy=True) for t in run.theta]
        self.momenta = [e.to(device, copy=True) for e in run.e]
        self.scalars = [s.to(device) for s in run.scalars()]
        self.kept = torch.zeros((tape, 17), dtype=torch.float64, device=device) if tape else None
        self.options = {"kept": self.kept, **options}
        self.kernels = self.make(run.number)

    def make(self, number):
        floats, ints, flags = self.scalars
        run = self.run
        return TritonStep(
            self.theta, self.momenta, {**rule_constants(run.rules), **self.constants},
            unit=run.unit, sync=run.rules.integrator == "sync", chaotic=run.rules.chaotic,
            floats=floats, ints=ints, flags=flags, begins=run.begins, total=run.total,
            seeds=[run.seed], step=number, lr=run.lr, weight_decay=run.wd, decay=run.decay,
            **self.options,
        )  # fmt: skip

    def step(self):
        loss, grads = self.run.loss(self.theta)
        self.kernels.step(loss, grads)

    def read_tape(self, rows):
        """Return the numbers of the last steps, one column per step, and begin anew."""
        self.kernels.complete_tape()
        found = self.kept[:rows].clone().T.cpu()
        self.kernels.begin_tape()
        return found

    def directions(self):
        norms = [torch.linalg.vector_norm(m, dtype=torch.float64) for m in self.momenta]
        norm = torch.linalg.vector_norm(torch.stack(norms))
        return [(m / norm).cpu() if norm > 0 else m.cpu() for m in self.momenta]


def assert_same(run, fused, tolerance):
    """Assert that both runs are at the same point of phase space, and counted the same."""
    floats, ints, flags = run.scalars()
    found = [s.cpu() for s in fused.scalars]
    assert found[1].tolist() == ints.tolist()
    assert found[2].tolist() == flags.tolist()
    torch.testing.assert_close(found[0], floats, rtol=tolerance, atol=tolerance)
    for mine, theirs in zip(fused.theta, run.theta, strict=True):
        torch.testing.assert_close(mine.cpu(), theirs, rtol=tolerance, atol=tolerance)
    for mine, theirs in zip(fused.directions(), run.e, strict=True):
        torch.testing.assert_close(mine, theirs, rtol=tolerance, atol=tolerance)
