"""Every task by name, with its options, metric and direction.

This module imports no torch, so that study files can be checked without it.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ecd_tune.errors import TaskError
from ecd_tune.records import Direction, Scalar
from ecd_tune.registry import Option, TaskDef
from ecd_tune.tasks.glue.definitions import GLUE_DEFS
from ecd_tune.tasks.graphs.definitions import GRAPH_DEFS
from ecd_tune.tasks.images.definitions import IMAGE_DEFS
from ecd_tune.tasks.text.definitions import TEXT_DEFS

__all__ = ["TASK_DEFS", "check_options"]

_DTYPE = Option(
    str,
    "float64",
    "floating-point type; the paper used float32",
    choices=("float64", "float32"),
)

_ZAKHAROV = TaskDef(
    name="zakharov",
    title="Zakharov function",
    factory="ecd_tune.tasks.synthetic:make_zakharov",
    metric="minimum of F over the iterates",
    direction=Direction.MINIMIZE,
    budget_unit="iterations",
    options={
        "n": Option(int, 10, "dimension", low=1),
        "start": Option(
            str,
            "ones",
            "ones: (1, …, 1); uniform: U(0, 1.5) in each direction, by seed",
            choices=("ones", "uniform"),
        ),
        "dtype": _DTYPE,
    },
    batched=True,
    source="eq. 28, §4.1 and B.1 of the paper",
)

_ACKLEY = TaskDef(
    name="ackley",
    title="Regularised Ackley function",
    factory="ecd_tune.tasks.synthetic:make_ackley",
    metric="minimum of F over the iterates",
    direction=Direction.MINIMIZE,
    budget_unit="iterations",
    options={
        "start": Option(
            str,
            "fixed",
            "fixed: (-4, 3); uniform: U(0, 3) in each direction, by seed",
            choices=("fixed", "uniform"),
        ),
        "slope": Option(
            float,
            0.2,
            "coefficient of the distance in the first exponential: the paper has 0.2, its public "
            "code 0.02",
            choices=(0.2, 0.02),
        ),
        "dtype": _DTYPE,
    },
    batched=True,
    source="eq. 29, §4.1 and B.1 of the paper",
)

_N = Option(int, 50, "dimension", low=1)
_F_MIN = Option(float, 1.0, "lowest loss")
_START = {
    "start": Option(
        str,
        "normal",
        "normal: N(0, spread²) in each direction, by seed; ones: (1, …, 1)",
        choices=("normal", "ones"),
    ),
    "spread": Option(float, 1.0, "standard deviation of a normal start", low=0.0),
    "dtype": _DTYPE,
}

_QUADRATIC = TaskDef(
    name="quadratic",
    title="Quadratic basin",
    factory="ecd_tune.tasks.systems:make_quadratic",
    metric="minimum of F over the iterates",
    direction=Direction.MINIMIZE,
    budget_unit="iterations",
    options={
        "n": _N,
        "condition": Option(float, 10.0, "ratio of the largest to the smallest curvature", low=1.0),
        "curvature": Option(
            float,
            1.0,
            "F2, geometric mean of the curvatures, half the Hessian's eigenvalues",
            low=0.0,
        ),
        "F_min": _F_MIN,
        **_START,
    },
    batched=True,
    source="test system of the theory: F = Fmin + Σ F2_i θ_i²",
)

_RIPPLED_BOWL = TaskDef(
    name="rippled_bowl",
    title="Rippled bowl",
    factory="ecd_tune.tasks.systems:make_rippled_bowl",
    metric="minimum of F over the iterates",
    direction=Direction.MINIMIZE,
    budget_unit="iterations",
    options={"n": _N, "F_min": _F_MIN, **_START},
    batched=True,
    source="test system of the theory: F = Fmin + Σ (θ_i² + 1 − cos 2πθ_i)",
)

_NOISY_LOGISTIC = TaskDef(
    name="noisy_logistic",
    title="Logistic loss with wrong labels",
    factory="ecd_tune.tasks.systems:make_noisy_logistic",
    metric="minimum of F over the iterates",
    direction=Direction.MINIMIZE,
    budget_unit="iterations",
    options={
        "n": Option(int, 20, "dimension of an example", low=1),
        "examples": Option(int, 200, "number of examples", low=1),
        "decay": Option(float, 0.01, "coefficient of ½θ² in the loss", low=0.0),
        "data_seed": Option(int, 0, "seed of the data", low=0),
        **_START,
    },
    batched=True,
    source="test system of the theory: random examples, one label in ten wrong",
)

_DIGITS = TaskDef(
    name="digits",
    title="Handwritten digits, 8x8",
    factory="ecd_tune.tasks.digits:make",
    metric="best validation accuracy over the epochs",
    direction=Direction.MAXIMIZE,
    budget_unit="epochs",
    options={
        "model": Option(
            str,
            "mlp",
            "mlp: 64-hidden-10 with ReLU; logistic: 64-10",
            choices=("mlp", "logistic"),
        ),
        "hidden": Option(int, 32, "width of the hidden layer of the mlp", low=1),
        "batch_size": Option(int, 64, "examples per step", low=1),
        "split_seed": Option(int, 0, "seed of the training/validation/test split", low=0),
    },
    confirm_metric="test_accuracy",
    groups=("matrices", "vectors"),
    source="scikit-learn's bundled copy of the UCI optical digits test set, 1797 images",
)

TASK_DEFS: dict[str, TaskDef] = {
    definition.name: definition
    for definition in (
        _ZAKHAROV,
        _ACKLEY,
        _DIGITS,
        _QUADRATIC,
        _RIPPLED_BOWL,
        _NOISY_LOGISTIC,
    )
}
"""The built-in tasks by registry name."""

TASK_DEFS |= GRAPH_DEFS
TASK_DEFS |= GLUE_DEFS
TASK_DEFS |= IMAGE_DEFS
TASK_DEFS |= TEXT_DEFS


def check_options(definition: TaskDef, given: Mapping[str, Any]) -> dict[str, Scalar]:
    """Check a task's options and fill in its defaults.

    Args:
        definition: The task.
        given: Option to value.

    Returns:
        All options by name.

    Raises:
        TaskError: An unknown option, or a value that is not allowed.
    """
    for name, value in given.items():
        if name not in definition.options:
            raise TaskError(
                f"{definition.name} has no option {name!r}; known: "
                f"{', '.join(definition.options) or 'none'}"
            )
        if reason := definition.options[name].problem(value):
            raise TaskError(f"{definition.name}: {name} = {value!r} {reason}")
    return {name: given.get(name, option.default) for name, option in definition.options.items()}
