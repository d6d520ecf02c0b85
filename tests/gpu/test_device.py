"""Tests that need a GPU: graphs, synchronization, memory, launches; and batches of runs."""

from __future__ import annotations

import math

import pytest
import torch
from runs import Fused, Reference

from ecd_tune.errors import NonFiniteLossError
from ecd_tune.optim import ECDq1, ECDSep

CUDA = torch.cuda.is_available()
pytestmark = pytest.mark.skipif(not CUDA, reason="needs a GPU")
HP = {"eta": 3.0, "lr": 0.1, "nu": 0.05}
SHAPES = [(300, 20), (17,), (5000,)]


def begun(device, **hp):
    run = Reference("ecdsep", SHAPES, torch.float32, **{**HP, **hp})
    run.step()
    return Fused(run, device)


def bits(fused):
    return [t.cpu().clone() for t in (*fused.theta, *fused.momenta, *fused.scalars)]


def capture(fused, device):
    """Capture one step; the gradients are at fixed places."""
    grads = [torch.empty_like(t) for t in fused.theta]
    loss = torch.zeros((), dtype=torch.float64, device=device)

    def whole():
        value, found = fused.run.loss(fused.theta)
        loss.copy_(value)
        for g, f in zip(grads, found, strict=True):
            g.copy_(f)
        fused.kernels.step(loss, grads)

    graph = torch.cuda.CUDAGraph()
    with torch.cuda.graph(graph):
        whole()
    return graph, (grads, loss)


@pytest.mark.parametrize("integrator", ["algorithm1", "sync"])
def test_replays_draw_new_noise(device, integrator):
    eager, replayed = (begun(device, integrator=integrator) for _ in range(2))
    for fused in (eager, replayed):  # compiles
        fused.step()
    graph, _keep = capture(replayed, device)
    for _ in range(5):
        eager.step()
        graph.replay()
    torch.cuda.synchronize()
    assert all(map(torch.equal, bits(eager), bits(replayed)))
    assert replayed.kernels.clock[0, 0] == 7


def test_replays_and_eager_steps_can_be_mixed(device):
    eager, mixed = begun(device), begun(device)
    for fused in (eager, mixed):
        fused.step()
    graph, _keep = capture(mixed, device)
    for number in range(6):
        eager.step()
        if number % 2:
            mixed.step()
        else:
            graph.replay()
    torch.cuda.synchronize()
    assert all(map(torch.equal, bits(eager), bits(mixed)))


def test_resumed_run_is_bit_equal(device):
    one, other = begun(device), begun(device)
    for number in range(6):
        if number == 3:
            other.theta = [t.clone() for t in other.theta]
            other.momenta = [m.clone() for m in other.momenta]
            other.scalars = [s.clone() for s in other.scalars]
            other.kernels = other.make(int(other.kernels.clock[0, 0]))
        one.step()
        other.step()
    assert all(map(torch.equal, bits(one), bits(other)))


@pytest.mark.parametrize("programs", [(1, 1), (3, 7), (4096, 4096)])
def test_the_number_of_programs_changes_no_bit(device, programs):
    run = Reference("ecdsep", [(70_000,), (5,), (333,)], torch.float32, **HP)
    run.step()
    one, other = Fused(run, device), Fused(run, device, programs=programs)
    for _ in range(10):
        one.step()
        other.step()
    assert all(map(torch.equal, bits(one), bits(other)))


def test_step_does_not_synchronize(device):
    fused = begun(device)
    fused.step()
    loss, grads = fused.run.loss(fused.theta)
    others = [g.clone() for g in grads]
    torch.cuda.synchronize()
    torch.cuda.set_sync_debug_mode("error")
    try:
        for number in range(4):
            fused.kernels.step(loss, others if number % 2 else grads)
        fused.kernels.set_rates([0.05] * len(grads))
        fused.kernels.step(loss, grads)
    finally:
        torch.cuda.set_sync_debug_mode("default")


def test_a_step_is_two_launches_and_allocates_nothing(device):
    fused = begun(device)
    loss, grads = fused.run.loss(fused.theta)
    for _ in range(2):
        fused.kernels.step(loss, grads)
    torch.cuda.synchronize()
    torch.cuda.reset_peak_memory_stats()
    before = torch.cuda.memory_allocated()
    activities = [torch.profiler.ProfilerActivity.CUDA, torch.profiler.ProfilerActivity.CPU]
    with torch.profiler.profile(activities=activities) as profile:
        for _ in range(4):
            fused.kernels.step(loss, grads)
        torch.cuda.synchronize()
    assert torch.cuda.max_memory_allocated() == before
    kernels = [e for e in profile.events() if e.name in ("reduce_kernel", "update_kernel")]
    assert len(kernels) == 8
    names = {e.name for e in profile.events() if e.device_type.name == "CUDA"}
    assert not [name for name in names if "Memcpy" in name]


@pytest.mark.parametrize("integrator", ["algorithm1", "sync"])
def test_a_long_run_conserves_energy(device, integrator):
    run = Reference(
        "ecdsep", [(4000,), (1000,)], torch.float32, integrator=integrator,
        eta=2.0, lr=0.01, nu=0.01,
    )  # fmt: skip
    run.step()
    fused = Fused(run, device, tape=256)
    for _ in range(200):
        fused.step()
    rows = fused.read_tape(200)
    potential, energy, log_p = rows[3], rows[4], rows[13]
    drift = torch.logaddexp(2 * log_p, torch.zeros_like(log_p)) + potential - energy
    assert rows[0].all()
    assert drift.abs().max() < 1e-9  # the norm is set to what the energy asks for
    assert rows[7].max() <= 1 + 1e-12  # speed of s = 1


def test_turns_have_the_expected_angle(device):
    run = Reference("ecdsep", [(100_000,)], torch.float32, eta=2.0, lr=0.01, nu=0.01)
    run.step()
    fused = Fused(run, device, tape=256)
    for _ in range(100):
        fused.step()
    squares = fused.read_tape(100)[8].square()
    n, nu = 100_000, 0.01
    expected, spread = 1 + nu**2 * n, ((2 * nu**4 * n + 4 * nu**2) / 100) ** 0.5
    assert abs(squares.mean() - expected) < 5 * spread


# ------------------------------------------------------------------ whole optimizers


def trained(kind, steps, graph_from=None, **hp):
    """Train on one batch, from some step on by replays of a graph."""
    stream = torch.cuda.Stream()  # one for all, as the graph's backward needs
    stream.wait_stream(torch.cuda.current_stream())
    with torch.cuda.stream(stream):
        return _trained(stream, kind, steps, graph_from, hp)


def _trained(stream, kind, steps, graph_from, hp):
    torch.manual_seed(4)
    model = torch.nn.Linear(64, 32, device="cuda")
    inputs = torch.randn(16, 64, device="cuda")
    optimizer = kind(model.parameters(), seed=3, **hp)

    def step():
        optimizer.zero_grad(set_to_none=False)
        loss = model(inputs).square().mean() + 0.1
        loss.backward()
        optimizer.step(loss=loss)

    graph = None
    for number in range(steps):
        if graph_from is None or number < graph_from:
            step()
            continue
        if graph is None:
            torch.cuda.synchronize()
            graph = torch.cuda.CUDAGraph()
            with torch.cuda.graph(graph, stream=stream):
                step()
        graph.replay()
    torch.cuda.synchronize()
    return model, optimizer


@pytest.mark.parametrize(
    ("kind", "hp"),
    [(ECDSep, {"eta": 2.0, "lr": 0.1, "nu": 1e-3}), (ECDq1, {"eta": 50.0, "lr": 0.3, "nu": 0.3})],
)
@pytest.mark.parametrize("graph_from", [16, 18])
def test_a_training_step_can_be_captured(kind, hp, graph_from):
    plain, one = trained(kind, 24, **hp)
    replayed, other = trained(kind, 24, graph_from, **hp)
    assert one.report()["form"] == "fused"
    for a, b in zip(plain.parameters(), replayed.parameters(), strict=True):
        torch.testing.assert_close(a, b, rtol=1e-5, atol=1e-6)
    assert one.report()["updates"] == other.report()["updates"] == 24


def test_optimizer_step_is_two_launches_without_synchronization():
    _, optimizer = trained(ECDSep, 3, eta=2.0, lr=0.1, nu=1e-3)
    loss = torch.tensor(1.0, device="cuda")
    optimizer.step(loss=loss)  # compiles for a loss of float32
    torch.cuda.synchronize()
    activities = [torch.profiler.ProfilerActivity.CUDA, torch.profiler.ProfilerActivity.CPU]
    torch.cuda.set_sync_debug_mode("error")
    try:
        for _ in range(4):
            optimizer.step(loss=loss)
    finally:
        torch.cuda.set_sync_debug_mode("default")
    with torch.profiler.profile(activities=activities) as profile:
        for _ in range(4):
            optimizer.step(loss=loss)
        torch.cuda.synchronize()
    kernels = [e for e in profile.events() if e.device_type.name == "CUDA"]
    assert len([e for e in kernels if e.name in ("reduce_kernel", "update_kernel")]) == 8


def test_nonfinite_loss_is_detected_later():
    model, optimizer = trained(ECDSep, 3, eta=2.0, lr=0.1, nu=1e-3)
    before = [p.detach().clone() for p in model.parameters()]
    bad = torch.tensor(math.nan, device="cuda")
    for _ in range(3, 16):
        optimizer.step(loss=bad)
    with pytest.raises(NonFiniteLossError, match="at step 3 "):
        optimizer.step(loss=bad)
    assert all(map(torch.equal, before, model.parameters()))
    optimizer.step(loss=torch.tensor(1.0, device="cuda"))
    assert optimizer.report()["updates"] == 4
