"""torch.compile, gradient scaling, autocast, default device and dtype, odd parameters."""

from __future__ import annotations

import math
from contextlib import nullcontext

import pytest
import torch
from torch import nn

from ecd_tune.errors import HyperparameterError
from ecd_tune.optim import BBI, OPTIMIZER_DEFS, ECDSep, ECDSepF0

STEPS = 10

OPTIMIZERS = {
    "ecdsep": lambda params, **given: ECDSep(
        params, **{"lr": 0.05, "eta": 2.0, "nu": 0.02, "F0": -0.5, "seed": 7, **given}
    ),
    "ecdsep_sync": lambda params, **given: ECDSep(
        params,
        **{"lr": 0.05, "eta": 2.0, "nu": 0.02, "F0": -0.5, "s": 0, "integrator": "sync"}
        | {"seed": 7, "weight_decay": 0.01, **given},
    ),
    "ecdsep_auto": lambda params, **given: ECDSep(
        params, **{"lr": "auto", "eta": 2.0, "nu": "auto", "F0": "auto", "seed": 7, **given}
    ),
    "ecdsep_f0": lambda params, **given: ECDSepF0(
        params, **{"lr": 0.05, "eta": 3, "nu": 0.02, "F0": 1.0, "seed": 7, **given}
    ),
    "bbi": lambda params, **given: BBI(
        params, **{"lr": 0.02, "v0": -0.5, "T0": 4, "T1": 3, "n_bounces": 2, "seed": 7, **given}
    ),
}


def network(dtype=torch.float32):
    generator = torch.Generator().manual_seed(1)
    model = nn.Sequential(nn.Linear(4, 6, dtype=dtype), nn.Tanh(), nn.Linear(6, 1, dtype=dtype))
    with torch.no_grad():
        for p in model.parameters():
            p.copy_(torch.randn(p.shape, generator=generator, dtype=torch.float64) * 0.5)
    return model


def batch(step, dtype=torch.float32):
    generator = torch.Generator().manual_seed(100 + step)
    x = torch.randn(8, 4, generator=generator, dtype=torch.float64, device="cpu")
    return x.to(dtype), x[:, :1].sin().to(dtype)


def flat(params):
    return torch.cat([p.detach().flatten() for p in params])


def evaluate(model, x, y):
    return (model(x) - y).square().mean()


def run(name, step_of=lambda optimizer: optimizer.step, dtype=torch.float32, around=nullcontext):
    model = network(dtype)
    optimizer = OPTIMIZERS[name](model.parameters())
    step = step_of(optimizer)
    for number in range(STEPS):
        optimizer.zero_grad()
        loss = evaluate(model, *batch(number, dtype))
        loss.backward()
        with around():
            step(loss=loss)
    return flat(model.parameters()), optimizer.report()


# ----------------------------------------------------------------------------- compilation


# While it looks at the arguments of a call the compiler asks the loss for its gradient, and it
# imports parts of torch that still compile themselves as TorchScript.
_COMPILES = [
    pytest.mark.usefixtures("_fresh_dynamo"),
    pytest.mark.filterwarnings("ignore:The .grad attribute of a Tensor:UserWarning"),
    pytest.mark.filterwarnings("ignore:.torch.jit.script_method. is deprecated:DeprecationWarning"),
]


def _compiles(test):
    for mark in _COMPILES:
        test = mark(test)
    return test


@pytest.fixture
def _fresh_dynamo():
    torch._dynamo.reset()
    yield
    torch._dynamo.reset()


@_compiles
@pytest.mark.parametrize(
    ("name", "backend"), [("ecdsep", "eager"), *((name, "aot_eager") for name in OPTIMIZERS)]
)
def test_compiled_step_equals_eager_step(name, backend):
    params, report = run(name, lambda optimizer: torch.compile(optimizer.step, backend=backend))
    expected, of_expected = run(name)
    assert torch.equal(params, expected)
    assert report == of_expected


@_compiles
@pytest.mark.parametrize(
    ("name", "backend", "way"),
    [
        ("ecdsep", "aot_eager", "loss"),
        ("bbi", "eager", "loss"),
        ("ecdsep", "eager", "closure"),
        ("bbi", "aot_eager", "closure"),
        ("ecdsep", "aot_eager", "add_loss"),
        ("bbi", "eager", "add_loss"),
    ],  # all pairs of two
)
def test_training_function_that_steps_can_be_compiled(name, backend, way):
    def trained(wrap):
        model = network()
        optimizer = OPTIMIZERS[name](model.parameters())

        def closure(x, y):
            optimizer.zero_grad()
            loss = evaluate(model, x, y)
            loss.backward()
            return loss

        @wrap
        def train(x, y):
            if way == "closure":
                return optimizer.step(lambda: closure(x, y))
            loss = closure(x, y)
            if way == "add_loss":
                optimizer.add_loss(loss)
                optimizer.step()
            else:
                optimizer.step(loss=loss)
            return loss.detach()

        losses = [float(train(*batch(number)).detach()) for number in range(STEPS)]
        return flat(model.parameters()), losses

    params, losses = trained(torch.compile(backend=backend))
    expected, of_expected = trained(lambda function: function)
    assert torch.equal(params, expected)
    assert losses == of_expected


@_compiles
def test_compiled_model_trains_like_the_eager_model():
    def trained(wrap):
        model = network()
        called = wrap(model)
        optimizer = OPTIMIZERS["ecdsep"](called.parameters())
        for number in range(STEPS):
            optimizer.zero_grad()
            loss = evaluate(called, *batch(number))
            loss.backward()
            optimizer.step(loss=loss)
        return flat(model.parameters())

    compiled = trained(lambda model: torch.compile(model, backend="aot_eager"))
    torch.testing.assert_close(compiled, trained(lambda model: model), rtol=0, atol=1e-6)


# ------------------------------------------------------------------------ gradient scaling


@pytest.mark.parametrize("way", ["loss", "add_loss"])
@pytest.mark.parametrize("name", ["ecdsep", "ecdsep_f0", "bbi"])
def test_scaled_gradients_make_the_same_steps_and_overflows_none(name, way):
    def trained(scaler):
        model = network()
        optimizer = OPTIMIZERS[name](model.parameters())
        for number in range(STEPS):
            optimizer.zero_grad()
            loss = evaluate(model, *batch(number))
            (scaler.scale(loss) if scaler else loss).backward()
            if number == 3:
                model[0].weight.grad[0, 0] = math.inf
            if scaler is None:
                if number != 3:
                    optimizer.step(loss=loss)
                continue
            before = optimizer.report()["steps"]
            if way == "loss":
                scaler.step(optimizer, loss=loss)
            else:
                optimizer.add_loss(loss)
                scaler.step(optimizer)
            assert optimizer.report()["steps"] == before + (number != 3)
            scaler.update()
        return flat(model.parameters()), optimizer.report()

    # Powers of two leave no rounding error.
    scaler = torch.amp.GradScaler("cpu", init_scale=1024.0)
    params, report = trained(scaler)
    assert scaler.get_scale() == 512.0
    expected, of_expected = trained(None)
    assert torch.equal(params, expected)
    assert report == of_expected
    assert report["steps"] == STEPS - 1


def test_float16_overflow_skips_the_step():
    model = network()
    optimizer = OPTIMIZERS["ecdsep"](model.parameters())
    scaler = torch.amp.GradScaler("cpu", init_scale=2.0**24)
    for number in range(30):
        optimizer.zero_grad()
        x, y = batch(number)
        with torch.autocast("cpu", torch.float16):
            loss = evaluate(model, x, y)
        scaler.scale(loss).backward()
        scaler.step(optimizer, loss=loss)
        scaler.update()
    report = optimizer.report()
    assert 0 < report["steps"] < 30
    assert report["updates"] == report["steps"]
    assert report["bad_gradients"] == 0
    assert scaler.get_scale() < 2.0**24


def test_clipping_between_unscaling_and_step_is_possible():
    model = network()
    optimizer = OPTIMIZERS["ecdsep"](model.parameters())
    scaler = torch.amp.GradScaler("cpu", init_scale=1024.0)
    loss = evaluate(model, *batch(0))
    scaler.scale(loss).backward()
    scaler.unscale_(optimizer)
    nn.utils.clip_grad_norm_(model.parameters(), 1e-3)
    scaler.step(optimizer, loss=loss)
    assert optimizer.report()["updates"] == 1


# ------------------------------------------------------------- what may surround the step


@pytest.fixture
def _defaults():
    yield
    torch.set_default_device(None)
    torch.set_default_dtype(torch.float32)


class _Default:
    """Sets defaults of torch for a while."""

    def __init__(self, device=None, dtype=torch.float32):
        self.device, self.dtype = device, dtype

    def __call__(self):
        return self

    def __enter__(self):
        torch.set_default_device(self.device)
        torch.set_default_dtype(self.dtype)

    def __exit__(self, *_):
        torch.set_default_device(None)
        torch.set_default_dtype(torch.float32)


AROUND = {
    "autocast": lambda: torch.autocast("cpu", torch.bfloat16),
    "meta": _Default(device="meta"),
    "float16": _Default(dtype=torch.float16),
    "float64": _Default(dtype=torch.float64),
    "enable_grad": lambda: torch.enable_grad(),
}


@pytest.mark.usefixtures("_defaults")
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64, torch.bfloat16])
@pytest.mark.parametrize("around", AROUND)
@pytest.mark.parametrize("name", OPTIMIZERS)
def test_step_ignores_ambient_torch_state(name, around, dtype):
    params, report = run(name, dtype=dtype, around=AROUND[around])
    expected, of_expected = run(name, dtype=dtype)
    assert torch.equal(params, expected)
    assert report == of_expected


@pytest.mark.usefixtures("_defaults")
@pytest.mark.parametrize("around", ["meta", "float16", "float64"])
@pytest.mark.parametrize("name", OPTIMIZERS)
def test_construction_ignores_ambient_torch_state(name, around):
    model = network()
    with AROUND[around]():
        optimizer = OPTIMIZERS[name](model.parameters())
        saved = optimizer.state_dict()
    for number in range(STEPS):
        optimizer.zero_grad()
        loss = evaluate(model, *batch(number))
        loss.backward()
        optimizer.step(loss=loss)
        with AROUND[around]():
            optimizer.report()
            optimizer.state_dict()
    expected, _ = run(name)
    assert torch.equal(flat(model.parameters()), expected)
    assert all(
        value.device.type == "cpu" for value in saved["param_groups"][0]["trajectory"].values()
    )


@pytest.mark.usefixtures("_defaults")
@pytest.mark.parametrize("around", ["meta", "float16", "float64"])
@pytest.mark.parametrize("name", OPTIMIZERS)
def test_construction_draws_a_seed_under_any_default_dtype_or_device(name, around):
    def drawn(context):
        params = list(network().parameters())
        torch.manual_seed(3)
        with context:
            optimizer = OPTIMIZERS[name](params, seed=None)
        return int(optimizer.param_groups[0]["trajectory"]["seed"])

    assert drawn(AROUND[around]()) == drawn(nullcontext())


# --------------------------------------------------------------------- where nothing can be


@pytest.mark.parametrize("name", OPTIMIZERS)
def test_parameters_without_values_are_refused_at_the_step(name):
    with torch.device("meta"):
        model = nn.Linear(3, 2)
    optimizer = OPTIMIZERS[name](model.parameters())
    for p in model.parameters():
        p.grad = torch.zeros_like(p)
    with pytest.raises(HyperparameterError, match="meta device"):
        optimizer.step(loss=1.0)
    with pytest.raises(HyperparameterError, match="meta device"):
        optimizer.step(loss=model(torch.ones(1, 3, device="meta")).sum())


@pytest.mark.parametrize("name", OPTIMIZERS)
def test_model_is_materialized_after_construction(name):
    model = network()
    lazy = network().to("meta")
    optimizer = OPTIMIZERS[name](lazy.parameters())
    # In place, as to_empty does with torch.__future__.set_swap_module_params_on_conversion.
    for p, real in zip(lazy.parameters(), model.parameters(), strict=True):
        torch.utils.swap_tensors(p, nn.Parameter(real.detach().clone()))
    for number in range(STEPS):
        optimizer.zero_grad()
        loss = evaluate(lazy, *batch(number))
        loss.backward()
        optimizer.step(loss=loss)
    assert torch.equal(flat(lazy.parameters()), run(name)[0])


@pytest.mark.parametrize("dtype", [torch.float8_e4m3fn, torch.float8_e5m2])
@pytest.mark.parametrize("name", OPTIMIZERS)
def test_float8_is_refused_at_construction(name, dtype):
    p = nn.Parameter(torch.zeros(3).to(dtype), requires_grad=False)
    with pytest.raises(HyperparameterError, match="float8"):
        OPTIMIZERS[name]([p])


# --------------------------------------------------------------- parameters of dimension 0


def descend(name, shapes):
    """Return how parameters of some shapes move, and their states' shapes."""
    params = [
        nn.Parameter((torch.linspace(1.0, 2.0, math.prod(s)) if s else torch.tensor(1.0)).view(s))
        for s in shapes
    ]
    optimizer = OPTIMIZERS[name](params)
    for _ in range(STEPS):
        optimizer.zero_grad()
        loss = sum(p.square().sum() for p in params) + 0.3
        loss.backward()
        optimizer.step(loss=loss)
    kept = [optimizer.state[p]["direction"].shape for p in params]
    return flat(params), kept, optimizer.report()


@pytest.mark.parametrize("others", [[], [(3,)], [(2, 2), ()]])
@pytest.mark.parametrize("name", OPTIMIZERS)
def test_scalar_parameter_moves_as_one_of_length_1(name, others):
    params, kept, report = descend(name, [(), *others])
    expected, _, of_expected = descend(name, [(1,), *(shape or (1,) for shape in others)])
    assert torch.equal(params, expected)
    assert kept == [torch.Size(shape) for shape in [(), *others]]
    assert report == of_expected
    assert report["updates"] > STEPS / 3


ROWS = {
    "ecdsep": [
        {"eta": 2.0, "lr": 0.1, "nu": 0.1},
        {"eta": 1.5, "lr": 0.05, "nu": 0.0, "weight_decay": 0.1},
    ],
    "ecdsep_f0": [
        {"eta": 3, "lr": 0.1, "nu": 0.1, "F0": -0.5},
        {"eta": 1, "lr": 0.05, "nu": 0.0, "F0": 0.5},
    ],
    "bbi": [{"lr": 0.05, "T0": 3, "n_bounces": 2}, {"lr": 0.02, "T1": 2}],
    "gdm": [{"lr": 0.1}, {"lr": 0.05, "nesterov": True}],
    "sgd": [{"lr": 0.1}, {"lr": 0.05, "momentum": 0.5}],
    "adam": [{"lr": 0.1}, {"lr": 0.05, "amsgrad": True}],
    "adamw": [{"lr": 0.1}, {"lr": 0.05, "weight_decay": 0.1}],
}
BATCHED = [name for name, definition in OPTIMIZER_DEFS.items() if definition.batched]
OF_OTHERS = [{"lr": 0.1}, {"lr": 0.05}]


def _resolved(path):
    module, attribute = path.split(":")
    return getattr(__import__(module, fromlist=[attribute]), attribute)


def _descend_batch(name, shapes, around=nullcontext):
    theta = [
        (torch.linspace(1.0, 2.0, math.prod(s)).view(s) if s else torch.tensor(1.0)).repeat(
            2, *(1 for _ in s)
        )
        for s in shapes
    ]
    rows = ROWS.get(name, OF_OTHERS)
    optimizer = _resolved(OPTIMIZER_DEFS[name].batched)(theta, [3, 4], rows)
    active = torch.ones(2, dtype=torch.bool)
    for _ in range(STEPS):
        loss = sum(block.square().reshape(2, -1).sum(1) for block in theta) + 0.3
        grads = [2 * block for block in theta]
        with around():
            optimizer.step(loss, grads, active)
    return [block.reshape(2, -1) for block in theta]


@pytest.mark.parametrize("others", [[], [(3,)], [(2, 2), ()]])
@pytest.mark.parametrize("name", BATCHED)
def test_batch_of_scalars_moves_as_one_of_length_1(name, others):
    blocks = _descend_batch(name, [(), *others])
    expected = _descend_batch(name, [(1,), *(shape or (1,) for shape in others)])
    for block, other in zip(blocks, expected, strict=True):
        assert block.isfinite().all()
        assert torch.equal(block, other)
        assert not torch.equal(block[0], block[1])


@pytest.mark.usefixtures("_defaults")
@pytest.mark.parametrize("around", AROUND)
@pytest.mark.parametrize("name", BATCHED)
def test_batched_step_ignores_ambient_torch_state(name, around):
    blocks = _descend_batch(name, [(2,), (3,)], AROUND[around])
    for block, other in zip(blocks, _descend_batch(name, [(2,), (3,)]), strict=True):
        assert torch.equal(block, other)
