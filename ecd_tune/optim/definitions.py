"""Every optimizer by name, with the exact range of each hyperparameter.

This module imports no torch, so that study files can be checked without it. The constructors
of our own optimizers check against the same declarations (:func:`check_hyperparameters`).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from ecd_tune.errors import HyperparameterError
from ecd_tune.registry import Hyperparameter, OptimizerDef

__all__ = [
    "AUTO",
    "FLOWS",
    "INTEGRATORS",
    "MOMENTS",
    "ON_GAP",
    "OPTIMIZER_DEFS",
    "ORBIT_STEP",
    "SHARE",
    "check_hyperparameters",
]

AUTO = "auto"
"""A value that ECDSep sets during the run."""

ORBIT_STEP = 0.3
"""Default orbit step α* of ``lr = "auto"``."""

INTEGRATORS = ("algorithm1", "sync")
"""Orders of the phases of one ECDSep step: the paper's, and a second-order one."""

SHARE = "share"
"""A factor of a tensor's step that follows from the sparsity of its gradient."""

MOMENTS = "moments"
"""A factor of each number's step that follows from the second moments of its gradient."""

FLOWS = ("exact", "first_order")
"""How a kick turns the unit momentum of ECD at unit speed."""

ON_GAP = ("hold", "stop", "shift")
"""Behaviour of ECDSep if the loss is at or below F0."""


def _positive(doc: str, default: float | None = None) -> Hyperparameter:
    return Hyperparameter(float, doc, low=0.0, low_open=True, default=default)


def _non_negative(doc: str, default: float | None = None) -> Hyperparameter:
    return Hyperparameter(float, doc, low=0.0, default=default)


def _or_auto(plain: Hyperparameter, doc: str) -> Hyperparameter:
    return replace(plain, doc=plain.doc + doc, words=(AUTO,))


def _fraction(doc: str, default: float) -> Hyperparameter:
    return Hyperparameter(float, doc, low=0.0, high=1.0, high_open=True, default=default)


_EPS1 = _non_negative("rescale only if |Π² − π_c²| exceeds this, ε1", 1e-10)
_EPS2 = _non_negative("no step while V is below this, ε2", 1e-40)
_CONSERVE = Hyperparameter(bool, "rescale Π to the energy surface, consEn", default=True)

# Hyperparameters of both the paper's Algorithms 1 and 2.
_ALGORITHM: Mapping[str, Hyperparameter] = {
    "lr": _positive("step size Δt", 0.4),
    "eta": Hyperparameter(float, "concentration exponent η", low=1.0, required=True),
    "nu": _non_negative("chaos strength ν", 1e-5),
    "F0": Hyperparameter(float, "loss offset F0", default=0.0),
    "delta_energy": _non_negative("initial |Π|², δE; by default 0 for s = 1 and 1 for s = 0"),
    "s": Hyperparameter(int, "1: bounded region, 0: whole space", choices=(0, 1), default=1),
    "weight_decay": _non_negative("weight decay wd, the L² term of eq. 15", 0.0),
    "scale": replace(
        _positive(
            "factor of a tensor's Δt; share: 1/(share of non-zero gradient entries); moments: "
            "share times a power of the gradient's second moments",
            1.0,
        ),
        words=(SHARE, MOMENTS),
        by_group=True,
    ),
    "conserve_energy": _CONSERVE,
    "integrator": Hyperparameter(
        str, "order of the phases of a step", choices=INTEGRATORS, default="algorithm1"
    ),
    "eps1": _EPS1,
    "eps2": _EPS2,
}

_ECDSEP: Mapping[str, Hyperparameter] = {
    **_ALGORITHM,
    "lr": _or_auto(_ALGORITHM["lr"], "; auto: from the orbit step"),
    "nu": _or_auto(_ALGORITHM["nu"], "; auto: one bounce per orbit, ν*"),
    "F0": _or_auto(_ALGORITHM["F0"], "; auto: from the plateau"),
    "orbit_step": replace(
        _positive(f"α* that lr = auto sets, default {ORBIT_STEP}"), only_with=("lr", AUTO)
    ),
    "decoupled_weight_decay": Hyperparameter(
        bool, "wd shrinks the parameters instead of adding to the loss, §3.4", default=False
    ),
    "on_gap": Hyperparameter(
        str, "what to do when F − F0 is not positive", choices=ON_GAP, default="hold"
    ),
}

_ECDSEP_F0: Mapping[str, Hyperparameter] = {
    **_ALGORITHM,
    "eta": Hyperparameter(int, "concentration exponent η, an odd integer", low=1, required=True),
    "shift_factor": Hyperparameter(
        float, "shift of F0 in units of |F − F0|", low=1.0, low_open=True, default=5.0
    ),
    "reset_energy": Hyperparameter(bool, "measure 𝓔 again after a shift", default=False),
}

_BBI: Mapping[str, Hyperparameter] = {
    "lr": _positive("step size Δt", 1e-3),
    "v0": Hyperparameter(float, "loss offset v0", default=0.0),
    "delta_energy": _non_negative("energy above the initial loss, δE", 0.0),
    "T0": Hyperparameter(int, "steps from one fixed bounce to the next", low=1, default=1000),
    "T1": Hyperparameter(int, "steps without progress before a bounce", low=1, default=3000),
    "n_bounces": Hyperparameter(int, "fixed bounces, N_b; 0 counts as 1", low=0, default=1),
    "conserve_energy": _CONSERVE,
    "eps1": _EPS1,
    "eps2": _EPS2,
}

_ECDQ1: Mapping[str, Hyperparameter] = {
    "lr": _positive("step size Δt̂ = √η Δt", 0.8),
    "eta": Hyperparameter(float, "concentration exponent η", low=1.0, default=30.0),
    "nu": _non_negative("chaos strength ν̂ = ν√n", 0.0),
    "F0": _ALGORITHM["F0"],
    "weight_decay": _ALGORITHM["weight_decay"],
    "scale": _ALGORITHM["scale"],
    "conserve_energy": Hyperparameter(
        bool,
        "set |p| to 1 after each first-order kick; the exact flow keeps |p| = 1",
        only_with=("flow", "first_order"),
        default=True,
    ),
    "integrator": _ALGORITHM["integrator"],
    "flow": Hyperparameter(
        str,
        "flow of a kick: exact, or its first order",
        choices=FLOWS,
        default="exact",
    ),
    "eps2": _non_negative("no step while F − F0 is at most this, ε2", 1e-40),
}

_ECD_AUTO: Mapping[str, Hyperparameter] = {
    key: _ECDQ1[key] for key in ("F0", "weight_decay", "eps2")
}

_SGD: Mapping[str, Hyperparameter] = {
    "lr": _positive("learning rate α", 1e-3),
    "momentum": _fraction("momentum β", 0.0),
    "nesterov": Hyperparameter(bool, "Nesterov's momentum; needs β > 0", default=False),
    "weight_decay": _non_negative("L² term, added to the gradient", 0.0),
    "scale": replace(
        _ALGORITHM["scale"], doc="c of a tensor's α c²; share: as of ECDSep", words=(SHARE,)
    ),
}

_GDM: Mapping[str, Hyperparameter] = {
    **_SGD,
    "momentum": _fraction("momentum β of eq. 13", 0.9),
}


def _adam(weight_decay: Hyperparameter) -> Mapping[str, Hyperparameter]:
    return {
        "lr": _positive("learning rate α", 1e-3),
        "beta1": _fraction("decay of the mean of gradients, β1", 0.9),
        "beta2": _fraction("decay of the mean of squared gradients, β2", 0.999),
        "eps": _non_negative("added to the root of the second moment, ε", 1e-8),
        "weight_decay": weight_decay,
        "amsgrad": Hyperparameter(
            bool, "divide by the largest second moment so far", default=False
        ),
    }


def _peer(lr: float, decay: float, **others: float) -> Mapping[str, Hyperparameter]:
    """Return the hyperparameters of one of ``peers.py``, with its paper's defaults."""
    docs = {
        "momentum": "momentum",
        "beta1": "decay of the mean of gradients, β1",
        "beta2": "decay of the mean of squared gradients, β2",
    }
    return {
        "lr": _positive("learning rate", lr),
        **{name: _fraction(docs[name], default) for name, default in others.items()},
        "weight_decay": _non_negative("decoupled weight decay", decay),
    }


_DEFS = (
    OptimizerDef(
        name="ecdsep",
        title="ECDSep",
        factory="ecd_tune.optim.ecdsep:make",
        batched="ecd_tune.optim.batched.ecdsep:BatchedECDSep",
        hyperparameters=_ECDSEP,
        needs_loss=True,
    ),
    OptimizerDef(
        name="ecdsep_f0",
        title="ECDSep, self-tuning F0",
        factory="ecd_tune.optim.self_tuning.ecdsep_f0:make",
        batched="ecd_tune.optim.batched.ecdsep:make_ecdsep_f0",
        hyperparameters=_ECDSEP_F0,
        needs_loss=True,
    ),
    OptimizerDef(
        name="bbi",
        title="BBI",
        factory="ecd_tune.optim.bbi.optimizer:make",
        batched="ecd_tune.optim.batched.bbi:BatchedBBI",
        hyperparameters=_BBI,
        needs_loss=True,
    ),
    OptimizerDef(
        name="ecdq1",
        title="ECD (q=1)",
        factory="ecd_tune.optim.unit_speed.optimizer:make",
        batched="ecd_tune.optim.batched.unit_speed:BatchedECDq1",
        hyperparameters=_ECDQ1,
        needs_loss=True,
    ),
    OptimizerDef(
        name="ecd_auto",
        title="ECD auto",
        factory="ecd_tune.optim.unit_speed.optimizer:make_auto",
        batched="ecd_tune.optim.batched.unit_speed:make_ecd_auto",
        hyperparameters=_ECD_AUTO,
        needs_loss=True,
    ),
    OptimizerDef(
        name="gdm",
        title="GDM",
        factory="ecd_tune.optim.baselines:make_gdm",
        batched="ecd_tune.optim.batched.baselines:make_gdm",
        hyperparameters=_GDM,
    ),
    OptimizerDef(
        name="sgd",
        title="SGD",
        factory="ecd_tune.optim.baselines:make_sgd",
        batched="ecd_tune.optim.batched.baselines:BatchedSGD",
        hyperparameters=_SGD,
    ),
    OptimizerDef(
        name="adam",
        title="Adam",
        factory="ecd_tune.optim.baselines:make_adam",
        batched="ecd_tune.optim.batched.baselines:BatchedAdam",
        hyperparameters=_adam(_non_negative("L² term, added to the gradient", 0.0)),
    ),
    OptimizerDef(
        name="adamw",
        title="AdamW",
        factory="ecd_tune.optim.baselines:make_adamw",
        batched="ecd_tune.optim.batched.baselines:make_adamw",
        hyperparameters=_adam(_non_negative("decoupled weight decay, in units of 1/α", 0.01)),
    ),
    OptimizerDef(
        name="muon",
        title="Muon",
        factory="ecd_tune.optim.peers:make_muon",
        hyperparameters={
            **_peer(0.02, 0.0, momentum=0.95),
            "adamw_lr_ratio": _positive("AdamW's learning rate, for vectors, over lr", 0.015),
        },
    ),
    OptimizerDef(
        name="soap",
        title="SOAP",
        factory="ecd_tune.optim.peers:make_soap",
        hyperparameters=_peer(3e-3, 0.01, beta1=0.95, beta2=0.95),
    ),
    OptimizerDef(
        name="prodigy",
        title="Prodigy",
        factory="ecd_tune.optim.peers:make_prodigy",
        hyperparameters=_peer(1.0, 0.0, beta1=0.9, beta2=0.999),
    ),
    OptimizerDef(
        name="schedule_free",
        title="Schedule-Free AdamW",
        factory="ecd_tune.optim.peers:make_schedule_free",
        hyperparameters=_peer(2.5e-3, 0.0, beta1=0.9, beta2=0.999),
    ),
)

OPTIMIZER_DEFS: dict[str, OptimizerDef] = {definition.name: definition for definition in _DEFS}
"""The built-in optimizers by registry name."""


def check_hyperparameters(name: str, values: Mapping[str, Any]) -> dict[str, Any]:
    """Check values against an optimizer's declarations and fill in the defaults.

    Args:
        name: Registry name of a built-in optimizer.
        values: Hyperparameter to value: Python's and numpy's numbers, and arrays and tensors of one
            number. ``None`` leaves the choice to the optimizer if the declaration has no default.

    Returns:
        All hyperparameters by name, each as the declared type; None if left to the optimizer.

    Raises:
        HyperparameterError: An unknown name, a missing ``eta``, or a value that is not allowed;
            the message names the optimizer, the value and what is allowed.
    """
    declared = OPTIMIZER_DEFS[name].hyperparameters
    unknown = sorted(set(values) - set(declared))
    if unknown:
        raise HyperparameterError(
            f"{name} has no hyperparameter {', '.join(unknown)}; known: {', '.join(declared)}"
        )
    for key, hyperparameter in declared.items():
        if hyperparameter.required and values.get(key) is None:
            raise HyperparameterError(f"{name}: {key} is required; {hyperparameter.allowed}")
    return {key: _checked(name, key, h, values) for key, h in declared.items()}


def _checked(name: str, key: str, declared: Hyperparameter, values: Mapping[str, Any]) -> Any:
    value = _plain(values.get(key))
    if value is None:
        return declared.default
    problem = declared.problem(value)
    if problem:
        raise HyperparameterError(f"{name}: {key} = {value!r} {problem}")
    return declared.read(value)


def _plain(value: Any) -> Any:
    """Return a number of numpy, or an array or tensor of one number, as Python's own."""
    one = tuple(getattr(value, "shape", (0,))) in ((), (1,))
    return value.item() if one and hasattr(value, "item") else value
