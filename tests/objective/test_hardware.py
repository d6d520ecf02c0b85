"""Precision, memory format and compilation from [training]."""

from __future__ import annotations

import contextlib
from collections.abc import Mapping

import pytest
import torch
from torch import nn
from torch.nn.functional import cross_entropy

from ecd_tune.errors import SpecError, TaskError
from ecd_tune.objective.training.batches import Batches
from ecd_tune.objective.training.hardware import computing, prepare_network
from ecd_tune.optim import ECDSep
from ecd_tune.spec import TrainingSpec, parse_study
from ecd_tune.tasks import NetworkProblem


class Images:
    """A convolution on random images."""

    metric = "loss"
    steps_per_epoch = 1

    def __init__(self) -> None:
        torch.manual_seed(0)
        self.network: nn.Module = nn.Sequential(
            nn.Conv2d(3, 8, 3), nn.ReLU(), nn.Conv2d(8, 4, 3), nn.Flatten(), nn.LazyLinear(5)
        )
        self._x, self._y = torch.randn(16, 3, 8, 8), torch.randint(5, (16,))
        self.network(self._x)
        self.parameters = list(self.network.parameters())

    def closure(self, step: int) -> torch.Tensor:
        self.network.zero_grad()
        loss = cross_entropy(self.network(self._x), self._y)
        loss.backward()
        return loss.detach()

    def evaluate(self, split: str) -> Mapping[str, float]:
        return {"loss": float(self.closure(0))}


def test_a_problem_with_a_module_is_a_network_problem() -> None:
    assert isinstance(Images(), NetworkProblem)


def test_channels_last_reaches_the_convolutions_and_leaves_numbers_and_weights_alone() -> None:
    plain, formatted, seen = Images(), Images(), []
    prepare_network(formatted, TrainingSpec(memory_format="channels_last"))
    formatted.network[0].register_forward_pre_hook(  # type: ignore[index]
        lambda _, x: seen.append(x[0].is_contiguous(memory_format=torch.channels_last))
    )
    losses = [float(p.closure(0)) for p in (plain, formatted)]
    assert seen == [True]
    assert losses[0] == pytest.approx(losses[1], rel=1e-6)
    for a, b in zip(plain.parameters, formatted.parameters, strict=True):
        assert b.is_contiguous()
        assert b.grad is not None
        assert b.grad.stride() == b.stride()
        torch.testing.assert_close(a.grad, b.grad, rtol=1e-5, atol=1e-7)


def test_noise_keeps_its_fused_form_beside_images_with_the_channels_last() -> None:
    problem = Images()
    prepare_network(problem, TrainingSpec(memory_format="channels_last"))
    optimizer = ECDSep(problem.parameters, lr=0.1, eta=2.0, nu=1e-3)
    loss = problem.closure(0)
    optimizer.step(loss=loss)
    free = ECDSep(Images().parameters, lr=0.1, eta=2.0, nu=1e-3).report()
    assert optimizer.report()["form_reason"] == free["form_reason"]


def test_compile_is_asked_of_the_network_once(monkeypatch: pytest.MonkeyPatch) -> None:
    compiled: list[nn.Module] = []
    monkeypatch.setattr(nn.Module, "compile", lambda self: compiled.append(self))
    problem = Images()
    prepare_network(problem, TrainingSpec())
    assert compiled == []
    prepare_network(problem, TrainingSpec(compile=True))
    assert compiled == [problem.network]


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore::DeprecationWarning")  # of torch's compiler about itself
def test_a_compiled_network_has_the_same_gradients() -> None:
    plain, compiled = Images(), Images()
    prepare_network(compiled, TrainingSpec(compile=True))
    assert float(plain.closure(0)) == pytest.approx(float(compiled.closure(0)), rel=1e-6)
    for a, b in zip(plain.parameters, compiled.parameters, strict=True):
        torch.testing.assert_close(a.grad, b.grad, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("key", [{"compile": True}, {"memory_format": "channels_last"}])
def test_task_without_network_is_an_error(key: dict[str, object]) -> None:
    problem = Images()
    del problem.network
    with pytest.raises(TaskError, match=f"{next(iter(key))}: this task has no torch module"):
        prepare_network(problem, TrainingSpec.model_validate(key))


@pytest.mark.parametrize(
    ("precision", "allowed"), [("fp32", False), ("tf32", True), ("auto", True), ("bf16", False)]
)
@pytest.mark.filterwarnings("ignore::UserWarning")  # of autocast, where there is no such device
def test_tf32_is_set_and_restored(precision: str, allowed: bool) -> None:
    def flags() -> tuple[bool, bool]:
        return torch.backends.cuda.matmul.allow_tf32, torch.backends.cudnn.allow_tf32

    before = flags()
    context = computing(torch.device("cuda"), precision)  # type: ignore[arg-type]
    with contextlib.suppress(ZeroDivisionError), context:
        assert flags() == (allowed, allowed)
        _ = 1 / 0
    assert flags() == before


@pytest.mark.parametrize("precision", ["auto", "tf32"])
def test_on_a_processor_tf32_is_float32(precision: str) -> None:
    exact, other = Images(), Images()
    full, rounded = Batches(exact), Batches(other, precision=precision)  # type: ignore[arg-type]
    assert torch.equal(full.closure(0), rounded.closure(0))


@pytest.mark.parametrize(
    "training", [{"precision": "tf32"}, {"memory_format": "channels_last"}, {"compile": True}]
)
def test_rounding_options_change_the_fingerprint(
    training: dict[str, object],
) -> None:
    assert TrainingSpec().identity() != TrainingSpec.model_validate(training).identity()
    assert not {"precision", "memory_format", "compile"} & set(TrainingSpec().identity())


def test_a_task_that_counts_iterations_has_no_use_for_them() -> None:
    with pytest.raises(SpecError, match="memory_format: task 'zakharov' does not train by epochs"):
        parse_study(
            {
                "name": "x",
                "task": {"name": "zakharov"},
                "budget": {"trials": 1, "steps": 3},
                "training": {"memory_format": "channels_last"},
                "optimizers": {"sgd": {"space": {"lr": 0.1}}},
            }
        )
