"""ECDSep with self-tuning F0, the paper's Algorithm 2."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, ClassVar

from ecd_tune.errors import HyperparameterError
from ecd_tune.optim.base import LossOptimizer
from ecd_tune.optim.ecdsep import ECDSep
from ecd_tune.optim.params.ranks import GroupChoice

__all__ = ["ECDSepF0", "make"]


class ECDSepF0(ECDSep):
    """ECDSep that lowers F0 whenever the loss crosses it (Algorithm 2).

    Where V < ε2 with the present F0, no step is made and F0 is lowered by
    ``shift_factor · max(|gap|, ε2^{1/η}, rounding of F)``. The paper shifts by 5V = 5·gap^η, which
    is much too small for a small gap, and zero for a gap of zero; for η = 1 both are equal.

    Args:
        params: Parameters or parameter groups.
        lr: Step size Δt.
        eta: An odd whole number, since the paper needs V < 0 below F0.
        nu: Chaos strength ν.
        F0: First loss offset; may be higher than the minimum of the loss.
        delta_energy: Initial |Π|².
        s: 1 or 0.
        weight_decay: wd.
        scale: As for :class:`ECDSep`.
        conserve_energy: Rescale the momentum at every step.
        integrator: As for :class:`ECDSep`.
        seed: Seed of the noise.
        eps1: As for :class:`ECDSep`.
        eps2: V below which F0 is lowered.
        shift_factor: > 1; how far F0 falls below the loss, in units of the depth, plus one.
        reset_energy: Set 𝓔 to the energy of the present Π with the new gap after a shift; the
            paper keeps 𝓔.
        maximize: As for :class:`ECDSep`.
        foreach: As for :class:`ECDSep`.
        wait: As for :class:`ECDSep`.
        fused: As for :class:`ECDSep`.
        process_group: As for :class:`ECDSep`.
        shard_group: As for :class:`ECDSep`.

    Raises:
        HyperparameterError: A value is not allowed, for example an even ``eta``.
    """

    name: ClassVar[str] = "ecdsep_f0"
    per_group: ClassVar[frozenset[str]] = frozenset({"lr", "scale", "weight_decay"})

    def __init__(
        self,
        params: Iterable[Any],
        lr: float = 0.4,
        *,
        eta: int,
        nu: float = 1e-5,
        F0: float = 0.0,
        delta_energy: float | None = None,
        s: int = 1,
        weight_decay: float = 0.0,
        scale: float | str = 1.0,
        conserve_energy: bool = True,
        integrator: str = "algorithm1",
        seed: int | None = None,
        eps1: float = 1e-10,
        eps2: float = 1e-40,
        shift_factor: float = 5.0,
        reset_energy: bool = False,
        maximize: bool = False,
        foreach: bool | None = None,
        wait: bool | None = None,
        fused: bool | None = None,
        process_group: GroupChoice = None,
        shard_group: GroupChoice = None,
    ) -> None:
        values = {
            "lr": lr,
            "eta": eta,
            "nu": nu,
            "F0": F0,
            "delta_energy": delta_energy,
            "s": s,
            "weight_decay": weight_decay,
            "scale": scale,
            "conserve_energy": conserve_energy,
            "integrator": integrator,
            "eps1": eps1,
            "eps2": eps2,
            "shift_factor": shift_factor,
            "reset_energy": reset_energy,
        }
        LossOptimizer.__init__(
            self,
            params,
            values,
            seed=seed,
            maximize=maximize,
            foreach=foreach,
            wait=wait,
            fused=fused,
            process_group=process_group,
            shard_group=shard_group,
        )

    def _check_group(self, group: dict[str, Any]) -> None:
        super()._check_group(group)
        if group["eta"] % 2 == 0:
            raise HyperparameterError(
                f"{self.name}: eta = {group['eta']} is even; it must be odd (1, 3, 5, …), so that "
                "V changes sign with the gap"
            )


def make(params: Iterable[Any], seed: int, **hyperparameters: Any) -> ECDSepF0:
    """Build an ECDSepF0 by names, for the registry.

    Args:
        params: Parameters or groups.
        seed: Seed of the noise.
        **hyperparameters: As declared in ``OPTIMIZER_DEFS["ecdsep_f0"]``.

    Returns:
        The optimizer.
    """
    hyperparameters.setdefault("eta", None)
    return ECDSepF0(params, seed=seed, **hyperparameters)
