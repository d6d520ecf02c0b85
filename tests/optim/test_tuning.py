"""Automatic ν, Δt and F0: their values, and that nothing else changes."""

from __future__ import annotations

import copy
import math

import pytest
import torch

from ecd_tune.errors import HyperparameterError
from ecd_tune.optim.batched.ecdsep import BatchedECDSep
from ecd_tune.optim.ecdsep import ECDSep
from ecd_tune.theory import Basin

AUTO = {"lr": "auto", "nu": "auto", "F0": "auto"}


def bowl(n: int, rows: int = 1, radius: float = math.sqrt(3)) -> torch.Tensor:
    start = torch.randn(rows, n, dtype=torch.float64, generator=torch.Generator().manual_seed(2))
    return start * radius / start.norm(dim=1, keepdim=True)


def descend(rows, theta, steps, F_min=1.0, noise=0.0):
    """Run a batch on the isotropic bowl; return losses, F0 after each step, and the optimizer."""
    optimizer = BatchedECDSep([theta], list(range(len(rows))), rows)
    active = torch.ones(len(rows), dtype=torch.bool)
    generator = torch.Generator().manual_seed(3)
    losses, offsets = [], []
    for _ in range(steps):
        error = torch.randn(len(rows), dtype=torch.float64, generator=generator)
        loss = theta.square().sum(1) + F_min + noise * error
        optimizer.step(loss, [2 * theta], active)
        losses.append(loss)
        offsets.append(optimizer.report()["F0"])
    return torch.stack(losses), torch.stack(offsets), optimizer


@pytest.mark.parametrize("integrator", ["sync", "algorithm1"])
def test_automatic_nu_and_lr_match_theory_on_a_quadratic(integrator: str) -> None:
    """Row 0 has Δt given and finds ν*; row 1 finds Δt too. Nothing is told of the basin."""
    n, eta = 1000, 2.0
    basin = Basin(n, eta, 1.0, 0.0, 1.0, 4.0, s=0, delta_energy=1.0)
    lr = float(basin.lr_for_orbit_step(0.3))
    base = {"eta": eta, "nu": "auto", "s": 0, "integrator": integrator}
    half = {**base, "lr": "auto", "orbit_step": 0.15}
    rows = [{**base, "lr": lr}, {**base, "lr": "auto"}, half]
    _, _, optimizer = descend(rows, bowl(n, 3), 150)
    report = optimizer.report()
    # Algorithm 1 samples with η_eff > η, for which |Θ*| is smaller than the theory's mode of η.
    tolerance = 0.03 if integrator == "sync" else 0.2
    nu_star = [basin.nu_star(lr), basin.nu_star(lr), basin.nu_star(lr / 2)]
    assert report["found_nu"].tolist() == pytest.approx(nu_star, rel=tolerance)
    expected = pytest.approx([math.nan, lr, lr / 2], rel=tolerance, nan_ok=True)
    assert report["found_lr"].tolist() == expected


def test_long_step_is_recognized() -> None:
    """Π has been kicked by as much as the step is long: measured by it, Δt would run away."""
    basin = Basin(100, 2.0, 1.0, 0.0, 1.0, 4.0, s=0, delta_energy=1.0)
    row = {"eta": 2.0, "lr": "auto", "orbit_step": 2.0, "s": 0}
    _, _, optimizer = descend([row], bowl(100), 150)
    found = optimizer.report()["found_lr"].item()
    assert 0.3 < found / float(basin.lr_for_orbit_step(2.0)) < 3.0


@pytest.mark.parametrize("integrator", ["sync", "algorithm1"])
def test_F0_converges_to_the_minimum_from_below(integrator: str) -> None:
    base = {**AUTO, "eta": 4.0, "orbit_step": 0.8, "integrator": integrator}
    losses, offsets, _ = descend([{**base, "s": s} for s in (0, 1)], bowl(50, 2), 320)
    left = 1.0 - offsets
    assert torch.all(left > 0)
    assert torch.all(offsets.diff(dim=0) >= 0)
    assert float(left[-1].max()) < 0.04
    # the plateau falls with D: it was D/(η−1) = 1/3 with F0 = 0
    assert float((losses[-30:] - 1.0).mean(0).max()) < 0.03


def test_F0_stays_below_noisy_losses_and_finds_negative_minima() -> None:
    rows = [{**AUTO, "eta": 2.0}] * 3
    for F_min, noise in ((1.0, 0.2), (-7.0, 0.3)):
        losses, offsets, _ = descend(rows, bowl(20, 3), 150, F_min, noise)
        lowest = losses.cummin(dim=0).values
        assert torch.all((offsets < lowest) | (offsets == 0.0))
        assert torch.all(offsets[-1] < lowest[-1])


def single(values, steps, factors=(), wait=None):
    params = [torch.nn.Parameter(row.clone()) for row in bowl(12, 2)]
    optimizer = ECDSep(params, eta=3.0, seed=5, wait=wait, **values)
    go(params, optimizer, steps, factors)
    return params, optimizer


def go(params, optimizer, steps, factors=()):
    lengths = []
    for step in range(steps):
        loss = sum(p.square().sum() for p in params) + 1.0
        optimizer.zero_grad()
        loss.backward()
        if step < len(factors):
            optimizer.param_groups[0]["lr"] = factors[step]
        before = torch.cat([p.detach().clone() for p in params])
        optimizer.step(loss=loss.detach() if step != 4 else -torch.ones(()))
        lengths.append(float((torch.cat([p.detach() for p in params]) - before).norm()))
    return lengths


def test_asynchronous_step_is_equal() -> None:
    watched, one = single(AUTO, 60, wait=True)
    unwatched, other = single(AUTO, 60, wait=False)
    assert all(torch.equal(a, b) for a, b in zip(watched, unwatched, strict=True))
    assert one.report() == other.report()
    assert one.report()["held"] == 1
    assert one.report()["F0"] < -1.0  # the loss at step 4


def test_a_scheduler_scales_the_step_that_is_found() -> None:
    lengths, paces = [], []
    run = single({"lr": "auto", "nu": 0.0}, 30)
    for factor in (1.0, 0.5, 0.0):
        params, optimizer = copy.deepcopy(run)
        lengths += go(params, optimizer, 1, (factor,))
        paces.append(optimizer.report()["found_lr"])
    # what is found does not undo the schedule; a shorter step weighs less in the average
    assert paces[1] == pytest.approx(paces[0], rel=0.05)
    # half of Δt also kicks half as far, which changes the speed a little
    assert 0.4 < lengths[1] / lengths[0] < 0.65
    assert lengths[2] == 0.0


def test_given_values_are_kept() -> None:
    """F0 alone is left to the run; ν, Δt and a number of group are what they were."""
    _, optimizer = single({"lr": 0.1, "nu": 0.2, "F0": "auto"}, 20)
    found = [name for name in optimizer.report() if name.startswith("found")]
    assert found == ["found_F0"]
    assert optimizer.param_groups[0]["lr"] == 0.1


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"lr": "fast"}, r"lr = 'fast' must be a number or 'auto'"),
        ({"nu": -1.0}, r"nu = -1.0 must be >= 0 or 'auto'"),
        ({"F0": "best"}, r"F0 = 'best' must be a number or 'auto'"),
        ({"orbit_step": 0.3}, r"orbit_step = 0.3 is the target of lr = 'auto'"),
        ({"lr": "auto", "orbit_step": 0.0}, r"orbit_step = 0.0 must be > 0"),
        ({"eta": "auto"}, r"eta = 'auto' must be a number"),
    ],
)
def test_invalid_values_are_refused(values, message) -> None:
    params = [torch.nn.Parameter(torch.ones(2))]
    with pytest.raises(HyperparameterError, match=message):
        ECDSep(params, **{"eta": 2.0, **values})


def test_auto_of_one_group_alone_is_refused() -> None:
    a, b = (torch.nn.Parameter(torch.ones(2)) for _ in range(2))
    with pytest.raises(HyperparameterError, match="applies to all groups"):
        ECDSep([{"params": [a]}, {"params": [b], "lr": "auto"}], eta=2.0)
    with pytest.raises(HyperparameterError, match="nu is global"):
        ECDSep([{"params": [a]}, {"params": [b], "nu": "auto"}], eta=2.0)
    groups = [{"params": [a]}, {"params": [b], "lr": 0.1}]
    optimizer = ECDSep(groups, lr="auto", eta=2.0)
    assert [group["lr"] for group in optimizer.param_groups] == [1.0, 0.1]
