"""Lightning: the optimizer gets the loss of its gradient, in each way in which Lightning steps."""

from __future__ import annotations

import os
import subprocess
import sys
from typing import Any

import pytest
import torch
from torch.nn import functional as F

from ecd_tune import integrations
from tests.integrations.problem import (
    Losses,
    by_hand,
    make_loader,
    make_model,
    make_optimizer,
    same,
    train_by_hand,
)

pl = pytest.importorskip("lightning.pytorch", reason="needs the extra dev-integrations")

# Lightning looks at trees of data loaders in a way that torch has deprecated.
pytestmark = pytest.mark.filterwarnings(r"ignore:.isinstance\(treespec, LeafSpec\):FutureWarning")


class Net(pl.LightningModule):
    def __init__(self, **changes: Any) -> None:
        super().__init__()
        self.net = make_model()
        self.optimizer = make_optimizer(self.net.parameters(), **changes)
        self.losses = Losses(self.optimizer)

    def configure_optimizers(self) -> Any:
        return self.optimizer

    def loss(self, batch: Any) -> torch.Tensor:
        x, y = batch
        return F.cross_entropy(self.net(x), y)

    def training_step(self, batch: Any, batch_idx: int) -> Any:
        return self.loss(batch)


def fit(module: Any, loader: Any, *, path: Any = None, **changes: Any) -> Any:
    arguments: dict[str, Any] = {
        "accelerator": "cpu",
        "devices": 1,
        "max_epochs": 2,
        "callbacks": [integrations.LossCallback()],
        "logger": False,
        "enable_checkpointing": False,
        "enable_progress_bar": False,
        "enable_model_summary": False,
        **changes,
    }
    trainer = pl.Trainer(**arguments)
    trainer.fit(module, loader, ckpt_path=path)
    return trainer


# Without the callback the loss is what the closure returns: that of the last micro-batch.
@pytest.mark.parametrize("callbacks", [[integrations.LossCallback()], []])
def test_automatic_optimization_equals_a_loop_by_hand(callbacks):
    module = Net()
    fit(module, make_loader(), callbacks=callbacks)
    model, _, losses = by_hand()
    assert module.losses.values == losses
    assert same(module.net, model)


class ManualNet(Net):
    """Clears gradients before backward, or after the step."""

    def __init__(self, *, clear_first: bool) -> None:
        super().__init__()
        self.automatic_optimization = False
        self.clear_first = clear_first

    def training_step(self, batch: Any, batch_idx: int) -> None:
        optimizer: Any = self.optimizers()
        if self.clear_first:
            optimizer.zero_grad()
        self.manual_backward(self.loss(batch))
        optimizer.step()
        if not self.clear_first:
            optimizer.zero_grad()


@pytest.mark.parametrize("clear_first", [True, False])
def test_manual_optimization_equals_a_loop_by_hand(clear_first):
    module = ManualNet(clear_first=clear_first)
    fit(module, make_loader())
    model, _, losses = by_hand()
    assert module.losses.values == losses
    assert same(module.net, model)


class DiscardingNet(ManualNet):
    def training_step(self, batch: Any, batch_idx: int) -> None:
        optimizer: Any = self.optimizers()
        for _ in range(2):
            optimizer.zero_grad()
            self.manual_backward(self.loss(batch))
        optimizer.step()


def test_clearing_gradients_clears_the_loss():
    module = DiscardingNet(clear_first=True)
    fit(module, make_loader())
    model, _, losses = by_hand()
    assert module.losses.values == losses
    assert same(module.net, model)


class GivingNet(ManualNet):
    def __init__(self, *, adds: bool) -> None:
        super().__init__(clear_first=True)
        self.adds = adds

    def training_step(self, batch: Any, batch_idx: int) -> None:
        optimizer: Any = self.optimizers()
        optimizer.zero_grad()
        loss = self.loss(batch)
        self.manual_backward(loss)
        if self.adds:
            optimizer.add_loss(loss)
        optimizer.step(**({} if self.adds else {"loss": loss}))


@pytest.mark.parametrize("adds", [True, False])
def test_manual_optimization_can_give_the_loss_without_the_callback(adds):
    module = GivingNet(adds=adds)
    fit(module, make_loader(), callbacks=[])
    model, _, losses = by_hand()
    assert module.losses.values == losses
    assert same(module.net, model)


class TwoNets(pl.LightningModule):
    """Two networks that learn in turn, and a third with an optimizer that needs no loss."""

    def __init__(self) -> None:
        super().__init__()
        self.automatic_optimization = False
        self.nets = torch.nn.ModuleList(make_model() for _ in range(3))
        first, second, third = (net.parameters() for net in self.nets)
        self.steppers = [make_optimizer(first), make_optimizer(second, seed=4)]
        self.losses = [Losses(optimizer) for optimizer in self.steppers]
        self.steppers.append(torch.optim.AdamW(third))

    def configure_optimizers(self) -> Any:
        return self.steppers

    def training_step(self, batch: Any, batch_idx: int) -> None:
        x, y = batch
        wrapped: Any = self.optimizers()
        for k, (net, optimizer) in enumerate(zip(self.nets, wrapped, strict=True)):
            self.manual_backward(F.cross_entropy(net(x), y) * (k + 1))
            optimizer.step()
            optimizer.zero_grad()


def test_each_of_several_optimizers_gets_the_losses_of_its_own_gradient():
    module = TwoNets()
    fit(module, make_loader())
    for k in range(2):
        model = make_model()
        optimizer = make_optimizer(model.parameters(), seed=3 + k)
        batches = [batch for _ in range(2) for batch in make_loader()]
        losses = train_by_hand(model, optimizer, batches, factor=k + 1)
        assert module.losses[k].values == losses
        assert same(module.nets[k], model)


def test_accumulated_losses_are_those_of_the_full_batch():
    module = Net()
    fit(module, make_loader(2), accumulate_grad_batches=4)
    model, _, losses = by_hand(2, accumulate=4)
    assert module.losses.values == losses
    assert same(module.net, model)
    whole, _, of_whole = by_hand()
    assert losses == pytest.approx(of_whole, abs=1e-6)
    assert same(whole, model, 1e-6)


def test_factor_of_a_gradient_scaler_is_taken_out():
    scale = {"init_scale": 2.0**22, "growth_interval": 4}  # overflows at first, and later on again
    plugin = pl.plugins.MixedPrecision("16-mixed", "cpu", torch.amp.GradScaler("cpu", **scale))
    module = Net()
    trainer = fit(module, make_loader(), plugins=[plugin], max_epochs=8)
    assert trainer.scaler is plugin.scaler

    model, scaler = make_model(), torch.amp.GradScaler("cpu", **scale)
    optimizer = make_optimizer(model.parameters())
    losses, scales = Losses(optimizer), set()
    for x, y in [batch for _ in range(8) for batch in make_loader()]:
        with torch.autocast("cpu", torch.float16):
            loss = F.cross_entropy(model(x), y)
        scaler.scale(loss).backward()
        scaler.unscale_(optimizer)
        scaler.step(optimizer, loss=loss.detach())
        scaler.update()
        optimizer.zero_grad()
        scales.add(scaler.get_scale())
    assert 1 < len(losses.values) < 8 * 3  # some steps were skipped
    assert len(scales) > 2
    assert module.losses.values == losses.values
    assert same(module.net, model)


class SometimesNet(Net):
    def training_step(self, batch: Any, batch_idx: int) -> Any:
        return None if batch_idx == 1 else self.loss(batch)


# What the test is about.
@pytest.mark.filterwarnings("ignore:.training_step. returned .None.:UserWarning")
def test_step_without_a_loss_is_skipped_and_counted():
    module = SometimesNet()
    fit(module, make_loader())
    model = make_model()
    optimizer = make_optimizer(model.parameters())
    batches = [batch for _ in range(2) for k, batch in enumerate(make_loader()) if k != 1]
    losses = train_by_hand(model, optimizer, batches)
    assert module.losses.values == losses
    assert same(module.net, model)
    report = module.optimizer.report()
    assert (report["skipped"], report["steps"]) == (2, 4)


def test_resumed_run_equals_an_unbroken_one(tmp_path):
    trainer = fit(Net(), make_loader(), max_epochs=1)
    trainer.save_checkpoint(tmp_path / "half.ckpt")
    module = Net(seed=9)  # the checkpoint's counts
    fit(module, make_loader(), max_epochs=2, path=tmp_path / "half.ckpt")
    model, optimizer, losses = by_hand()
    assert module.losses.values == losses[3:]
    assert same(module.net, model)
    assert module.optimizer.report() == optimizer.report()


def test_other_optimizers_are_unchanged():
    module = Net()
    module.optimizer = torch.optim.AdamW(module.net.parameters())
    fit(module, make_loader())
    model = make_model()
    optimizer = torch.optim.AdamW(model.parameters())
    for x, y in [batch for _ in range(2) for batch in make_loader()]:
        optimizer.zero_grad()
        F.cross_entropy(model(x), y).backward()
        optimizer.step()
    assert same(module.net, model)


def test_processes_of_ddp_stay_equal_and_see_the_mean_loss(tmp_path):
    subprocess.run(
        [sys.executable, "-m", "tests.integrations.lightning_ddp", str(tmp_path)],
        env={**os.environ, "GLOO_SOCKET_IFNAME": "lo"},  # the host's own name may not resolve
        check=True,
        timeout=150,
    )
    first, second = (torch.load(tmp_path / f"{rank}.pt") for rank in range(2))
    assert first["losses"] == second["losses"]
    assert all(map(torch.equal, first["model"].values(), second["model"].values()))

    model, _, losses = by_hand(12)
    assert first["losses"] == pytest.approx(losses, abs=1e-6)
    trained = make_model()
    trained.load_state_dict(first["model"])
    assert same(trained, model, 1e-6)
