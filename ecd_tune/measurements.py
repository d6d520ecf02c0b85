"""Measurements of a run of ECDSep or ECDq1 for the theory, stored with its trial.

The objective measures, the checks on studies read; nothing here imports torch. Notation as in
``docs/theory.md``: φ = F + ½ wd |Θ|² − F0, V = φ^η, G = η ∇φ/φ, w = V/𝓔. All that is called a
loss is F + ½ wd |Θ|². A *tail mean* runs over the last 60 % of the steps, those left out at
which V does not exist (φ ≤ 0, or not finite).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import MISSING, dataclass, fields
from typing import Any, Self

__all__ = ["BLOCKS", "PREFIX", "TAIL_SHARE", "RunMeasurements"]

PREFIX = "measured_"
"""How the names of the numbers begin among a trial's metrics."""
TAIL_SHARE = 0.6
"""Share of the steps, the last ones, over which tail means run."""
BLOCKS = 12
"""Equal stretches of the tail whose means give the standard error of a tail mean."""


@dataclass(frozen=True)
class RunMeasurements:
    """Measurements of one completed run; all numbers are finite.

    Attributes:
        n: Trained parameters.
        steps: Length of the run, in steps.
        log_energy: log 𝓔; at unit speed, where w is 1 in each step, log V of the last.
        loss_init: Loss at the start.
        F0: Loss offset, at the end where the run shifted it.
        s: 0 or 1.
        delta_energy: δE, the initial |Π|².
        weight_decay: wd, the L² term of eq. 15; the first group's.
        conserve_energy: 1 if the momentum is rescaled at every step, else 0.
        sync: 1 under the integrator ``"sync"``, 0 under Algorithm 1.
        cos_bounce: Mean measured cos α of the random turns; 1 without turns.
        max_step_over_lr: Largest |ΔΘ|/Δt, less the 4 ε that rounding in the momentum's type may
            add (5e-7 for float32).
        share_hazard: Share of the steps with a hazard: no step could be made (φ ≤ 0, V < ε2, or
            not finite), or the rescale was skipped since V exceeds 𝓔 (w > 1).
        tail_loss: Tail mean of the loss.
        tail_inverse_gap: Tail mean of 1/φ.
        tail_inverse_gap_se: Its standard error, from the means of 12 stretches of the tail.
        tail_virial: Tail mean of ½Θ·G, about the origin.
        tail_w: Tail mean of w.
        tail_log_gap_1: Mean of log φ in the third fifth of the run.
        tail_log_gap_2: Mean of log φ in the fourth fifth.
        tail_log_gap_3: Mean of log φ in the last fifth.
        unit_speed: 1 for ECDq1, whose |Θ̇| is 1 and whose ν̂ is ν√n; 0 for ECDSep.
    """

    n: int
    steps: int
    log_energy: float
    loss_init: float
    F0: float
    s: int
    delta_energy: float
    weight_decay: float
    conserve_energy: int
    sync: int
    cos_bounce: float
    max_step_over_lr: float
    share_hazard: float
    tail_loss: float
    tail_inverse_gap: float
    tail_inverse_gap_se: float
    tail_virial: float
    tail_w: float
    tail_log_gap_1: float
    tail_log_gap_2: float
    tail_log_gap_3: float
    unit_speed: int = 0

    @property
    def drift(self) -> float:
        """Largest minus smallest mean of log φ in the last three fifths; near 0 on a plateau."""
        thirds = (self.tail_log_gap_1, self.tail_log_gap_2, self.tail_log_gap_3)
        return max(thirds) - min(thirds)

    @classmethod
    def from_metrics(cls, metrics: Mapping[str, float]) -> Self | None:
        """Read what :meth:`to_metrics` wrote.

        Args:
            metrics: Metrics of a trial.

        Returns:
            The measurements, or None where one is missing: the run was not measured, or did not
            go to its end.
        """
        numbers: dict[str, Any] = {
            name: kind(metrics[PREFIX + name])
            for name, kind in _KINDS.items()
            if PREFIX + name in metrics
        }
        return cls(**numbers) if numbers.keys() >= _REQUIRED else None

    def to_metrics(self) -> dict[str, float]:
        """Return the numbers by the names under which a trial keeps them."""
        return {PREFIX + f.name: float(getattr(self, f.name)) for f in fields(self)}


_KINDS = {f.name: int if f.type == "int" else float for f in fields(RunMeasurements)}
_REQUIRED = {f.name for f in fields(RunMeasurements) if f.default is MISSING}
