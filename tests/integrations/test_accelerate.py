"""Accelerate: ``accelerator.backward`` passes on the loss, divided as the gradient is."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest
import torch
from torch.nn import functional as F

from ecd_tune.integrations import attach_loss
from tests.integrations.problem import (
    Losses,
    by_hand,
    make_loader,
    make_model,
    make_optimizer,
    same,
    train_by_hand,
)

accelerate = pytest.importorskip("accelerate", reason="needs the extra dev-integrations")


@pytest.fixture(autouse=True)
def _forget_settings():
    yield
    # Accelerators share them within a process.
    accelerate.state.AcceleratorState._reset_state(reset_partial_state=True)
    accelerate.state.GradientState._reset_state()


class Run:
    """A model, its optimizer and its data, prepared."""

    def __init__(self, batch_size: int = 8, *, seed: int = 3, **changes: Any) -> None:
        self.accelerator = accelerate.Accelerator(cpu=True, **changes)
        model = make_model()
        self.bare = make_optimizer(model.parameters(), seed=seed)
        self.losses = Losses(self.bare)
        self.model, self.optimizer, self.loader = self.accelerator.prepare(
            model, self.bare, make_loader(batch_size)
        )
        attach_loss(self.accelerator, self.optimizer)

    def train(self, epochs: int) -> None:
        for _ in range(epochs):
            for x, y in self.loader:
                with self.accelerator.accumulate(self.model):
                    self.accelerator.backward(F.cross_entropy(self.model(x), y))
                    self.optimizer.step()
                    self.optimizer.zero_grad()


def test_training_equals_a_loop_by_hand():
    run = Run()
    run.train(2)
    model, optimizer, losses = by_hand()
    assert run.losses.values == losses
    assert same(run.model, model)
    assert run.bare.report() == optimizer.report()


def test_accumulated_losses_are_those_of_the_full_batch():
    run = Run(2, gradient_accumulation_steps=4)
    run.train(2)
    model, _, losses = by_hand(2, accumulate=4)
    assert run.losses.values == losses
    assert same(run.model, model)
    whole, _, of_whole = by_hand()
    assert losses == pytest.approx(of_whole, abs=1e-6)
    assert same(whole, model, 1e-6)


def test_last_group_of_an_epoch_has_the_loss_of_its_gradient():
    run = Run(gradient_accumulation_steps=2)  # three batches: the last stands alone
    run.train(1)
    model = make_model()
    optimizer = make_optimizer(model.parameters())
    batches = list(make_loader())
    losses = train_by_hand(model, optimizer, batches[:2], accumulate=2)
    losses += train_by_hand(model, optimizer, batches[2:], factor=0.5)
    assert run.losses.values == losses
    assert same(run.model, model)


def test_loaded_state_continues_bit_for_bit(tmp_path):
    run = Run()
    run.train(1)
    run.accelerator.save_state(str(tmp_path))
    other = Run(seed=9)  # the saved seed counts
    other.accelerator.load_state(str(tmp_path))
    other.train(1)
    model, optimizer, losses = by_hand()
    assert other.losses.values == losses[3:]
    assert same(other.model, model)
    assert other.bare.report() == optimizer.report()


def test_gradient_scaler_does_not_reach_the_loss():
    run = Run()
    # Accelerate makes one on GPUs only. The scale overflows at first: those steps are skipped.
    scaler = torch.amp.GradScaler("cpu", init_scale=2.0**127, backoff_factor=2.0**-10)
    run.accelerator.scaler = scaler
    run.optimizer = accelerate.optimizer.AcceleratedOptimizer(run.bare, scaler=scaler)
    for x, y in run.loader:
        run.accelerator.backward(100 * F.cross_entropy(run.model(x), y))
        run.optimizer.step()
        run.optimizer.zero_grad()
    model = make_model()
    batches = list(make_loader())
    losses = train_by_hand(model, make_optimizer(model.parameters()), batches[1:], factor=100)
    assert run.losses.values == losses
    assert same(run.model, model)


def test_each_of_several_optimizers_gets_the_losses_of_its_own_gradient():
    run = Run()
    models = [make_model() for _ in range(2)]
    taking = make_optimizer(models[0].parameters(), seed=4)
    losses = Losses(taking)
    other = torch.optim.AdamW(models[1].parameters())
    attach_loss(run.accelerator, run.optimizer, taking, other)  # the first for the second time
    for x, y in run.loader:
        for model, optimizer in zip(
            [run.model, *models], [run.optimizer, taking, other], strict=True
        ):
            run.accelerator.backward(F.cross_entropy(model(x), y))
            optimizer.step()
            optimizer.zero_grad()
    first, second = make_model(), make_model()
    batches = list(make_loader())
    assert run.losses.values == train_by_hand(first, make_optimizer(first.parameters()), batches)
    assert losses.values == train_by_hand(
        second, make_optimizer(second.parameters(), seed=4), batches
    )
    assert same(run.model, first)
    assert same(models[0], second)


def test_detached_optimizer_gets_no_losses():
    run = Run()
    model = make_model()
    optimizer = make_optimizer(model.parameters())
    detach = attach_loss(run.accelerator, optimizer)
    detach()
    x, y = next(iter(run.loader))
    run.accelerator.backward(F.cross_entropy(model(x), y))
    with pytest.raises(TypeError, match="needs the loss"):
        optimizer.step()


def test_refusals_say_what_to_do():
    optimizer = make_optimizer(make_model().parameters())
    with pytest.raises(TypeError, match="got a ECDSep as the first argument"):
        attach_loss(optimizer, accelerate.Accelerator(cpu=True))
    with pytest.raises(TypeError, match="got no optimizer"):
        attach_loss(accelerate.Accelerator(cpu=True))
    engine = SimpleNamespace(
        backward=lambda loss: None, distributed_type=accelerate.DistributedType.DEEPSPEED
    )
    with pytest.raises(ValueError, match="DEEPSPEED"):
        attach_loss(engine, optimizer)
