"""Spaces that name derived quantities and the schedule."""

import re
import tomllib
from pathlib import Path

import pytest

from ecd_tune.errors import SpecError
from ecd_tune.spec import parse_study


def study(space, task="digits", optimizer="ecdsep", **more):
    return parse_study(
        {
            "name": "derived",
            "task": {"name": task},
            "budget": {"trials": 2, "steps": 3},
            "optimizers": {optimizer: {"space": space, **more}},
        }
    )


def test_eta_eff_replaces_eta_and_nu_sqrt_n_replaces_nu():
    spec = study(
        {
            "eta_eff": {"low": 2.0, "high": 6.0},
            "nu_sqrt_n": {"low": 1e-3, "high": 10.0, "log": True},
        }
    )
    assert spec.optimizers["ecdsep"].space.searched == ("eta_eff", "nu_sqrt_n")
    given = spec.optimizers["ecdsep"].resolve({"eta_eff": 2.0, "nu_sqrt_n": 1.0}, 100)
    assert list(given) == ["eta", "nu"]
    assert given["nu"] == 0.1


@pytest.mark.parametrize(
    ("space", "words"),
    [
        ({"eta": 1.0, "nu": 1e-5, "nu_sqrt_n": 0.1}, "nu and nu_sqrt_n: give only one"),
        ({"eta": 1.0, "nu_sqrt_n": -0.1}, "nu_sqrt_n: value -0.1 must be >= 0"),
        ({"nu_sqrt_n": 0.1}, "eta: is missing"),
        ({"eta_eff": 0.5}, "eta_eff: value 0.5 must be >= 1"),
        ({"eta": 1.0, "one_minus_beta1": 0.1}, "one_minus_beta1: 'ecdsep' has no such"),
        ({"eta": 1.0, "schedule": ["constant", "linaer"]}, "schedule: choice 'linaer' must be"),
        ({"eta": 1.0, "schedule_final": 2.0}, "schedule_final: value 2.0 must be"),
        ({"eta": 1.0, "nu": "often"}, "nu: value 'often' must be a number or 'auto'"),
        ({"eta": "auto"}, "eta: value 'auto' must be a number"),
        ({"eta": 1.0, "lr": ["auto", -1.0]}, "lr: choice -1.0 must be > 0 or 'auto'"),
        ({"eta": 1.0, "orbit_step": 0.3}, "orbit_step: only allowed with lr = 'auto'"),
        ({"eta_eff": 2.0, "nu": ["auto", 0.1]}, "eta_eff: is derived from nu, not from 'auto'"),
        (
            {"eta": 1.0, "scale": {"embeddings": 3.0}},
            "scale.embeddings: task 'digits' has no group 'embeddings' of parameters; known: "
            "matrices, vectors",
        ),
        ({"eta": {"matrices": 1.0}}, "eta.matrices: of 'ecdsep', scale may differ by group"),
        ({"eta": 1.0, "scale": {"vectors": 0.0}}, "scale.vectors: value 0.0 must be > 0 or"),
        ({"eta": 1.0, "skale": {"vectors": 1.0}}, "skale.vectors: 'ecdsep' has no such"),
    ],
)
def test_invalid_derived_values_are_reported(space, words):
    with pytest.raises(SpecError) as error:
        study(space)
    assert words in str(error.value)


def test_scale_of_a_group_can_be_searched():
    ends = {"low": 1.0, "high": 100.0, "log": True}
    references = [{"label": "ours", "params": {"eta": 1.0, "scale.matrices": 3.0}}]
    space = {"eta": 1.0, "scale": {"matrices": ends, "vectors": [1.0, "share"]}}
    spec = study(space, references=references).optimizers["ecdsep"]
    assert spec.space.searched == ("scale.matrices", "scale.vectors")
    assert spec.space.dimensions["scale.matrices"].bounds() == (1.0, 100.0)
    wrong = [{"label": "ours", "params": {"eta": 1.0, "scale.rows": 3.0}}]
    with pytest.raises(SpecError, match=r"references\.ours\]: scale\.rows: task 'digits' has no"):
        study({"eta": 1.0}, references=wrong)


def test_tasks_of_one_tensor_and_adam_have_no_scales_by_group():
    space = {"eta": 1.0, "scale": {"matrices": 3.0}}
    with pytest.raises(SpecError, match=r"task 'zakharov' has no group 'matrices'.*known: none"):
        study(space, task="zakharov")
    with pytest.raises(SpecError, match=r"scale\.matrices: 'adam' has no such hyperparameter"):
        study({"scale": {"matrices": 3.0}}, optimizer="adam")


def test_the_documented_space_of_ecd_at_unit_speed_is_a_space():
    text = (Path(__file__).parents[2] / "docs" / "study-files.md").read_text()
    (table,) = re.findall(r"```toml\n(\[optimizers\.ecdq1\.space\].*?)```", text, re.DOTALL)
    space = tomllib.loads(table)["optimizers"]["ecdq1"]["space"]
    spec = study(space, optimizer="ecdq1").optimizers["ecdq1"]
    assert spec.space.searched == ("lr", "eta", "nu")
    assert spec.resolve({"lr": 1.0, "eta": 100.0, "nu": 0.1}, 10**6)["nu"] == 0.1


@pytest.mark.parametrize(
    ("space", "words"),
    [
        ({"nu_sqrt_n": 0.1}, "nu_sqrt_n: 'ecdq1' has no such"),
        ({"eta_eff": 10.0}, "eta_eff: 'ecdq1' has no such"),
        ({"conserve_energy": False}, "conserve_energy: only allowed with flow = 'first_order'"),
    ],
)
def test_unsupported_names_of_ecd_at_unit_speed(space, words):
    with pytest.raises(SpecError) as error:
        study(space, optimizer="ecdq1")
    assert words in str(error.value)


def test_automatic_values_can_be_fixed_or_searched():
    space = {
        "eta": 2.0,
        "lr": "auto",
        "orbit_step": {"low": 0.03, "high": 3.0, "log": True},
        "nu": ["auto", 1e-3],
        "F0": "auto",
        "decoupled_weight_decay": [True, False],
    }
    spec = study(space)
    assert spec.optimizers["ecdsep"].space.searched == (
        "orbit_step", "nu", "decoupled_weight_decay"
    )  # fmt: skip
    params = {"eta": 2.0, "lr": "auto", "orbit_step": 0.5, "nu": "auto", "F0": "auto"}
    assert spec.optimizers["ecdsep"].resolve(params, 100) == params
    with pytest.raises(
        SpecError, match=r"references.own.*orbit_step: only allowed with lr = 'auto'"
    ):
        study(space, references=[{"label": "own", "params": {"eta": 1.0, "orbit_step": 0.3}}])


def test_references_can_use_derived_values():
    reference = {"label": "by-hand", "params": {"eta": 1.0, "nu_sqrt_n": 0.1}}
    spec = study({"eta": 1.0}, references=[reference])
    assert spec.optimizers["ecdsep"].references[0].params["nu_sqrt_n"] == 0.1
    with pytest.raises(SpecError, match="eta: is missing"):
        study({"eta": 1.0}, references=[{"label": "by-hand", "params": {"nu": 0.1}}])


def test_a_searched_schedule_changes_the_training_and_not_the_optimizer():
    space = {"lr": 0.1, "schedule": ["constant", "cosine"], "schedule_final": {"low": 0, "high": 1}}
    spec = study(space, optimizer="sgd", training={"schedule": {"warmup": 0.5}, "clip": 1.0})
    point = {"lr": 0.1, "schedule": "cosine", "schedule_final": 0.25}
    training = spec.training_for("sgd", point)
    assert training.clip == 1.0
    schedule = training.schedule
    assert (schedule.name, schedule.final, schedule.warmup) == ("cosine", 0.25, 0.5)
    assert spec.training_for("sgd").schedule.name == "constant"
    assert spec.optimizers["sgd"].resolve(point, 10) == {"lr": 0.1}


def test_a_task_that_counts_iterations_has_no_schedule_to_search():
    with pytest.raises(SpecError, match="schedule: task 'ackley' counts iterations"):
        study({"lr": 0.1, "schedule": "linear"}, task="ackley", optimizer="adam")
