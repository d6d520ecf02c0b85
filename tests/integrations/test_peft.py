"""peft: only trained parameters move, and only they have a cost."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import nn
from torch.nn import functional as F
from torch.utils._python_dispatch import TorchDispatchMode

from tests.integrations.problem import make_loader, make_optimizer

peft = pytest.importorskip("peft", reason="needs the extra dev-integrations")


def make_lora(width: int = 16) -> Any:
    """Return a network whose first layer has an adapter; all else is frozen."""
    with torch.random.fork_rng():
        torch.manual_seed(2)
        model = nn.Sequential(
            nn.Linear(4, 64), nn.Tanh(), nn.Linear(64, width), nn.Linear(width, 3)
        )
        config = peft.LoraConfig(r=4, target_modules=["0"], init_lora_weights="gaussian")
        return peft.get_peft_model(model, config)


def train(model: Any, optimizer: Any) -> list[float]:
    losses = []
    for x, y in [batch for _ in range(2) for batch in make_loader()]:
        loss = F.cross_entropy(model(x), y)
        loss.backward()
        optimizer.step(loss=loss)
        optimizer.zero_grad()
        losses.append(loss.item())
    return losses


def test_frozen_parameters_do_not_move_and_the_others_do():
    model = make_lora()
    before = {name: p.detach().clone() for name, p in model.named_parameters()}
    train(model, make_optimizer(model.parameters()))
    for name, p in model.named_parameters():
        assert torch.equal(p, before[name]) == (not p.requires_grad), name


def test_frozen_parameters_have_no_state():
    model = make_lora()
    optimizer = make_optimizer(model.parameters())
    train(model, optimizer)
    assert set(optimizer.state) == {p for p in model.parameters() if p.requires_grad}


def test_passing_all_parameters_equals_passing_the_trained_ones():
    # Without noise, which is drawn by the place of a parameter among all that were passed.
    every, trained = make_lora(), make_lora()
    of_every = make_optimizer(every.parameters(), nu=0.0)
    of_trained = make_optimizer((p for p in trained.parameters() if p.requires_grad), nu=0.0)
    assert train(every, of_every) == train(trained, of_trained)
    pairs = zip(every.parameters(), trained.parameters(), strict=True)
    assert all(torch.equal(a, b) for a, b in pairs)


class Work(TorchDispatchMode):
    """Counts operations and the elements that they write."""

    def __init__(self) -> None:
        super().__init__()
        self.operations = self.elements = 0

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        result = func(*args, **(kwargs or {}))
        tensors = [
            x for x in torch.utils._pytree.tree_leaves(result) if isinstance(x, torch.Tensor)
        ]
        self.operations += 1
        self.elements += sum(x.numel() for x in tensors)
        return result


def work_of_steps(steps: int, width: int, nu: float) -> Work:
    model = make_lora(width)
    optimizer = make_optimizer(model.parameters(), nu=nu)
    train(model, optimizer)
    x, y = next(iter(make_loader()))
    loss = F.cross_entropy(model(x), y)
    loss.backward()
    with Work() as work:
        for _ in range(steps):
            optimizer.step(loss=loss)
    return work


def test_cost_of_a_step_depends_on_the_trained_size_only():
    small, large = (work_of_steps(1, width, nu=0.0) for width in (16, 4096))
    assert large.operations == small.operations
    assert large.elements == small.elements


def test_cost_of_noise_depends_on_the_trained_size_only():
    steps, width = 20, 16384
    model = make_lora(width)
    trained = sum(p.numel() for p in model.parameters() if p.requires_grad)
    frozen = sum(p.numel() for p in model.parameters() if not p.requires_grad)
    work = work_of_steps(steps, width, nu=0.01)
    assert work.elements / steps < 60 * trained < frozen / 60


def test_adapter_saved_and_loaded_continues_bit_for_bit(tmp_path):
    unbroken, first, second = make_lora(), make_lora(), make_lora()
    optimizer = make_optimizer(unbroken.parameters())
    losses = train(unbroken, optimizer) + train(unbroken, optimizer)
    saver = make_optimizer(first.parameters())
    train(first, saver)
    first.save_pretrained(tmp_path)
    torch.save(saver.state_dict(), tmp_path / "optimizer.pt")

    second.load_adapter(tmp_path, "default", is_trainable=True)
    loader = make_optimizer(second.parameters(), seed=9)
    loader.load_state_dict(torch.load(tmp_path / "optimizer.pt"))
    assert train(second, loader) == losses[6:]
    pairs = zip(unbroken.parameters(), second.parameters(), strict=True)
    assert all(torch.equal(a, b) for a, b in pairs)
