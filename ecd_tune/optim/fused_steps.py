"""Fused steps of an optimizer where possible, and the reference form otherwise."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any, ClassVar

import torch
from torch import Tensor
from torch.optim.optimizer import _global_optimizer_post_hooks, _global_optimizer_pre_hooks

from ecd_tune.errors import HyperparameterError
from ecd_tune.optim.dynamics import unit
from ecd_tune.optim.fused.plan import FusedPlan, OptimizerView, lasting_reason, make_plan
from ecd_tune.optim.fused.table import FusedRules, Rows, StepOutcome
from ecd_tune.optim.params.blocks import Algebra
from ecd_tune.optim.params.ranks import Ranks
from ecd_tune.optim.working import Working

__all__ = ["LOOK_EVERY", "FusedSteps"]

LOOK_EVERY = 16
"""Steps between two checks of losses that are not waited for."""
_FULL = int(StepOutcome.FULL)


class FusedSteps(torch.optim.Optimizer):
    """The fused half of :class:`~ecd_tune.optim.base.LossOptimizer`, which has the other one."""

    name: ClassVar[str]
    _working: Working
    _ranks: Ranks

    def _quick_step(self, loss: Any) -> bool:
        """Make a step like the last one, without optional features; return whether it was made.

        For small networks a step takes less time than checking hooks, autocast and the profiler;
        also on a GPU, which would wait for the host.
        """
        if torch.compiler.is_compiling():
            return False
        working = self._working
        plan = working.plan
        if plan is None or not working.quick or working.losses:
            return False
        if _observed() or self._optimizer_step_pre_hooks or self._optimizer_step_post_hooks:
            return False
        given = _as_float(loss) if plan.on_host else _as_number_on(plan.device, loss)
        if given is None or not plan.fits(self.param_groups, self.state):
            return False
        if not self._took(plan.step(given if plan.sign > 0 else -given)):
            return False
        step = working.steps - 1
        if not plan.on_host and step % LOOK_EVERY == 0:
            self._look_back(step)
        return True

    def joint_plan(self) -> FusedPlan | None:
        """Return what makes steps like the last one where many runs may make theirs together."""
        plan = self._working.plan
        usable = plan is not None and self._working.quick and plan.address is not None
        return plan if usable else None

    def count_joint_step(self, full: bool) -> None:
        """Count a step that was made with those of other runs.

        Args:
            full: It has filled the rows of Diagnostics.
        """
        self._took(int(StepOutcome.FULL if full else StepOutcome.DONE))

    def _took(self, outcome: int) -> bool:
        """Return whether a fused step was made, and count it."""
        if outcome > _FULL:
            return False
        self._working.steps += 1
        if outcome == _FULL:
            self._flush_rows()
        return True

    def _present_plan(self) -> FusedPlan | None:
        """Return the plan of a fused step; None where the step is one of the reference form."""
        plan = self._working.plan
        if plan is not None and plan.fits(self.param_groups, self.state):
            return plan
        self._drop_plan()
        if self._form_reason() is not None:
            return None
        self._working.plan = plan = make_plan(self._for_plan())
        if plan is not None:
            self._forget_state()
            self._working.normalised = False
            local = self._ranks.of_loss is None and self._ranks.of_shards is None
            self._working.quick = local and self._looks() == plan.on_host
        return plan

    def _fused_step(self, plan: FusedPlan | None, loss: Tensor) -> bool:
        """Make a step in fused form; return whether it was made."""
        if plan is None:
            return False
        given = loss.item() if loss.device.type == "cpu" else loss
        if self._took(plan.step(given)):
            return True
        self._drop_plan()
        again = self._present_plan()
        return again is not None and self._took(again.step(given))

    def _drop_plan(self) -> None:
        if self._working.plan is not None:
            self._working.plan.close()
            self._working.plan = None

    def _form_reason(self) -> str | None:
        """Return why no step can use the fused form for any gradients; or None.

        Raises:
            HyperparameterError: There is a reason, and ``fused`` is True.
        """
        chosen = self.param_groups[0]["fused"]
        reason = "fused = False" if chosen is False else lasting_reason(self._for_plan())
        if chosen and reason is not None:
            raise HyperparameterError(
                f"{self.name}: fused = True, but the fused form cannot be used: {reason}; remove "
                "fused to use it only where possible"
            )
        return reason

    def _report_form(self) -> dict[str, str | None]:
        """Return the form of the steps, and why it is not the fused one."""
        reason = self._form_reason()
        return {"form": "fused" if reason is None else "reference", "form_reason": reason}

    def _for_plan(self) -> OptimizerView:
        working = self._working
        return OptimizerView(
            groups=self.param_groups,
            state=self.state,
            trajectory=working.trajectory,
            rules=self._fused_rules(),
            started=working.started,
            away=working.away,
            factors=working.factors,
            sharded=self._ranks.of_shards is not None,
            watched=self._watched(),
            lay_out=self._lay_out,
            rows=self._rows,
        )

    def _fused_rules(self) -> FusedRules | str:
        """Return the hyperparameters, or why there is no fused form for them."""
        return f"{type(self).__name__} has no fused form"

    def _watched(self) -> bool:
        return False

    def _rows(self, rules: FusedRules, decays: bool) -> Rows | None:
        """Return the buffer in which fused steps store their numbers."""
        return None

    def _flush_rows(self) -> None:
        """Process the numbers that fused steps have stored."""

    def _normalise(self) -> None:
        """Normalise the momentum after fused steps."""
        self._drop_plan()
        if self._working.normalised:
            return
        own = [s for p, s in self.state.items() if p not in self._working.away]
        blocks = [s["direction"] for s in own]
        algebra = Algebra(foreach=len(blocks) > 1)
        for s, block in zip(own, unit(algebra, blocks, algebra.norm(blocks)), strict=True):
            s["direction"] = block
        flag = self._working.trajectory["normalised"]
        self._working.trajectory["normalised"] = torch.ones_like(flag)
        self._working.normalised = True

    # ---------------------------------------------------- methods of the other half

    def _forget_state(self) -> None:
        """Drop a state that was read from the scalars."""

    def _home(self) -> torch.device:
        raise NotImplementedError

    def _looks(self) -> bool:
        raise NotImplementedError

    def _look_back(self, step: int) -> None:
        raise NotImplementedError

    def _lay_out(self, sizes: Sequence[int]) -> tuple[list[int], int]:
        raise NotImplementedError


def _as_float(loss: Any) -> float | None:
    """Return a loss that can be read without waiting, or None."""
    if type(loss) is Tensor:
        loss = loss.item()
    return loss if type(loss) is float and math.isfinite(loss) else None


def _as_number_on(device: torch.device, loss: Any) -> Tensor | None:
    """Return a loss that is already available, one number, or None."""
    if type(loss) is not Tensor or loss.device != device or not loss.is_floating_point():
        return None
    return loss.detach() if loss.numel() == 1 else None


def _observed() -> bool:
    """Return whether torch's profiler or global optimizer hooks must see a step."""
    return bool(
        _global_optimizer_pre_hooks
        or _global_optimizer_post_hooks
        or torch._C._autograd._profiler_enabled()
    )
