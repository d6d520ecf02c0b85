"""The shipped tasks satisfy the contract."""

from typing import ClassVar

from ecd_tune.tasks import TASK_DEFS
from ecd_tune.testing.stacking import StackableTaskContract
from ecd_tune.testing.task import BatchedTaskContract


class TestZakharovFixed(BatchedTaskContract):
    definition = TASK_DEFS["zakharov"]
    seeded = False


class TestZakharovUniform(BatchedTaskContract):
    definition = TASK_DEFS["zakharov"]
    options: ClassVar = {"start": "uniform", "n": 4}


class TestZakharovFloat32(BatchedTaskContract):
    definition = TASK_DEFS["zakharov"]
    options: ClassVar = {"start": "uniform", "dtype": "float32"}
    difference, tolerance = 1e-3, 1e-3


class TestAckleyFixed(BatchedTaskContract):
    definition = TASK_DEFS["ackley"]
    seeded = False


class TestAckleyUniform(BatchedTaskContract):
    definition = TASK_DEFS["ackley"]
    options: ClassVar = {"start": "uniform", "slope": 0.02}


class TestAckleyFloat32(BatchedTaskContract):
    definition = TASK_DEFS["ackley"]
    options: ClassVar = {"start": "uniform", "dtype": "float32"}
    difference, tolerance = 1e-3, 1e-2


class TestDigitsMlp(StackableTaskContract):
    definition = TASK_DEFS["digits"]
    difference, tolerance = 1e-3, 1e-2


class TestDigitsLogistic(StackableTaskContract):
    definition = TASK_DEFS["digits"]
    options: ClassVar = {"model": "logistic", "batch_size": 32}
    difference, tolerance = 1e-3, 1e-2


class TestQuadratic(BatchedTaskContract):
    definition = TASK_DEFS["quadratic"]


class TestQuadraticFloat32(BatchedTaskContract):
    definition = TASK_DEFS["quadratic"]
    options: ClassVar = {"n": 5, "dtype": "float32"}
    difference, tolerance = 1e-3, 1e-3


class TestRippledBowl(BatchedTaskContract):
    definition = TASK_DEFS["rippled_bowl"]
    options: ClassVar = {"n": 6}


class TestNoisyLogistic(BatchedTaskContract):
    definition = TASK_DEFS["noisy_logistic"]


class TestNoisyLogisticFloat32(BatchedTaskContract):
    definition = TASK_DEFS["noisy_logistic"]
    options: ClassVar = {"dtype": "float32"}
    difference, tolerance = 1e-3, 1e-2
