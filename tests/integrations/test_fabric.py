"""Lightning Fabric: ``fabric.backward`` passes on the loss."""

from __future__ import annotations

from functools import partial
from typing import Any

import pytest
import torch
from torch.nn import functional as F

from ecd_tune.integrations import attach_loss
from ecd_tune.optim import BBI, ECDSepF0
from tests.integrations.problem import (
    Losses,
    by_hand,
    make_loader,
    make_model,
    make_optimizer,
    same,
    train_by_hand,
)

fabric_library = pytest.importorskip("lightning.fabric", reason="needs the extra dev-integrations")


class Run:
    """A model, its optimizer and its data, set up."""

    def __init__(
        self, batch_size: int = 8, *, optimizer: Any = make_optimizer, **changes: Any
    ) -> None:
        self.fabric = fabric_library.Fabric(accelerator="cpu", devices=1, **changes)
        model = make_model()
        self.bare = optimizer(model.parameters())
        self.losses = Losses(self.bare) if hasattr(self.bare, "watch") else None
        self.model, self.optimizer = self.fabric.setup(model, self.bare)
        self.loader = self.fabric.setup_dataloaders(make_loader(batch_size))
        attach_loss(self.fabric, self.optimizer)

    def train(self, epochs: int, accumulate: int = 1) -> None:
        for _ in range(epochs):
            for k, (x, y) in enumerate(self.loader):
                last = (k + 1) % accumulate == 0
                with self.fabric.no_backward_sync(self.model, enabled=not last):
                    self.fabric.backward(F.cross_entropy(self.model(x), y) / accumulate)
                if last:
                    self.optimizer.step()
                    self.optimizer.zero_grad()


def test_training_equals_a_loop_by_hand():
    run = Run()
    run.train(2)
    model, optimizer, losses = by_hand()
    assert run.losses.values == losses
    assert same(run.model, model)
    assert run.bare.report() == optimizer.report()


@pytest.mark.parametrize("make", [partial(ECDSepF0, eta=3), partial(BBI, lr=0.01)])
def test_other_optimizers_that_need_a_loss(make):
    run = Run(optimizer=lambda params: make(params, seed=3))
    run.train(2)
    model = make_model()
    optimizer = make(model.parameters(), seed=3)
    train_by_hand(model, optimizer, [batch for _ in range(2) for batch in make_loader()])
    assert run.bare.report() == optimizer.report()
    assert same(run.model, model)


def test_accumulated_losses_are_those_of_the_full_batch():
    run = Run(2)
    run.train(2, accumulate=4)
    model, _, losses = by_hand(2, accumulate=4)
    assert run.losses.values == losses
    assert same(run.model, model)
    whole, _, of_whole = by_hand()
    assert losses == pytest.approx(of_whole, abs=1e-6)
    assert same(whole, model, 1e-6)


def test_loaded_state_continues_bit_for_bit(tmp_path):
    run = Run()
    run.train(1)
    run.fabric.save(tmp_path / "half.ckpt", {"model": run.model, "optimizer": run.optimizer})
    other = Run(optimizer=partial(make_optimizer, seed=9))  # the saved seed counts
    other.fabric.load(tmp_path / "half.ckpt", {"model": other.model, "optimizer": other.optimizer})
    other.train(1)
    model, optimizer, losses = by_hand()
    assert other.losses.values == losses[3:]
    assert same(other.model, model)
    assert other.bare.report() == optimizer.report()


def test_clearing_gradients_clears_the_loss():
    run = Run()
    for x, y in [batch for _ in range(2) for batch in run.loader]:
        for _ in range(2):
            run.optimizer.zero_grad()
            run.fabric.backward(F.cross_entropy(run.model(x), y))
        run.optimizer.step()
    model, _, losses = by_hand()
    assert run.losses.values == losses
    assert same(run.model, model)


def test_wrapped_optimizer_has_the_same_report():
    run = Run()
    assert run.optimizer.report() == run.bare.report()
    run.train(1)
    assert run.optimizer.report() == run.bare.report()
    assert run.bare.report()["updates"] == 3


def test_factor_of_a_gradient_scaler_does_not_reach_the_loss():
    scale = {"init_scale": 2.0**22}
    precision = fabric_library.plugins.MixedPrecision
    run = Run(plugins=[precision("16-mixed", "cpu", torch.amp.GradScaler("cpu", **scale))])
    run.train(8)

    model, scaler = make_model(), torch.amp.GradScaler("cpu", **scale)
    optimizer = make_optimizer(model.parameters())
    losses = Losses(optimizer)
    for x, y in [batch for _ in range(8) for batch in make_loader()]:
        with torch.autocast("cpu", torch.float16):
            output = model(x.half())
        loss = F.cross_entropy(output.float(), y)
        scaler.scale(loss).backward()
        scaler.step(optimizer, loss=loss.detach())
        scaler.update()
        optimizer.zero_grad()
    assert 1 < len(losses.values) < 8 * 3  # some steps were skipped
    assert run.losses.values == losses.values
    assert same(run.model, model)
