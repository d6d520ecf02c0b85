"""Steps of many runs by one call, each with its own optimizer."""

from __future__ import annotations

from torch import Tensor

from ecd_tune.optim.base import LossOptimizer
from ecd_tune.optim.fused.cpu import step_several
from ecd_tune.optim.fused.plan import FusedPlan

__all__ = ["JointSteps", "Member"]


class JointSteps:
    """Makes the steps of its members together if their optimizers use the fused form."""

    def __init__(self) -> None:
        self._addresses: list[int] = []
        self._losses: list[float] = []
        self._members: list[Member] = []

    def add(self, member: Member, address: int, loss: float) -> None:
        """Register a step of a member for :meth:`step`.

        Args:
            member: The member.
            address: Of its compiled run.
            loss: Its loss.
        """
        self._members.append(member)
        self._addresses.append(address)
        self._losses.append(loss)

    def step(self) -> None:
        """Make the registered steps."""
        if not self._members:
            return
        step_several(self._addresses, self._losses)
        for member in self._members:
            member.count()
        self._members, self._addresses, self._losses = [], [], []


class Member:
    """One run of many.

    The addresses of the gradients must not change after the first step, and the optimizer must not
    be used between the registration of a step and the step.

    Args:
        joint: Makes the steps.
        optimizer: Of the run.
    """

    def __init__(self, joint: JointSteps, optimizer: LossOptimizer) -> None:
        self._joint, self._optimizer = joint, optimizer
        self._plan: FusedPlan | None = None
        self._address, self._free_rows = 0, 0

    def step(self, loss: float | Tensor) -> None:
        """Make a step, immediately or together with the others.

        Args:
            loss: A finite loss, or one on a GPU; the parameters have its gradient.
        """
        plan = self._plan
        if plan is not None and isinstance(loss, float) and self._optimizer.joint_plan() is plan:
            plan.take_lr()
            self._joint.add(self, self._address, loss)
            return
        self._optimizer.step(loss=loss)
        self._plan = plan = self._optimizer.joint_plan()
        if plan is not None and plan.address is not None:
            self._address, self._free_rows = plan.address, plan.free_rows

    def count(self) -> None:
        """Count a step that was made together with the others."""
        self._free_rows -= 1
        self._optimizer.count_joint_step(self._free_rows == 0)
        if self._free_rows == 0:
            assert self._plan is not None
            self._free_rows = self._plan.free_rows
