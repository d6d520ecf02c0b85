"""One step of the optimizers compared with AdamW, alternating: alone, and within a training step.

    python -m benchmarks.step [--device cuda] [--sizes digits 100k resnet18 wrn bert]
        [--threads 1 2] [--turns 41] [--train] [--json FILE]

Parameters and gradients are ready, float32; on a GPU the device is kept busy and the clock stops
after a synchronisation. Medians over turns in which every contender has its round; read the ratios.
"""

from __future__ import annotations

import argparse
import json
import math
import platform
import statistics
import time
import warnings
from collections.abc import Callable, Iterable
from importlib.metadata import version
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from ecd_tune.optim import BatchedECDSep, ECDq1, ECDSep, auto
from ecd_tune.optim.batched.unit_speed import BatchedECDq1
from ecd_tune.tasks.images.models import CifarResNet, ResNet18, WideResNet

# Losses are given without regard to the gradients.
warnings.filterwarnings("ignore", message="the mean loss changed")

Step = Callable[[], object]
CONTENDERS: dict[str, Callable[[list[Tensor]], Step]] = {
    "AdamW fused": lambda p: torch.optim.AdamW(p, lr=1e-5, fused=True).step,
    "AdamW foreach": lambda p: torch.optim.AdamW(p, lr=1e-5, foreach=True).step,
    "ECDSep reference": lambda p: _ecd(ECDSep(p, lr=1e-5, eta=2.0, nu=1e-5, fused=False)),
    "ECDSep fused, ν = 0": lambda p: _ecd(ECDSep(p, lr=1e-5, eta=2.0, nu=0.0)),
    "ECDSep fused": lambda p: _ecd(ECDSep(p, lr=1e-5, eta=2.0, nu=1e-5)),
    "ECDq1 fused": lambda p: _ecd(ECDq1(p, lr=1e-5, nu=0.1)),
    "auto fused": lambda p: _ecd(auto(p, lr=1e-5)),
}


def _ecd(optimizer: Any) -> Step:
    loss = torch.tensor(2.0, device=optimizer.param_groups[0]["params"][0].device)
    return lambda: optimizer.step(loss=loss)


# ----------------------------------------------------------------------------- shapes


def _of(build: Callable[[], nn.Module]) -> list[torch.Size]:
    with torch.device("meta"):
        return [p.shape for p in build().parameters()]


def bert_shapes() -> list[tuple[int, ...]]:
    """Return the shapes of BERT-base with its pooler and a classifier of two classes."""
    square, line = (768, 768), (768,)
    layer = [square, line] * 4 + [line, line, (3072, 768), (3072,), (768, 3072), line, line, line]
    ends = [(30522, 768), (512, 768), (2, 768), line, line]
    return [*ends, *(layer * 12), square, line, (2, 768), (2,)]


SIZES: dict[str, Callable[[], Iterable[Iterable[int]]]] = {
    "digits": lambda: [(32, 64), (32,), (10, 32), (10,)],
    "100k": lambda: [(256, 378), (256,), (10, 256), (10,)],
    "resnet18": lambda: _of(lambda: ResNet18(200)),
    "wrn": lambda: _of(lambda: WideResNet(10)),
    "bert": bert_shapes,
}


# ------------------------------------------------------------------------- measuring


def seconds(step: Step, rounds: int, device: torch.device) -> float:
    """Return the time of one step, the mean of a round."""
    began = time.perf_counter()
    for _ in range(rounds):
        step()
    if device.type == "cuda":
        torch.cuda.synchronize(device)
    return (time.perf_counter() - began) / rounds


def in_turn(steps: dict[str, Step], turns: int, device: torch.device) -> dict[str, float]:
    """Return the median time of a step of each contender."""
    times: dict[str, list[float]] = {name: [] for name in steps}
    rounds = {}
    for name, step in steps.items():
        seconds(step, 20, device)  # state, scales, plans, threads
        rounds[name] = max(1, math.ceil(0.01 / seconds(step, 2, device)))
    for _ in range(turns):
        for name, step in steps.items():
            times[name].append(seconds(step, rounds[name], device))
    return {name: statistics.median(values) for name, values in times.items()}


def launches(step: Step) -> int:
    """Return how many kernels a step starts on a GPU."""
    with torch.profiler.profile(activities=[torch.profiler.ProfilerActivity.CUDA]) as profile:
        step()
        torch.cuda.synchronize()
    kinds = (torch.autograd.DeviceType.CUDA,)
    return sum(event.device_type in kinds for event in profile.events())


def temporaries(step: Step, device: torch.device) -> float:
    """Return the peak MiB of a step beyond the memory that remains."""
    torch.cuda.reset_peak_memory_stats(device)
    before = torch.cuda.memory_allocated(device)
    step()
    torch.cuda.synchronize(device)
    return float(torch.cuda.max_memory_allocated(device) - before) / 2**20


def measure(size: str, turns: int, device: torch.device) -> dict[str, Any]:
    """Return the row of one size; the first contender is the measure."""
    shapes = [tuple(shape) for shape in SIZES[size]()]
    steps = {}
    for name, build in CONTENDERS.items():
        params = [torch.randn(shape, device=device).requires_grad_() for shape in shapes]
        for p in params:
            p.grad = torch.randn_like(p)
        steps[name] = build(list(params))
    row: dict[str, Any] = {"size": size, "n": sum(map(math.prod, shapes)), "tensors": len(shapes)}
    row["seconds"] = in_turn(steps, turns, device)
    if device.type == "cuda":
        row["launches"] = {name: launches(step) for name, step in steps.items()}
        row["temporaries"] = {name: temporaries(s, device) for name, s in steps.items()}
    return row


# ---------------------------------------------------------------------- training steps


def _digits() -> tuple[nn.Module, Tensor, Tensor]:
    network = nn.Sequential(nn.Linear(64, 32), nn.ReLU(), nn.Linear(32, 10))
    return network, torch.randn(64, 64), torch.randint(10, (64,))


def _resnet20() -> tuple[nn.Module, Tensor, Tensor]:
    return CifarResNet(10, 20), torch.randn(32, 3, 32, 32), torch.randint(10, (32,))


class _TinyBert(nn.Module):
    """The size of BERT-tiny: two layers of 128."""

    def __init__(self) -> None:
        super().__init__()
        self.embedding = nn.Embedding(30522, 128)
        layer = nn.TransformerEncoderLayer(128, 2, 512, dropout=0.0, batch_first=True)
        self.layers = nn.TransformerEncoder(layer, 2)
        self.out = nn.Linear(128, 2)

    def forward(self, words: Tensor) -> Tensor:
        out: Tensor = self.out(self.layers(self.embedding(words))[:, 0])
        return out


def _tiny_bert() -> tuple[nn.Module, Tensor, Tensor]:
    return _TinyBert(), torch.randint(30522, (32, 32)), torch.randint(2, (32,))


TRAINED = {"digits": _digits, "ResNet-20": _resnet20, "tiny BERT": _tiny_bert}
OPTIMIZERS: dict[str, Callable[[Any], Any]] = {
    "AdamW fused": lambda p: torch.optim.AdamW(p, lr=1e-5, fused=True),
    "ECDSep reference": lambda p: ECDSep(p, lr=1e-3, eta=2.0, fused=False),
    "ECDSep fused": lambda p: ECDSep(p, lr=1e-3, eta=2.0),
}


def training_step(name: str, optimizer: str, device: torch.device) -> Step:
    """Return a function that makes forward, backward and step on a fixed batch."""
    torch.manual_seed(0)
    network, x, y = TRAINED[name]()
    network, x, y = network.to(device), x.to(device), y.to(device)
    stepper = OPTIMIZERS[optimizer](network.parameters())
    needs_loss = hasattr(stepper, "add_loss")

    def step() -> None:
        stepper.zero_grad()
        loss = F.cross_entropy(network(x), y)
        loss.backward()
        if needs_loss:
            stepper.step(loss=loss)
        else:
            stepper.step()

    return step


BATCHES = {
    "ECDSep reference": (BatchedECDSep, False),
    "ECDSep fused": (BatchedECDSep, True),
    "ECDq1 reference": (BatchedECDq1, False),
    "ECDq1 fused": (BatchedECDq1, True),
    "no optimizer": (None, True),
}


def batched_step(trials: int, name: str, device: torch.device) -> Step:
    """Return a function that makes forward, backward and step of many digits trials."""
    torch.manual_seed(0)
    shapes = [(64, 32), (1, 32), (32, 10), (1, 10)]
    theta = [0.1 * torch.randn((trials, *shape), device=device) for shape in shapes]
    x = torch.randn(trials, 64, 64, device=device)
    y = torch.randint(10, (trials, 64), device=device)
    kind, fused = BATCHES[name]
    rows = [{"lr": 1e-3, "eta": 2.0, "nu": 1e-3}] * trials
    batch = None if kind is None else kind(theta, list(range(trials)), rows)
    if batch is not None and not fused:
        batch._form_reason = lambda: "for comparison"
    active = torch.ones(trials, dtype=torch.bool, device=device)

    def step() -> None:
        leaves = [t.requires_grad_() for t in theta]
        hidden = torch.relu(torch.baddbmm(leaves[1], x, leaves[0]))
        out = torch.baddbmm(leaves[3], hidden, leaves[2])
        loss = F.cross_entropy(out.flatten(0, 1), y.flatten(), reduction="none")
        losses = loss.view(trials, -1).mean(1)
        grads = torch.autograd.grad(losses.sum(), leaves)
        for t in theta:
            t.requires_grad_(False)
        if batch is not None:
            batch.step(losses.detach(), grads, active)

    return step


# ------------------------------------------------------------------------------ tables


def line(name: str, numbers: dict[str, float]) -> str:
    """Return a row of Markdown: the first in µs, the others as ratios to it."""
    first, *others = numbers.values()
    ratios = " | ".join(f"{value / first:.2f}" for value in others)
    return f"| {name} | {first * 1e6:.0f} | {ratios} |"


def head(what: str, names: Iterable[str]) -> str:
    """Return the head of such a table."""
    first, *others = names
    columns = [what, f"{first} µs", *(f"{name} ÷" for name in others)]
    return f"| {' | '.join(columns)} |\n|{'---|' * len(columns)}"


def main() -> None:
    """Measure and print the tables."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--sizes", nargs="+", default=list(SIZES), choices=list(SIZES))
    parser.add_argument("--threads", type=int, nargs="+", default=[1])
    parser.add_argument("--turns", type=int, default=41)
    parser.add_argument("--train", action="store_true", help="training steps too")
    parser.add_argument("--json", type=Path)
    given = parser.parse_args()
    device = torch.device(given.device)
    found: dict[str, Any] = {name: version(name) for name in ("ecd_tune", "torch")}
    found |= {"python": platform.python_version(), "machine": platform.machine(), "rows": []}
    for threads in given.threads:
        torch.set_num_threads(threads)
        print(f"\n{device}, {threads} threads\n\n{head('shapes, n (tensors)', CONTENDERS)}")
        for size in given.sizes:
            row = {"threads": threads, **measure(size, given.turns, device)}
            found["rows"].append(row)
            print(line(f"{size}, {row['n']} ({row['tensors']})", row["seconds"]), flush=True)
            for key in ("launches", "temporaries"):
                if key in row:
                    print(f"    {key}: {row[key]}")
        if not given.train:
            continue
        for trials in (64, 256):
            steps = {key: batched_step(trials, key, device) for key in BATCHES}
            numbers = in_turn(steps, given.turns, device)
            found["rows"].append({"threads": threads, "trials": trials, "seconds": numbers})
            print(f"\n{head('training step of digits', BATCHES)}")
            print(line(f"{trials} trials", numbers), flush=True)
        print(f"\n{head('training step', OPTIMIZERS)}")
        for name in TRAINED:
            steps = {key: training_step(name, key, device) for key in OPTIMIZERS}
            numbers = in_turn(steps, given.turns, device)
            found["rows"].append({"threads": threads, "training": name, "seconds": numbers})
            print(line(name, numbers), flush=True)
    if given.json:
        given.json.write_text(json.dumps(found, indent=2))


if __name__ == "__main__":
    main()
