"""``extends`` and ``[smoke]``: merging of files."""

from __future__ import annotations

from pathlib import Path

import pytest

from ecd_tune.errors import SpecError
from ecd_tune.spec import load_study
from ecd_tune.spec.files import merge_tables

BASE = """
name = "base"
[task]
name = "digits"
hidden = 16
[budget]
trials = 40
steps = 5
[optimizers.sgd.space]
lr = { low = 1e-3, high = 1.0, log = true }
momentum = [0.0, 0.9]
"""
CHILD = """
extends = "base.toml"
name = "child"
[budget]
steps = 7
[optimizers.sgd.space]
momentum = 0.5
[smoke]
note = "three trials"
budget = { trials = 3, steps = 1 }
confirmation = { runs = 2 }
"""


@pytest.fixture
def child(tmp_path: Path) -> Path:
    (tmp_path / "base.toml").write_text(BASE)
    path = tmp_path / "child.toml"
    path.write_text(CHILD)
    return path


def test_a_child_overrides_what_it_names_and_keeps_the_rest(child: Path) -> None:
    spec = load_study(child)
    assert (spec.name, spec.budget.trials, spec.budget.steps) == ("child", 40, 7)
    assert spec.task.options == {"hidden": 16}
    space = spec.optimizers["sgd"].space
    assert space.describe() == {"lr": "[0.001, 1] log", "momentum": "= 0.5"}
    assert spec.smoke == ""


def test_smoke_is_another_study(child: Path) -> None:
    spec = load_study(child, smoke=True)
    assert spec.name == "child-smoke"
    assert (spec.budget.trials, spec.budget.steps, spec.confirmation.runs) == (3, 1, 2)
    assert spec.smoke == "three trials"
    assert spec.fingerprint("sgd") != load_study(child).fingerprint("sgd")


def test_file_without_smoke_table_is_an_error(tmp_path: Path) -> None:
    path = tmp_path / "base.toml"
    path.write_text(BASE)
    with pytest.raises(SpecError, match=r"base\.toml: has no \[smoke\] table"):
        load_study(path, smoke=True)
    path.write_text('smoke = "yes"\n' + BASE)
    with pytest.raises(SpecError, match="smoke: 'yes': expected a table"):
        load_study(path)
    path.write_text(BASE + "[smoke]\nbudget = { trials = 1 }\n")
    with pytest.raises(SpecError, match=r"\[smoke\]: note: is missing"):
        load_study(path, smoke=True)
    assert load_study(path).budget.trials == 40


def test_circular_and_missing_bases_are_errors(tmp_path: Path) -> None:
    one, two = tmp_path / "one.toml", tmp_path / "two.toml"
    one.write_text('extends = "two.toml"')
    two.write_text('extends = "one.toml"')
    with pytest.raises(SpecError, match=r"extends itself: one\.toml extends two\.toml"):
        load_study(one)
    two.write_text('extends = "gone.toml"')
    with pytest.raises(SpecError, match=r"gone\.toml: cannot be read \(extended by two\.toml\)"):
        load_study(one)
    two.write_text("extends = 3")
    with pytest.raises(SpecError, match="expected the path of a study file"):
        load_study(two)


def test_merging_replaces_all_but_tables() -> None:
    base = {"a": {"x": 1, "y": [1, 2]}, "b": 1}
    merged = merge_tables(base, {"a": {"y": [3]}, "c": {"z": 0}})
    assert merged == {"a": {"x": 1, "y": [3]}, "b": 1, "c": {"z": 0}}
    assert base == {"a": {"x": 1, "y": [1, 2]}, "b": 1}


def test_training_is_checked_for_each_optimizer(tmp_path: Path) -> None:
    path = tmp_path / "base.toml"
    path.write_text(BASE + '[optimizers.sgd.training]\nschedule = { name = "linaer" }\n')
    with pytest.raises(SpecError, match=r"\[optimizers\.sgd\.training\.schedule\].*linaer"):
        load_study(path)
    text = '[training]\nclip = 1.0\n[optimizers.sgd.training]\nschedule = { name = "linear" }\n'
    path.write_text(BASE + text)
    training = load_study(path).training_for("sgd")
    assert (training.clip, training.schedule.name) == (1.0, "linear")


def test_the_papers_protocol_makes_oracle_numbers_of_tasks_that_learn(tmp_path: Path) -> None:
    path = tmp_path / "base.toml"
    path.write_text(BASE)
    clean = load_study(path)
    assert not clean.oracle
    assert clean.metric == "best validation accuracy over the epochs"
    path.write_text(BASE.replace('name = "base"', 'name = "base"\nprotocol = "paper"'))
    paper = load_study(path)
    assert paper.oracle
    assert paper.metric == "best test accuracy over the epochs"
    assert paper.fingerprint("sgd") != clean.fingerprint("sgd")
    synthetic = BASE.replace('"digits"\nhidden = 16', '"ackley"').replace("sgd", "gdm")
    path.write_text(synthetic.replace('name = "base"', 'name = "base"\nprotocol = "paper"'))
    assert not load_study(path).oracle
