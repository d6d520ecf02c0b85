"""Declarations: no torch, exact ranges, and matching factories."""

from __future__ import annotations

import inspect
import subprocess
import sys

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

import ecd_tune.optim
from ecd_tune.errors import HyperparameterError
from ecd_tune.optim.definitions import OPTIMIZER_DEFS, check_hyperparameters
from ecd_tune.registry import OPTIMIZERS, load_attribute

REQUIRED = {"ecdsep": {"eta": 2.0}, "ecdsep_f0": {"eta": 3}}
CLASSES = {"ecdsep": "ECDSep", "ecdsep_f0": "ECDSepF0", "bbi": "BBI", "ecdq1": "ECDq1"}
NEED_LOSS = {*CLASSES, "ecd_auto"}


def test_names():
    expected = {"ecdsep", "ecdsep_f0", "bbi", "ecdq1", "ecd_auto", "gdm", "sgd", "adam", "adamw"}
    expected |= {"muon", "soap", "prodigy", "schedule_free"}
    assert set(OPTIMIZER_DEFS) == expected
    assert expected <= set(OPTIMIZERS.names())
    assert all(definition.name == name for name, definition in OPTIMIZER_DEFS.items())
    assert {n for n, d in OPTIMIZER_DEFS.items() if d.needs_loss} == NEED_LOSS


def test_importing_the_definitions_imports_no_torch():
    code = (
        "import sys, ecd_tune.optim, ecd_tune.optim.definitions; sys.exit('torch' in sys.modules)"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


def test_lazy_names():
    for name in ecd_tune.optim.__all__:
        assert getattr(ecd_tune.optim, name) is not None
    with pytest.raises(AttributeError, match="no_such"):
        ecd_tune.optim.no_such


@pytest.mark.parametrize("name", CLASSES)
def test_constructor_and_declaration_agree(name):
    """Same names, same defaults."""
    signature = inspect.signature(getattr(ecd_tune.optim, CLASSES[name]).__init__).parameters
    extra = {"self", "params", "seed", "foreach", "wait", "fused", "maximize"}
    extra |= {"process_group", "shard_group"}
    declared = OPTIMIZER_DEFS[name].hyperparameters
    assert set(signature) - extra == set(declared)
    for key, hyperparameter in declared.items():
        default = signature[key].default
        assert (None if default is inspect.Parameter.empty else default) == hyperparameter.default


@pytest.mark.parametrize("name", OPTIMIZER_DEFS)
def test_factories(name):
    definition = OPTIMIZER_DEFS[name]
    params = [torch.nn.Parameter(torch.ones(2))]
    values = REQUIRED.get(name, {})
    assert isinstance(
        load_attribute(definition.factory)(params, 1, **values), torch.optim.Optimizer
    )
    if definition.batched:
        theta = [torch.ones(2, 3, dtype=torch.float64)]
        optimizer = load_attribute(definition.batched)(theta, [1, 2], [values, values])
        optimizer.step(torch.ones(2), [torch.ones(2, 3).double()], torch.tensor([True, False]))
        assert optimizer.report()["updates"].tolist() == [1, 0]
        assert optimizer.params[0] is theta[0]


@pytest.mark.parametrize("name", OPTIMIZER_DEFS)
def test_unknown_names_and_values_outside_are_refused_by_the_factory(name):
    params = [torch.nn.Parameter(torch.ones(2))]
    make = load_attribute(OPTIMIZER_DEFS[name].factory)
    with pytest.raises((HyperparameterError, TypeError), match="no_such"):
        make(params, 1, **REQUIRED.get(name, {}), no_such=1)
    for bad in (0.0, -1.0, float("nan"), float("inf")):
        with pytest.raises(HyperparameterError, match="lr"):
            make(params, 1, **{**REQUIRED.get(name, {}), "lr": bad})


@pytest.mark.parametrize("name", ["gdm", "sgd"])
@pytest.mark.parametrize("bad", [{"momentum": 1.0}, {"nesterov": True, "momentum": 0.0}])
def test_sgd_refuses(name, bad):
    with pytest.raises(HyperparameterError, match="momentum"):
        load_attribute(OPTIMIZER_DEFS[name].factory)([torch.nn.Parameter(torch.ones(1))], 1, **bad)


def test_batch_refuses_unequal_numbers_and_mixed_integrators():
    make = load_attribute(OPTIMIZER_DEFS["ecdsep"].batched)
    theta = [torch.ones(2, 3).double()]
    with pytest.raises(HyperparameterError, match="all must be equal"):
        make(theta, [1], [{"eta": 1.0}, {"eta": 1.0}])
    rows = [{"eta": 1.0}, {"eta": 1.0, "integrator": "sync"}]
    with pytest.raises(HyperparameterError, match="integrator must be equal"):
        make(theta, [1, 2], rows)


@given(st.data())
def test_checked_values_are_in_range_and_of_the_declared_kind(data):
    """Whatever passes the check satisfies the declaration, whatever fails does not."""
    name = data.draw(st.sampled_from(sorted(OPTIMIZER_DEFS)))
    declared = OPTIMIZER_DEFS[name].hyperparameters
    key = data.draw(st.sampled_from(sorted(declared)))
    value = data.draw(st.floats() | st.integers(-3, 5) | st.booleans() | st.sampled_from(["hold"]))
    values = {**REQUIRED.get(name, {}), key: value}
    if declared[key].problem(value) is None:
        assert check_hyperparameters(name, values)[key] == value
        assert type(check_hyperparameters(name, values)[key]) is declared[key].kind
    else:
        with pytest.raises(HyperparameterError, match=key):
            check_hyperparameters(name, values)
