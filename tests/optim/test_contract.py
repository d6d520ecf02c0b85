"""Every built-in optimizer satisfies the contract of ecd_tune.testing.optimizer."""

from __future__ import annotations

from typing import ClassVar

from ecd_tune.optim.definitions import OPTIMIZER_DEFS
from ecd_tune.testing.optimizer import BatchedOptimizerContract, OptimizerContract


class TestECDSep(OptimizerContract):
    definition = OPTIMIZER_DEFS["ecdsep"]
    hyperparameters: ClassVar = {"lr": 0.2, "eta": 2.0, "nu": 0.01, "weight_decay": 0.01}


class TestECDSepUnbounded(OptimizerContract):
    definition = OPTIMIZER_DEFS["ecdsep"]
    hyperparameters: ClassVar = {"lr": 0.05, "eta": 2.0, "nu": 0.01, "s": 0, "integrator": "sync"}


class TestECDSepDecoupled(OptimizerContract):
    definition = OPTIMIZER_DEFS["ecdsep"]
    hyperparameters: ClassVar = {
        "lr": 0.2, "eta": 2.0, "nu": 0.01, "weight_decay": 0.01, "decoupled_weight_decay": True
    }  # fmt: skip


class TestECDSepAuto(OptimizerContract):
    definition = OPTIMIZER_DEFS["ecdsep"]
    hyperparameters: ClassVar = {"lr": "auto", "eta": 2.0, "nu": "auto", "F0": "auto"}


class TestECDSepF0(OptimizerContract):
    definition = OPTIMIZER_DEFS["ecdsep_f0"]
    hyperparameters: ClassVar = {"lr": 0.05, "eta": 3, "nu": 0.01, "F0": 1.2}


class TestBBI(OptimizerContract):
    definition = OPTIMIZER_DEFS["bbi"]
    hyperparameters: ClassVar = {"lr": 0.02, "delta_energy": 0.1, "T0": 7, "T1": 11, "n_bounces": 3}


class TestECDq1(OptimizerContract):
    definition = OPTIMIZER_DEFS["ecdq1"]
    hyperparameters: ClassVar = {"lr": 0.5, "eta": 20.0, "nu": 0.1, "weight_decay": 0.01}


class TestECDq1FirstOrder(OptimizerContract):
    definition = OPTIMIZER_DEFS["ecdq1"]
    hyperparameters: ClassVar = {
        "lr": 0.5, "eta": 20.0, "nu": 0.1, "flow": "first_order", "integrator": "sync"
    }  # fmt: skip


class TestGDM(OptimizerContract):
    definition = OPTIMIZER_DEFS["gdm"]
    hyperparameters: ClassVar = {"lr": 0.01}


class TestSGDScaled(OptimizerContract):
    definition = OPTIMIZER_DEFS["sgd"]
    hyperparameters: ClassVar = {"lr": 0.01, "momentum": 0.9, "weight_decay": 0.01, "scale": 0.7}


class TestSGD(OptimizerContract):
    definition = OPTIMIZER_DEFS["sgd"]
    hyperparameters: ClassVar = {"lr": 0.05, "weight_decay": 0.01}


class TestAdam(OptimizerContract):
    definition = OPTIMIZER_DEFS["adam"]
    hyperparameters: ClassVar = {"lr": 0.05}


class TestAdamW(OptimizerContract):
    definition = OPTIMIZER_DEFS["adamw"]
    hyperparameters: ClassVar = {"lr": 0.05}


class TestBatchedECDSep(BatchedOptimizerContract):
    definition = OPTIMIZER_DEFS["ecdsep"]
    rows = (
        {"eta": 1.0},
        {"eta": 2.0, "lr": 0.05, "nu": 0.1, "s": 0},
        {"eta": 1.5, "lr": 0.1, "nu": 0.01, "delta_energy": 2.0, "weight_decay": 0.1},
        {"eta": 3.0, "lr": 0.1, "nu": 0.0, "conserve_energy": False, "delta_energy": 0.3},
        {"eta": 2.0, "lr": 0.1, "weight_decay": 0.3, "decoupled_weight_decay": True},
        {"eta": 2.0, "lr": 0.3, "F0": 0.6, "on_gap": "shift", "s": 0, "nu": 0.2},
        {"eta": 1.0, "lr": 0.3, "F0": 0.8, "on_gap": "stop", "s": 0, "nu": 0.2},
        {"eta": 1.0, "lr": 0.3, "F0": 0.8, "on_gap": "hold", "s": 0, "eps2": 1e-3},
        {"eta": 2.0, "lr": 0.1, "F0": 10.0, "on_gap": "shift", "eps1": 0.5},
    )


class TestBatchedAuto(BatchedOptimizerContract):
    """Chaos doubles rounding every few steps, and so do steps that follow from the way so far."""

    definition = OPTIMIZER_DEFS["ecdsep"]
    tolerance = 1e-6
    rows = (
        {"eta": 2.0, "lr": "auto", "nu": "auto", "F0": "auto"},
        {"eta": 3.0, "lr": 0.05, "nu": "auto", "s": 0},
        {"eta": 2.0, "lr": "auto", "orbit_step": 0.1, "nu": 0.1},
        {"eta": 2.0, "lr": 0.3, "F0": "auto", "on_gap": "shift", "weight_decay": 0.1},
        {"eta": 1.0, "lr": 0.2},
    )


class TestBatchedSync(BatchedOptimizerContract):
    definition = OPTIMIZER_DEFS["ecdsep"]
    rows = tuple(
        {"eta": 2.0, "lr": lr, "nu": 0.02, "s": s, "integrator": "sync"}
        for lr in (0.05, 0.2)
        for s in (0, 1)
    )


class TestBatchedBBI(BatchedOptimizerContract):
    definition = OPTIMIZER_DEFS["bbi"]
    rows = (
        {"lr": 0.02},
        {"lr": 0.03, "delta_energy": 0.5, "T0": 5, "T1": 9, "n_bounces": 3},
        {"lr": 0.01, "v0": 0.3, "conserve_energy": False, "T0": 30, "T1": 4},
        {"lr": 0.05, "v0": 0.8, "T0": 10},
        {"lr": 0.05, "v0": 50.0},
    )


class TestBatchedECDq1(BatchedOptimizerContract):
    """Chaos doubles rounding every few steps."""

    definition = OPTIMIZER_DEFS["ecdq1"]
    steps = 40
    rows = (
        {},
        {"lr": 0.3, "eta": 3.0, "nu": 0.2},
        {"lr": 0.1, "eta": 1.0, "weight_decay": 0.1},
        {"lr": 3.0, "F0": 0.45},
        {"F0": 50.0},
        {"lr": 0.3, "F0": 0.8, "eps2": 0.5},
    )


class TestBatchedECDq1FirstOrder(BatchedOptimizerContract):
    definition = OPTIMIZER_DEFS["ecdq1"]
    steps = 40
    rows = (
        {"flow": "first_order", "integrator": "sync", "nu": 0.2},
        {"flow": "first_order", "integrator": "sync", "lr": 0.1, "eta": 3.0, "weight_decay": 0.1},
        {"flow": "first_order", "integrator": "sync", "lr": 0.1, "eta": 2.0, "nu": 0.3,
         "conserve_energy": False},
    )  # fmt: skip


class TestBatchedGDM(BatchedOptimizerContract):
    definition = OPTIMIZER_DEFS["gdm"]
    rows = ({"lr": 0.01}, {"lr": 0.02, "momentum": 0.0}, {"lr": 0.001, "momentum": 0.99})


class TestBatchedSGD(BatchedOptimizerContract):
    definition = OPTIMIZER_DEFS["sgd"]
    rows = (
        {"lr": 0.01},
        {"lr": 0.02, "momentum": 0.9, "nesterov": True},
        {"lr": 0.01, "momentum": 0.5, "weight_decay": 0.1},
        {"lr": 0.03, "momentum": 0.7, "nesterov": True, "weight_decay": 0.01},
    )


ADAM_ROWS = (
    {"lr": 0.01},
    {"lr": 0.1, "beta1": 0.7, "beta2": 0.9, "eps": 1e-6, "weight_decay": 0.0},
    {"lr": 0.05, "beta1": 0.0, "beta2": 0.99, "weight_decay": 0.2},
    # Forgets its large first gradients at once, so that the largest square is not the last one.
    {"lr": 0.05, "beta1": 0.5, "beta2": 0.5, "amsgrad": True},
)


class TestBatchedAdam(BatchedOptimizerContract):
    definition = OPTIMIZER_DEFS["adam"]
    rows = ADAM_ROWS


class TestBatchedAdamW(BatchedOptimizerContract):
    definition = OPTIMIZER_DEFS["adamw"]
    rows = ADAM_ROWS
