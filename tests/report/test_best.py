import ast
import importlib
import json
import subprocess
import sys
import tomllib
from dataclasses import replace
from types import SimpleNamespace

import pytest
import torch
import yaml
from hypothesis import given
from hypothesis import strategies as st

from ecd_tune.errors import UnknownNameError
from ecd_tune.optim import ECDq1, ECDSep
from ecd_tune.report import BEST_FORMATS, best_hyperparameters, render_best
from ecd_tune.report.build import build_report
from ecd_tune.report.model.best import edge_of
from ecd_tune.report.render.data.best import write_toml, write_yaml
from ecd_tune.report.render.data.constructor import render_constructor
from ecd_tune.report.words.sections import build_sections
from ecd_tune.space import Choice, Fixed, Float, Int
from ecd_tune.spec import parse_study


@pytest.fixture(scope="module")
def study(studies):
    spec = studies.zakharov_spec()
    return spec, studies.zakharov_trials(spec)


def expected(best, spec, trials):
    return {
        "optimizer": best.registry_name,
        "metric": "minimum of F over the iterates",
        "value": best.value,
        "trial": best.trial,
        "params": dict(trials[spec.key(best.optimizer)][best.trial].params),
    }


@pytest.mark.parametrize(
    ("format", "read"), [("json", json.loads), ("toml", tomllib.loads), ("yaml", yaml.safe_load)]
)
def test_files_read_back_exactly(format, read, study):
    bests = best_hyperparameters(*study)
    wanted = {best.optimizer: expected(best, *study) for best in bests}
    assert read(render_best(*study, format)) == wanted


names = st.text(st.characters(exclude_categories=["Cs", "Cc"]), min_size=1, max_size=8)
scalars = st.one_of(
    st.booleans(),
    st.integers(-(2**63), 2**63 - 1),
    st.floats(allow_nan=False, allow_infinity=False),
    st.text(st.characters(exclude_categories=["Cs", "Cc", "Zl", "Zp"]), max_size=12),
)
tables = st.dictionaries(names, st.dictionaries(names, scalars, max_size=4), max_size=3)


@given(tables)
def test_any_scalars_survive_each_format(inner):
    table = {name: {"v": 1e-5, "params": params} for name, params in inner.items()}
    assert tomllib.loads(write_toml(table)) == table
    assert (yaml.safe_load(write_yaml(table)) or {}) == table
    for render in (write_toml, write_yaml):
        assert render(table).isascii()


@given(scalars)
def test_python_literals_are_exact_and_safe(value):
    tree = ast.parse(render_constructor("ecdsep", {"lr": value}))
    assert [type(node) for node in tree.body] == [ast.ImportFrom, ast.Assign]
    (keyword,) = tree.body[1].value.keywords
    assert ast.literal_eval(keyword.value) == value


def run_python(name, params):
    text = render_constructor(name, params)
    scope = {"model": torch.nn.Linear(2, 1)}
    exec(compile(text, "pasted", "exec"), scope)  # the reader pastes it
    return scope["optimizer"]


def test_python_constructs_ecdsep():
    optimizer = run_python("ecdsep", {"lr": 0.3, "eta": 2.5, "s": 1, "conserve_energy": False})
    assert type(optimizer) is ECDSep
    assert optimizer.param_groups[0]["lr"] == 0.3


def test_python_constructs_ecd_at_unit_speed():
    optimizer = run_python("ecdq1", {"lr": 2.0, "eta": 100.0, "nu": 0.0})
    assert type(optimizer) is ECDq1
    assert optimizer.param_groups[0]["lr"] == 2.0


def test_python_constructs_the_optimizer_without_numbers():
    optimizer = run_python("ecd_auto", {"weight_decay": 1e-4})
    assert type(optimizer) is ECDq1
    assert optimizer.param_groups[0]["scale"] == "moments"
    assert optimizer.param_groups[0]["weight_decay"] == 1e-4


@pytest.mark.parametrize(
    ("name", "params", "kind", "group"),
    [
        ("gdm", {"lr": 1e-6}, torch.optim.SGD, {"lr": 1e-6, "momentum": 0.9}),
        ("sgd", {"lr": 0.1, "nesterov": True, "momentum": 0.5}, torch.optim.SGD,
         {"nesterov": True, "momentum": 0.5}),
        ("adam", {"lr": 0.1, "beta2": 0.95}, torch.optim.Adam, {"betas": (0.9, 0.95)}),
        ("adamw", {"lr": 0.1}, torch.optim.AdamW, {"weight_decay": 0.01, "eps": 1e-8}),
    ],
)  # fmt: skip
def test_python_constructs_torchs_own(name, params, kind, group):
    optimizer = run_python(name, params)
    assert type(optimizer) is kind
    assert {key: optimizer.param_groups[0][key] for key in group} == group


@pytest.mark.parametrize("name", ["ecdsep", "ecdq1", "sgd"])
@pytest.mark.parametrize("scale", [{"scale": "share"}, {"scale.embeddings": 30.0}])
def test_python_constructs_scales(name, scale):
    lists = {"embeddings": [torch.nn.Parameter(torch.ones(2))]}
    lists["others"] = [torch.nn.Parameter(torch.ones(2))]
    given = {"lr": 0.1, **({} if name == "sgd" else {"eta": 2.0}), **scale}
    scope = {"model": torch.nn.Linear(2, 1), **lists}
    exec(compile(render_constructor(name, given), "pasted", "exec"), scope)
    scales = [group["scale"] for group in scope["optimizer"].param_groups]
    assert scales == (["share"] if "scale" in scale else [30.0, 1.0])


def test_python_of_a_whole_study_runs(study):
    exec(render_best(*study, "python"), {"model": torch.nn.Linear(2, 1)})


def instantiate(path, keywords):
    """What Hydra and LightningCLI do with a path and keywords."""
    module, _, attribute = path.rpartition(".")
    call = getattr(importlib.import_module(module), attribute)
    return call([torch.nn.Parameter(torch.ones(2))], **keywords)


@pytest.mark.parametrize("key", ["ecdsep", "adam", "gdm"])
def test_hydra_and_lightning_construct_the_optimizer(key, study):
    spec, trials = study
    one = spec.with_overrides(optimizers=(key,))
    (best,) = best_hyperparameters(one, trials)
    config = yaml.safe_load(render_best(one, trials, "hydra"))[key]
    assert config.pop("_partial_") is True
    settings = yaml.safe_load(render_best(one, trials, "lightning"))["optimizer"]
    for path, keywords in (
        (config.pop("_target_"), config),
        (settings["class_path"], settings["init_args"]),
    ):
        optimizer = instantiate(path, keywords)
        assert optimizer.param_groups[0]["lr"] == best.given["lr"]
        assert type(optimizer) is type(run_python(best.registry_name, best.given))


def test_several_optimizers_are_one_hydra_file_and_one_lightning_document_each(study):
    assert list(yaml.safe_load(render_best(*study, "hydra"))) == ["ecdsep", "adam", "gdm"]
    assert len(list(yaml.safe_load_all(render_best(*study, "lightning")))) == 3


def test_group_settings_are_printed(studies):
    spec = studies.digits_spec(
        optimizers={"ecdsep": {"space": {"lr": 0.1, "eta": 2.0, "scale.embeddings": 30.0}}}
    )
    params = {"lr": 0.1, "eta": 2.0, "scale.embeddings": 30.0}
    trials = {spec.key("ecdsep"): [studies.record(spec.key("ecdsep"), 0, 0.9, params=params)]}
    for format in ("hydra", "lightning", "transformers"):
        text = render_best(spec, trials, format)
        assert "# for a separate group: scale.embeddings = 30.0" in text
        assert text.count("scale") == 1


def test_transformers_code_makes_a_trainer(study):
    """With a stand-in for the Trainer; tests/integrations has the real one."""
    made = []

    def trainer(**given):
        made.append(given)
        return SimpleNamespace()

    scope = {name: object() for name in ("model", "args", "train_dataset")}
    with pytest.MonkeyPatch.context() as patch:
        module = SimpleNamespace(Trainer=trainer)
        patch.setitem(sys.modules, "transformers", module)
        integrations = SimpleNamespace(attach_trainer=lambda trainer: made.append(trainer))
        patch.setitem(sys.modules, "ecd_tune.integrations", integrations)
        exec(compile(render_best(*study, "transformers"), "pasted", "exec"), scope)
    calls = [given["optimizer_cls_and_kwargs"] for given in made if isinstance(given, dict)]
    assert [cls.__name__ for cls, _ in calls] == ["ECDSep", "Adam", "SGD"]
    assert isinstance(made[1], SimpleNamespace)  # attached, and only ECDSep
    assert len(made) == 4
    for (cls, keywords), best in zip(calls, best_hyperparameters(*study), strict=True):
        optimizer = cls([torch.nn.Parameter(torch.ones(2))], **keywords)
        assert optimizer.param_groups[0]["lr"] == best.given["lr"]


def test_table_shows_all_digits_and_no_markup(study):
    text = render_best(*study, "table")
    for best in best_hyperparameters(*study):
        assert best.title in text
        assert all(repr(v) in text for v in best.values.values())
    assert "[0.01, 10000] log" in text
    assert "minimum of F" in text


@pytest.mark.parametrize("format", BEST_FORMATS)
def test_valid_output_without_trials(format, study):
    text = render_best(study[0], {}, format)
    assert text == ("{}" if format == "json" else text)
    assert format == "json" or "no complete trial yet" in text


def test_unknown_format_lists_the_known(study):
    with pytest.raises(UnknownNameError, match=r"hydra, json, lightning, python, .*yaml"):
        render_best(*study, "xml")


@pytest.mark.parametrize(
    ("dimension", "value", "edge"),
    [
        (Float(0.0, 1.0), 0.019, "low"),
        (Float(0.0, 1.0), 0.021, ""),
        (Float(0.0, 1.0), 0.981, "high"),
        (Float(1e-4, 1.0, log=True), 1.1e-4, "low"),
        (Float(1e-4, 1.0, log=True), 0.019, ""),
        (Float(1e-4, 1.0, log=True), 0.9, "high"),
        (Int(1, 10), 10, "high"),
        (Int(1, 10), 5, ""),
        (Choice((0.1, 0.01, 0.001)), 0.1, ""),
        (Choice((True, False)), True, ""),
        (Choice(("a", "b", "c")), "a", ""),
        (Fixed(1), 1, ""),
    ],
)
def test_edges(dimension, value, edge):
    assert edge_of(dimension, value) == edge


def test_best_at_an_edge_is_marked(studies):
    spec = studies.zakharov_spec()
    trials = {spec.key("adam"): [studies.record(spec.key("adam"), 0, 1.0, params={"lr": 9999.0})]}
    (best,) = best_hyperparameters(spec, trials)
    assert best.params[0].edge == "high"
    assert "at the high edge" in render_best(spec, trials)


def test_oracle_values_are_marked(studies):
    spec = studies.digits_spec(protocol="paper")
    trials = studies.digits_trials(spec)
    for format in BEST_FORMATS:
        text = " ".join(render_best(spec, trials, format).split())
        assert "best test accuracy over the epochs (oracle)" in text
    clean = studies.digits_spec()
    assert "(oracle)" not in render_best(clean, studies.digits_trials(clean), "json")


def test_best_imports_no_heavy_modules():
    code = (
        "import sys; import ecd_tune.report.render.data.best, ecd_tune.report.render.terminal; "
        "from ecd_tune.report import render_best; "
        "print({'torch', 'scipy', 'pandas', 'matplotlib', 'jinja2'} & set(sys.modules))"
    )
    out = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert out.stdout.strip() == "set()"


def derived_study(studies):
    space = {
        "nu_sqrt_n": {"low": 1e-3, "high": 10.0, "log": True},
        "one_minus_momentum": {"low": 1e-3, "high": 0.5, "log": True},
    }
    ecdsep = {"space": {"lr": [0.1, 0.2], "eta": 1.0, "nu_sqrt_n": space["nu_sqrt_n"]}}
    schedule = {"schedule": ["constant", "linear"]}
    sgd = {"space": {"lr": 0.1, "one_minus_momentum": space["one_minus_momentum"], **schedule}}
    spec = parse_study(
        {
            "name": "derived",
            "task": {"name": "digits"},
            "budget": {"trials": 2, "steps": 1},
            "optimizers": {"ecdsep": ecdsep, "sgd": sgd},
        }
    )
    drawn = {"ecdsep": {"lr": 0.1, "eta": 1.0, "nu_sqrt_n": 2.0},
             "sgd": {"lr": 0.1, "one_minus_momentum": 0.25, "schedule": "linear"}}  # fmt: skip
    came_to = {"ecdsep": {"resolved_nu": 0.05}, "sgd": {"resolved_momentum": 0.75}}
    trials = {}
    for key, params in drawn.items():
        record = studies.record(spec.key(key), 0, 0.9, params=params)
        trials[spec.key(key)] = [replace(record, metrics=came_to[key])]
    return spec, trials


def test_searched_and_derived_values_are_shown(studies):
    spec, trials = derived_study(studies)
    ecdsep, sgd = best_hyperparameters(spec, trials)
    assert ecdsep.values == {"lr": 0.1, "eta": 1.0, "nu_sqrt_n": 2.0}
    assert ecdsep.given == {"lr": 0.1, "eta": 1.0, "nu": 0.05}
    assert sgd.given == {"lr": 0.1, "momentum": 0.75}
    table = json.loads(render_best(spec, trials, "json"))
    assert table["ecdsep"]["params"] == ecdsep.given
    assert table["sgd"]["searched"] == sgd.values
    assert "= nu_sqrt_n / √n" in render_best(spec, trials, "table")
    text = render_best(spec, trials, "python")
    assert "nu=0.05" in text
    assert "momentum=0.75" in text
    assert "# learning rate: schedule = linear" in text
    exec(text, {"model": torch.nn.Linear(2, 1)})


def test_report_shows_searched_and_derived_values(studies):
    report = build_report(*derived_study(studies))
    rows = {(row.optimizer, row.name): row for row in report.setup.spaces}
    assert rows["ECDSep", "nu_sqrt_n"].doc.startswith("ν√n")
    assert ("ECDSep", "nu") not in rows
    assert ("SGD", "momentum") not in rows
    (table,) = next(s for s in build_sections(report) if s.anchor == "best").tables
    assert ("ECDSep", "nu", "0.05", "–", "–", "–", "= nu_sqrt_n / √n") in table.rows


def test_value_below_the_threshold_is_shown_as_drawn_and_as_zero(studies):
    decay = {"low": 1e-7, "high": 1e-2, "log": True, "zero": {"below": 1e-6}}
    spec = parse_study(
        {
            "name": "zero",
            "task": {"name": "digits"},
            "budget": {"trials": 1, "steps": 1},
            "optimizers": {"sgd": {"space": {"lr": 0.1, "weight_decay": decay}}},
        }
    )
    params = {"lr": 0.1, "weight_decay": 1.01e-7}
    record = studies.record(spec.key("sgd"), 0, 0.9, params=params)
    trials = {spec.key("sgd"): [replace(record, metrics={"resolved_weight_decay": 0.0})]}
    (best,) = best_hyperparameters(spec, trials)
    assert (best.values, best.given) == (params, {"lr": 0.1, "weight_decay": 0.0})
    assert [(p.value, p.allowed, p.edge) for p in best.lines if p.name == "weight_decay"] == [
        (1.01e-7, "[1e-07, 0.01] log, below 1e-06 none (0)", ""),
        (0.0, "0, as all values below 1e-06", ""),
    ]
