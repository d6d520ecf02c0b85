"""Shipped study files, the documented example, and messages about wrong files."""

import re
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

from ecd_tune.errors import SpecError, UnknownNameError
from ecd_tune.records import Stage
from ecd_tune.spec import find_study, load_study, parse_study, shipped_studies

ROOT = Path(__file__).parents[2]

GOOD = """
name = "small"
[task]
name = "zakharov"
[budget]
trials = 10
steps = 20
[optimizers.ecdsep.space]
lr = { low = 1e-2, high = 10.0, log = true }
eta = 1.5
[[optimizers.ecdsep.references]]
label = "paper"
params = { eta = 1.0 }
"""


def write(folder, text):
    path = folder / "small.toml"
    path.write_text(text, encoding="utf-8")
    return path


class TestShipped:
    @pytest.mark.parametrize("name", sorted(shipped_studies()))
    def test_loads_under_its_own_name(self, name):
        spec = load_study(find_study(name))
        assert spec.name == name
        assert spec.title
        assert spec.summary

    @pytest.mark.parametrize("name", sorted(shipped_studies()))
    def test_task_options_are_allowed_in_both_stages(self, name):
        spec = load_study(find_study(name))
        for stage in spec.stages:
            for option, value in spec.task_options(stage).items():
                assert spec.task_def.options[option].problem(value) is None

    def test_synthetic_studies_follow_the_papers_protocol(self):
        for name, steps in (("zakharov", 3500), ("ackley", 2000)):
            spec = load_study(find_study(name))
            assert (spec.budget.trials, spec.budget.steps) == (500, 250)
            assert spec.sampler.name == "tpe"
            assert spec.confirmation.runs >= 100
            assert spec.steps(Stage.CONFIRM) == steps
            assert spec.task_options(Stage.CONFIRM)["start"] == "uniform"
            assert all(optimizer.references for optimizer in spec.optimizers.values())

    def test_zakharov_has_the_papers_ranges(self):
        optimizers = load_study(find_study("zakharov")).optimizers
        ecdsep = {n: d.describe() for n, d in optimizers["ecdsep"].space.dimensions.items()}
        assert ecdsep["lr"] == "[0.01, 10000]"
        assert ecdsep["eta"] == "[1, 4]"
        assert ecdsep["nu"] == "[1e-08, 1]"
        assert ecdsep["delta_energy"] == "[0, 5]"
        assert ecdsep["conserve_energy"] == "{true, false}"
        assert optimizers["gdm"].space.dimensions["lr"].describe() == "[1e-08, 0.001]"
        assert optimizers["bbi"].space.dimensions["lr"].describe() == "[0.0001, 0.01]"
        assert optimizers["adam"].space.searched == ("lr", "beta1", "beta2", "eps")

    def test_ackley_has_the_papers_constants(self):
        spec = load_study(find_study("ackley"))
        assert spec.task_options(Stage.SEARCH)["slope"] == 0.2
        dimensions = spec.optimizers["ecdsep"].space.dimensions
        assert (dimensions["delta_energy"].value, dimensions["F0"].value) == (0.0, 0.0)
        assert dimensions["eta"].describe() == "[1, 10]"

    def test_digits_searches_logarithmic_ranges(self):
        spec = load_study(find_study("digits"))
        assert spec.protocol == "clean"
        assert spec.confirmation.runs == 10
        wanted = {"lr", "eta", "nu", "delta_energy", "weight_decay", "conserve_energy"}
        assert set(spec.optimizers["ecdsep"].space.searched) == wanted
        assert list(spec.optimizers) == ["ecdsep", "sgd", "adam", "adamw"]
        for optimizer in spec.optimizers.values():
            for name in ("lr", "weight_decay"):
                assert optimizer.space.dimensions[name].log

    def test_loading_all_of_them_imports_no_torch(self):
        code = (
            "import sys; from ecd_tune.spec import *\n"
            "for path in shipped_studies().values(): load_study(path)\n"
            "sys.exit('torch' in sys.modules or 'optuna' in sys.modules)"
        )
        assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0

    def test_unknown_name_suggests_a_known_one(self):
        with pytest.raises(UnknownNameError, match="did you mean 'zakharov'"):
            find_study("zakarov")

    def test_python_file_without_task_name_is_an_error(self):
        with pytest.raises(SpecError, match=r"name the task in it, my\.py:NAME"):
            find_study("my.py")

    def test_path_is_used_unchanged(self):
        assert find_study("elsewhere/my.toml") == Path("elsewhere/my.toml")


class TestDocumentation:
    TEXT = (ROOT / "docs/study-files.md").read_text(encoding="utf-8")

    def test_the_example_is_a_study(self):
        example = re.search(r"```toml\n(.*?)```", self.TEXT, re.DOTALL).group(1)
        spec = parse_study(tomllib.loads(example))
        assert spec.optimizers["heavy-ball"].definition.name == "gdm"
        assert spec.optimizers["heavy-ball"].references[0].label == "by-hand"
        assert spec.sampler.options == {"n_startup_trials": 20}

    def test_documented_message_is_the_actual_one(self, tmp_path):
        path = write(tmp_path, GOOD.replace("eta = 1.5", ""))
        with pytest.raises(SpecError) as error:
            load_study(path)
        shown = re.search(r"^my-study\.toml (.*)$", self.TEXT, re.MULTILINE).group(1)
        assert shown in str(error.value)

    def test_every_optimizer_and_training_key_is_named(self):
        from ecd_tune.registry import OPTIMIZERS
        from ecd_tune.spec import Averaging, PruningSpec, Retries, Schedule, TrainingSpec

        words = [d.name for d in OPTIMIZERS]
        for table in (Averaging, PruningSpec, Retries, Schedule, TrainingSpec):
            words += list(table.model_fields)
        assert [word for word in words if f"`{word}`" not in self.TEXT] == []


WRONG = {
    "unknown key": ("trials = 10", "trails = 10", ["[budget]: trails", "unknown key"]),
    "unknown top-level key": ('name = "small"', 'name = "small"\nseeds = 1', ["seeds", "unknown"]),
    "missing table": ("[budget]\ntrials = 10\nsteps = 20", "", ["budget", "is missing"]),
    "missing steps": ("steps = 20", "", ["[budget]: steps", "is missing"]),
    "missing trials": ("trials = 10", "", ["[budget]: trials", "is missing", "grid"]),
    "wrong type": ("steps = 20", 'steps = "many"', ["[budget]: steps", "'many'", "whole number"]),
    "negative steps": ("steps = 20", "steps = -1", ["[budget]: steps", "-1", "at least 1"]),
    "bad name": ('name = "small"', 'name = "a/b"', ["name", "'a/b'"]),
    "empty range": ("high = 10.0", "high = 1e-2", ["ecdsep", "lr", "low must be smaller"]),
    "log from zero": ("low = 1e-2", "low = 0.0", ["ecdsep", "lr: low = 0", "needs low > 0"]),
    "unknown range key": ("log = true", "lgo = true", ["ecdsep", "lr", "'lgo'", "high, log, low"]),
    "unknown task": ('"zakharov"', '"zakarov"', ["[task]", "'zakarov'", "mean 'zakharov'"]),
    "unknown option": (
        'name = "zakharov"',
        'name = "zakharov"\nstarts = "ones"',
        ["[task]: starts", "mean 'start'? Known: n, start, dtype"],
    ),
    "wrong option": (
        'name = "zakharov"',
        'name = "zakharov"\nstart = "left"',
        ["[task]: start = 'left'", "'ones', 'uniform'"],
    ),
    "wrong option in the confirmation": (
        "[budget]",
        "[confirmation.task]\nn = 0\n[budget]",
        ["[confirmation.task]: n = 0", ">= 1"],
    ),
    "unknown optimizer": (
        "[optimizers.ecdsep.space]",
        "[optimizers.lion.space]\n[optimizers.ecdsep.space]",
        ["[optimizers.lion]", "unknown optimizer 'lion'", "ecdsep"],
    ),
    "unknown hyperparameter": (
        "eta = 1.5",
        "eta = 1.5\nbeta = 0.9",
        ["[optimizers.ecdsep.space]: beta", "no such hyperparameter", "eta"],
    ),
    "value outside": ("eta = 1.5", "eta = 0.5", ["ecdsep.space]: eta", "0.5", ">= 1"]),
    "range outside": ("low = 1e-2, high", "low = -1.0, high", ["lr: low = -1", "log range"]),
    "missing eta": ("eta = 1.5", "", ["[optimizers.ecdsep.space]: eta", "is missing", ">= 1"]),
    "reference outside": (
        "{ eta = 1.0 }",
        "{ eta = 0.0 }",
        ["[optimizers.ecdsep.references.paper]: eta = 0.0", ">= 1"],
    ),
    "reference unknown": (
        "{ eta = 1.0 }",
        "{ eta = 1.0, beta = 1 }",
        ["references.paper]: beta", "no such hyperparameter"],
    ),
    "reference without eta": (
        "{ eta = 1.0 }",
        "{ lr = 1.0 }",
        ["references.paper]: eta", "is missing"],
    ),
    "reserved label": ('"paper"', '"best"', ["references", "'best'"]),
    "repeated label": (
        "[[optimizers",
        '[[optimizers.ecdsep.references]]\nlabel = "paper"\nparams = { eta = 2.0 }\n[[optimizers',
        ["references", "['paper', 'paper']", "must differ"],
    ),
    "unknown sampler": (
        "[budget]",
        '[sampler]\nname = "bayes"\n[budget]',
        ["[sampler]: name", "'bayes'", "'tpe'"],
    ),
    "grid over a range": (
        "[budget]",
        '[sampler]\nname = "grid"\n[budget]',
        ["[optimizers.ecdsep.space]: lr", "a grid needs a list"],
    ),
    "not TOML": ("[task]", "[task", ["is not valid TOML", "line 3"]),
}


@pytest.mark.parametrize("case", WRONG)
def test_error_has_the_place_and_the_reason(case, tmp_path):
    old, new, words = WRONG[case]
    assert old in GOOD
    path = write(tmp_path, GOOD.replace(old, new, 1))
    with pytest.raises(SpecError) as error:
        load_study(path)
    message = str(error.value)
    assert message.startswith(str(path))
    assert [word for word in words if word not in message] == []


def test_structural_errors_do_not_hide_others(tmp_path):
    """Values out of range and unknown keys, options of task and sampler, and hyperparameters."""
    text = GOOD.replace("steps = 20", "steps = 20\nbatch = 0").replace("eta = 1.5", "beta = 1")
    text += '\n[sampler]\nname = "tpe"\nn_startup = 3\n[pruning]\nkind = "none"\nfoo = 1\n'
    with pytest.raises(SpecError) as error:
        load_study(write(tmp_path, text))
    said = str(error.value)
    assert [
        word for word in ("batch: 0: must be at least 1", "foo: unknown key") if word not in said
    ] == []
    for word in ("n_startup: unknown option", "beta: 'ecdsep' has no such", "eta: is missing"):
        assert word in said


MANY_WRONG = """
[task]
name = "digit"
[budget]
trials = 0
steps = "ten"
trails = 3
[sampler]
name = "tpe"
n_startup_trial = 3
multivariate = "yes"
[pruning]
kind = "hyperbend"
[optimizers.ecdsp.space]
lr = 1.0
[optimizers.ecdsep.space]
lr = { low = 1.0, high = 0.1 }
nu = { lo = 1.0, high = 2.0 }
eta = 0.5
[optimizers.adam.space]
lr = 0.1
etta = 2
"""
TOLD = """
name: is missing
[budget]: trials: 0: must be at least 1
[budget]: steps: 'ten': must be a whole number
[budget]: trails: unknown key; did you mean 'trials'? Known: trials, steps, batch, timeout
[pruning]: kind: 'hyperbend': must be one of 'none', 'median'
[optimizers.ecdsep.space]: lr: low = 1, high = 0.1; low must be smaller than high
[optimizers.ecdsep.space]: nu: unknown key 'lo'; did you mean 'low'? Known: high, log, low
[task]: unknown task 'digit'; did you mean 'digits'?
[sampler]: n_startup_trial: unknown option of 'tpe'; did you mean 'n_startup_trials'? Known:
[sampler]: multivariate = 'yes': must be true or false
[optimizers.ecdsp]: unknown optimizer 'ecdsp'; did you mean 'ecdsep'?
[optimizers.ecdsep.space]: eta: value 0.5 must be >= 1
[optimizers.adam.space]: etta: 'adam' has no such hyperparameter
""".strip().splitlines()


def test_every_problem_of_a_file_is_named_once_and_no_other(tmp_path):
    path = write(tmp_path, MANY_WRONG)
    with pytest.raises(SpecError) as error:
        load_study(path)
    said = [line.removeprefix(str(path)).lstrip(": ") for line in str(error.value).splitlines()]
    assert len(said) == len(TOLD)
    for line, told in zip(said, TOLD, strict=True):
        assert line.startswith(told)


@pytest.mark.parametrize(
    ("options", "told"),
    [
        ('name = "tpe"\nn_startup_trials = -1', "n_startup_trials = -1: must be >= 0"),
        ('name = "tpe"\ngroup = true', "group = true: needs multivariate = true"),
        ('name = "tpe"\nhistory = 3', "history = 3: must be at least n_startup_trials = 10"),
        ('name = "qmc"\nqmc_type = "sobl"', "qmc_type = 'sobl': must be one of 'sobol', 'halton'"),
        (
            'name = "cmaes"\nlr_adapt = true\nwith_margin = true',
            "lr_adapt and with_margin: use one",
        ),
        ('name = "gb"', "name: 'gb': must be one of 'random', 'tpe'"),
    ],
)
def test_sampler_options_are_checked_in_our_words(options, told, tmp_path):
    with pytest.raises(SpecError) as error:
        load_study(write(tmp_path, f"{GOOD}\n[sampler]\n{options}\n"))
    assert f"[sampler]: {told}" in str(error.value)
    assert len(str(error.value).splitlines()) == 1


@pytest.mark.parametrize(
    "wrong",
    [
        "optimizers = 3",
        "[optimizers]",
        "[optimizers]\necdsep = 1",
        "task = 1",
        "[[budget]]",
        "[search]\nrepeats = 'a'\n[[checks]]\nname = 3",
    ],
)
def test_any_wrong_shape_is_an_error_message(wrong):
    with pytest.raises(SpecError, match="study"):
        parse_study(tomllib.loads(wrong))


def test_removed_invalid_entries_are_not_reported_missing(tmp_path):
    with pytest.raises(SpecError) as error:
        load_study(write(tmp_path, GOOD.replace("trials = 10", "trials = 0")))
    assert len(str(error.value).splitlines()) == 1


def test_all_problems_are_named_at_once(tmp_path):
    text = GOOD.replace("eta = 1.5", "beta = 1").replace("{ eta = 1.0 }", "{ eta = 0.0 }")
    with pytest.raises(SpecError) as error:
        load_study(write(tmp_path, text))
    assert [line.split("]: ")[1][:9] for line in str(error.value).splitlines()] == [
        "beta: 'ec",
        "eta: is m",
        "eta = 0.0",
    ]


def test_missing_file_is_named(tmp_path):
    with pytest.raises(SpecError, match=r"none\.toml: cannot be read \(No such file"):
        load_study(tmp_path / "none.toml")
    write(tmp_path, GOOD).rename(tmp_path / "thesis.toml")
    with pytest.raises(SpecError, match=r"No such file.*; did you mean 'thesis\.toml'"):
        load_study(tmp_path / "thesi.toml")


def test_a_good_file_loads(tmp_path):
    spec = load_study(write(tmp_path, GOOD))
    assert spec.optimizers["ecdsep"].references[0].params == {"eta": 1.0}
