"""Check and time the fused step on a GPU: correctness, then one step compared with AdamW.

Usage: python -m benchmarks.gpu [--json FILE] [--no-tests] [--no-sweep]

Needs a CUDA device, torch, triton, numpy, scipy and pytest; takes about three minutes. All that is
found goes to FILE, or to gpu.json in the folder that the variable OUT names. A part that fails
does not stop the others; the exit status is 1 then.
"""

from __future__ import annotations

import argparse
import json
import math
import os
import platform
import statistics
import subprocess
import sys
import time
import traceback
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch

BEGAN = time.monotonic()
ROUNDS = 7
SECONDS = 0.12
"""Of one timing of one contender."""
TESTS_LIMIT = 200.0
LIMIT = 400.0
"""Seconds after which no further part begins."""


def said(text: str) -> None:
    print(f"[{time.monotonic() - BEGAN:6.1f} s] {text}", flush=True)


# ------------------------------------------------------------------------ shapes


def _normed(*convolutions: tuple[int, ...]) -> list[tuple[int, ...]]:
    return [shape for c in convolutions for shape in (c, (c[0],), (c[0],))]


def resnet_18() -> list[tuple[int, ...]]:
    """Return the shapes of a ResNet-18 for 32 x 32 images whose shortcuts have no parameters."""
    convolutions = [(64, 3, 3, 3)]
    before = 64
    for width in (64, 128, 256, 512):
        convolutions += [(width, before, 3, 3), *[(width, width, 3, 3)] * 3]
        before = width
    return [*_normed(*convolutions), (10, 512), (10,)]


def wide_resnet() -> list[tuple[int, ...]]:
    """Return the shapes of a WRN-28-10."""
    shapes: list[tuple[int, ...]] = [(16, 3, 3, 3)]
    before = 16
    for width in (160, 320, 640):
        for block in range(4):
            shapes += [(before,), (before,), (width, before, 3, 3)]
            shapes += [(width,), (width,), (width, width, 3, 3)]
            if block == 0:
                shapes.append((width, before, 1, 1))
            before = width
    return [*shapes, (640,), (640,), (10, 640), (10,)]


def bert() -> list[tuple[int, ...]]:
    """Return the shapes of BERT-base with a classifier of two classes."""
    d = 768
    shapes: list[tuple[int, ...]] = [(30522, d), (512, d), (2, d), (d,), (d,)]
    for _ in range(12):
        shapes += [(d, d), (d,)] * 4 + [(d,), (d,)]
        shapes += [(4 * d, d), (4 * d,), (d, 4 * d), (d,), (d,), (d,)]
    return [*shapes, (d, d), (d,), (2, d), (2,)]


SHAPES: dict[str, list[tuple[int, ...]]] = {
    "digits MLP": [(32, 64), (32,), (10, 32), (10,)],
    "100 K MLP": [(134, 734), (134,), (10, 134), (10,)],
    "ResNet-18": resnet_18(),
    "WRN-28-10": wide_resnet(),
    "BERT-base": bert(),
}


# -------------------------------------------------------------------- contenders


def tensors(name: str, dtype: torch.dtype = torch.float32) -> list[torch.nn.Parameter]:
    """Return parameters with gradients."""
    torch.manual_seed(0)
    params = [
        torch.nn.Parameter(torch.randn(s, device="cuda").mul_(0.05).to(dtype)) for s in SHAPES[name]
    ]
    for p in params:
        p.grad = torch.randn_like(p).mul_(0.01)
    return params


def kernels(params: list[torch.nn.Parameter], kind: str, nu: float, **options: Any) -> Any:
    """Return a fused step that has begun, with the momentum somewhere on the sphere."""
    from ecd_tune.optim.fused.triton_step import TritonStep
    from ecd_tune.optim.params.ranks import Ranks

    unit = kind == "ecdq1"
    sizes = [p.numel() for p in params]
    begins, total = Ranks(None, None).lay_out(sizes, True)
    momenta = [torch.randn(p.shape, device="cuda").div_(math.sqrt(sum(sizes))) for p in params]
    eta = 100.0 if unit else 2.0
    constants = {
        "eta": eta, "nu": nu, "s": 0.0 if unit else 1.0, "conserve": 1.0, "eps2": 1e-40,
        "log_eps1": math.log(1e-10), "log_eps2": math.log(1e-40), "exact": 1.0,
    }  # fmt: skip
    log_energy = eta * math.log(2.3) + 1.0
    double = {"dtype": torch.float64, "device": "cuda"}
    floats = torch.tensor([0.0] if unit else [0.0, log_energy, 0.0], **double)
    ints = torch.zeros(4 if unit else 7, dtype=torch.int64, device="cuda")
    ints[1] = -1
    flags = torch.tensor([True, False] if unit else [True, False, False], device="cuda")
    values = {"lr": [1e-3] * len(params), "sync": False, **options}
    return TritonStep(
        [p.detach() for p in params], momenta, constants, unit=unit, chaotic=nu > 0,
        floats=floats, ints=ints, flags=flags, begins=begins, total=total, seeds=[7], step=1,
        **values,
    )  # fmt: skip


def fused(
    params: list[torch.nn.Parameter], kind: str, nu: float, **options: Any
) -> Callable[[], None]:
    """Return one step as an optimizer makes it, including the lookup of gradients."""
    made = kernels(params, kind, nu, **options)
    loss = torch.tensor(2.3, dtype=torch.float64, device="cuda")

    def step() -> None:
        made.step(loss, [p.grad for p in params])

    return step


def kept_rows() -> torch.Tensor:
    """Return where steps keep their numbers for diagnostics."""
    return torch.zeros((256, 17), dtype=torch.float64, device="cuda")


def reference(params: list[torch.nn.Parameter]) -> Callable[[], None]:
    """Return a step of the reference form."""
    from ecd_tune.optim import ECDSep

    made = ECDSep(params, lr=1e-3, eta=2.0, nu=1e-4, seed=7, fused=False)
    loss = torch.tensor(2.3, dtype=torch.float64, device="cuda")
    return lambda: made.step(loss=loss)


def optimizer(params: list[torch.nn.Parameter]) -> Callable[[], None]:
    """Return a step of ECDSep as a user makes it, in its fused form."""
    from ecd_tune.optim import ECDSep

    made = ECDSep(params, lr=1e-3, eta=2.0, nu=1e-4, seed=7, fused=True)
    loss = torch.tensor(2.3, dtype=torch.float64, device="cuda")
    return lambda: made.step(loss=loss)


def adamw(params: list[torch.nn.Parameter], **options: Any) -> Callable[[], None]:
    return torch.optim.AdamW(params, lr=1e-4, **options).step


CONTENDERS: dict[str, Callable[[list[torch.nn.Parameter]], Callable[[], None]]] = {
    "AdamW fused": lambda p: adamw(p, fused=True),
    "AdamW foreach": lambda p: adamw(p, foreach=True),
    "ECDSep reference": reference,
    "ECDSep fused, nu = 0": lambda p: fused(p, "ecdsep", 0.0),
    "ECDSep fused": lambda p: fused(p, "ecdsep", 1e-4),
    "ECDSep(fused=True)": optimizer,
    "ECDSep fused, tape": lambda p: fused(p, "ecdsep", 1e-4, kept=kept_rows()),
    "ECDSep fused, wd": lambda p: fused(p, "ecdsep", 1e-4, weight_decay=[1e-4] * len(p)),
    "ECDSep fused, sync": lambda p: fused(p, "ecdsep", 1e-4, sync=True),
    "ECDq1 fused": lambda p: fused(p, "ecdq1", 0.1),
}


# ----------------------------------------------------------------------- timings


def seconds_of(step: Callable[[], None], count: int) -> float:
    torch.cuda.synchronize()
    began = time.perf_counter()
    for _ in range(count):
        step()
    torch.cuda.synchronize()
    return (time.perf_counter() - began) / count


def counts_of(steps: dict[str, Callable[[], None]]) -> dict[str, int]:
    """Warm up, and return how many steps of each fill one timing."""
    counts = {}
    for name, step in steps.items():
        seconds_of(step, 3)
        once = seconds_of(step, 5)
        counts[name] = max(3, min(2000, int(SECONDS / once)))
    return counts


def medians(steps: dict[str, Callable[[], None]], rounds: int = ROUNDS) -> dict[str, float]:
    """Time alternately, and return microseconds per step."""
    counts = counts_of(steps)
    times: dict[str, list[float]] = {name: [] for name in steps}
    for _ in range(rounds):
        for name, step in steps.items():
            times[name].append(seconds_of(step, counts[name]) * 1e6)
    return {name: statistics.median(column) for name, column in times.items()}


def launches(step: Callable[[], None], count: int = 3) -> dict[str, Any]:
    """Return kernels per step, and microseconds of each kind of kernel."""
    activities = [torch.profiler.ProfilerActivity.CUDA, torch.profiler.ProfilerActivity.CPU]
    torch.cuda.synchronize()
    with torch.profiler.profile(activities=activities) as profile:
        for _ in range(count):
            step()
        torch.cuda.synchronize()
    events = [e for e in profile.events() if e.device_type.name == "CUDA"]
    parts: dict[str, float] = {}
    for e in events:
        parts[e.name[:40]] = parts.get(e.name[:40], 0.0) + e.time_range.elapsed_us() / count
    top = dict(sorted(parts.items(), key=lambda item: -item[1])[:3])
    return {"launches": len(events) / count, "kernels_us": top}


def temporaries(step: Callable[[], None]) -> float:
    """Return MiB that a step allocates for a while."""
    torch.cuda.synchronize()
    torch.cuda.reset_peak_memory_stats()
    before = torch.cuda.memory_allocated()
    step()
    torch.cuda.synchronize()
    return (torch.cuda.max_memory_allocated() - before) / 2**20


def graphed(step: Callable[[], None]) -> Callable[[], None]:
    """Return the replay of a captured step."""
    stream = torch.cuda.Stream()
    stream.wait_stream(torch.cuda.current_stream())
    with torch.cuda.stream(stream):
        for _ in range(3):
            step()
    torch.cuda.current_stream().wait_stream(stream)
    torch.cuda.synchronize()
    graph = torch.cuda.CUDAGraph()
    with torch.cuda.graph(graph):
        step()

    def replay(_kept: Callable[[], None] = step) -> None:  # what the graph reads must live on
        graph.replay()

    return replay


# ------------------------------------------------------------------------- parts


def part_tests(found: dict[str, Any]) -> None:
    """Run tests/gpu, compiled, in several processes: most of their time is compilation."""
    command = [sys.executable, "-m", "pytest", "-q", "-c", "tests/gpu/pytest.ini", "tests/gpu"]
    command += ["--durations", "5", "--tb", "short"]
    if subprocess.run([sys.executable, "-c", "import xdist"], check=False).returncode == 0:
        command += ["-n", str(min(12, os.cpu_count() or 1))]
    environment = {k: v for k, v in os.environ.items() if k != "TRITON_INTERPRET"}
    paths = [str(Path.cwd()), os.environ.get("PYTHONPATH", "")]
    environment["PYTHONPATH"] = os.pathsep.join(filter(None, paths))
    with (
        Path(os.devnull).open("rb") as nothing,
        subprocess.Popen(
            command,
            env=environment,
            stdin=nothing,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        ) as running,
    ):
        try:
            output, _ = running.communicate(timeout=TESTS_LIMIT)
        except subprocess.TimeoutExpired:
            running.terminate()
            output, _ = running.communicate()
    found["tests"] = {"status": running.returncode, "output": output[-20000:]}
    print(output[-4000:], flush=True)
    if running.returncode:
        raise RuntimeError(f"tests/gpu: exit status {running.returncode}")


def part_steps(found: dict[str, Any]) -> None:
    """Time a step at every size."""
    found["steps"] = {}
    for name, shapes in SHAPES.items():
        n = sum(math.prod(s) for s in shapes)
        steps: dict[str, Callable[[], None]] = {}
        for contender, make in CONTENDERS.items():
            try:
                steps[contender] = make(tensors(name))
                seconds_of(steps[contender], 2)
            except Exception:
                said(f"{name}: {contender} failed")
                traceback.print_exc()
                steps.pop(contender, None)
                found.setdefault("failures", []).append(f"{name}: {contender}")
        us = medians(steps)
        row = {k: {"us": v, "ratio": v / us["AdamW fused"]} for k, v in us.items()}
        found["steps"][name] = {"n": n, "tensors": len(shapes), "contenders": row}
        said(f"{name}: {n:,} numbers, {len(shapes)} tensors")
        for contender, cell in row.items():
            print(f"    {contender:24s} {cell['us']:9.1f} us   {cell['ratio']:6.2f}", flush=True)
        for contender in (
            "AdamW fused", "ECDSep reference", "ECDSep fused", "ECDSep(fused=True)", "ECDq1 fused"
        ):  # fmt: skip
            if contender in steps:
                cell = {**launches(steps[contender]), "MiB": temporaries(steps[contender])}
                row[contender] |= cell
                shown = {k: round(v, 1) for k, v in cell["kernels_us"].items()}
                print(
                    f"    {contender:24s} {cell['launches']:.1f} launches, "
                    f"{cell['MiB']:.1f} MiB, {shown}",
                    flush=True,
                )
        del steps
        torch.cuda.empty_cache()


def part_graphs(found: dict[str, Any]) -> None:
    """Time replays of captured steps."""
    found["graphs"] = {}
    for name in SHAPES:
        steps = {
            "AdamW fused": graphed(adamw(tensors(name), fused=True, capturable=True)),
            "ECDSep fused": graphed(fused(tensors(name), "ecdsep", 1e-4)),
            "ECDSep fused, nu = 0": graphed(fused(tensors(name), "ecdsep", 0.0)),
        }
        us = medians(steps, 5)
        found["graphs"][name] = us
        said(f"graph, {name}: " + ", ".join(f"{k} {v:.1f} us" for k, v in us.items()))


def part_dtypes(found: dict[str, Any]) -> None:
    """Time steps of bfloat16 parameters."""
    found["bfloat16"] = {}
    for name in ("ResNet-18", "BERT-base"):
        steps = {
            "AdamW fused": adamw(tensors(name, torch.bfloat16), fused=True),
            "ECDSep fused": fused(tensors(name, torch.bfloat16), "ecdsep", 1e-4),
        }
        us = medians(steps, 5)
        found["bfloat16"][name] = us
        said(f"bfloat16, {name}: " + ", ".join(f"{k} {v:.1f} us" for k, v in us.items()))


def part_host(found: dict[str, Any]) -> None:
    """Time the host's share: a small step that is queued and not waited for."""
    found["host_us"] = {}
    for name in ("digits MLP", "BERT-base"):
        params = tensors(name)
        steps = {
            "AdamW fused": adamw(tensors(name), fused=True),
            "ECDSep fused": fused(params, "ecdsep", 1e-4),
        }
        for contender, step in steps.items():
            seconds_of(step, 5)
            times = []
            for _ in range(30):
                torch.cuda.synchronize()
                began = time.perf_counter()
                step()
                times.append((time.perf_counter() - began) * 1e6)
            found["host_us"][f"{name}, {contender}"] = statistics.median(times)
    said(f"host: { {k: round(v, 1) for k, v in found['host_us'].items()} }")


def part_batches(found: dict[str, Any]) -> None:
    """Time one step of many digits models."""
    from ecd_tune.optim.fused.triton_step import TritonStep
    from ecd_tune.optim.params.ranks import Ranks

    found["batches"] = {}
    shapes = SHAPES["digits MLP"]
    begins, total = Ranks(None, None).lay_out([math.prod(s) for s in shapes], True)
    for trials in (64, 512, 4096):
        theta = [torch.randn((trials, *s), device="cuda").mul_(0.05) for s in shapes]
        grads = [torch.randn_like(t).mul_(0.01) for t in theta]
        momenta = [torch.randn_like(t) for t in theta]
        ones = torch.ones(trials, dtype=torch.float64)
        ints = torch.zeros((trials, 7), dtype=torch.int64, device="cuda")
        floats = torch.zeros((trials, 3), dtype=torch.float64, device="cuda")
        floats[:, 1] = 2.0 * math.log(2.3) + 1.0
        flags = torch.zeros((trials, 3), dtype=torch.bool, device="cuda")
        flags[:, 0] = True
        made = TritonStep(
            theta, momenta,
            {"eta": 2 * ones, "nu": 1e-3 * ones, "s": ones, "conserve": ones,
             "log_eps1": -23.0 * ones, "log_eps2": -92.0 * ones},
            unit=False, sync=False, chaotic=True, floats=floats, ints=ints, flags=flags,
            begins=begins, total=total, seeds=list(range(trials)), step=1,
            lr=[1e-3 * ones] * len(shapes),
        )  # fmt: skip
        loss = torch.full((trials,), 2.3, dtype=torch.float64, device="cuda")
        step = graphed(lambda m=made, f=loss, g=grads: m.step(f, g))
        plain = torch.optim.AdamW(
            [torch.nn.Parameter(t.clone()) for t in theta], lr=1e-4, fused=True, capturable=True
        )
        for p, g in zip(plain.param_groups[0]["params"], grads, strict=True):
            p.grad = g
        us = medians({"ECDSep fused": step, "AdamW fused": graphed(plain.step)}, 5)
        found["batches"][trials] = us
        said(
            f"{trials} digits models, graph: " + ", ".join(f"{k} {v:.1f} us" for k, v in us.items())
        )


def part_sweep(found: dict[str, Any]) -> None:
    """Time other chunks, warps and numbers of programs."""
    found["sweep"] = {}
    settings: list[dict[str, Any]] = [{}]
    settings += [{"chunk": c, "warps": w} for c, w in ((1024, 4), (1024, 2), (2048, 8), (4096, 8))]
    settings += [{"rows": r} for r in (512, 2048, 4096)]
    settings += [{"programs": (1024, p)} for p in (1056, 2112, 8192, 1 << 20)]
    settings += [{"programs": (528, 4096)}, {"rows": 528, "programs": (528, 528)}]
    for name in ("ResNet-18", "WRN-28-10", "BERT-base"):
        params = tensors(name)
        steps: dict[str, Callable[[], None]] = {"AdamW fused": adamw(tensors(name), fused=True)}
        for options in settings:
            steps[str(options)] = graphed(fused(params, "ecdsep", 1e-4, **options))
        us = medians(steps, 3)
        found["sweep"][name] = us
        said(f"sweep, {name} (replays; AdamW not)")
        for key, value in us.items():
            print(f"    {key:44s} {value:9.1f} us", flush=True)
        del steps, params
        torch.cuda.empty_cache()


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--json", type=Path)
    parser.add_argument("--no-tests", action="store_true")
    parser.add_argument("--no-sweep", action="store_true")
    given = parser.parse_args()
    if not torch.cuda.is_available():
        print("this needs a CUDA device; the kernels are tested interpreted by `make test`")
        return 2
    import triton

    out = os.environ.get("OUT")
    path = given.json or (Path(out) / "gpu.json" if out else None)
    found: dict[str, Any] = {
        "device": torch.cuda.get_device_name(),
        "torch": torch.__version__,
        "triton": triton.__version__,
        "python": platform.python_version(),
        "failures": [],
    }
    said(str(found))
    parts = [part_steps, part_graphs, part_host, part_dtypes, part_batches]
    if not given.no_tests:
        parts.insert(0, part_tests)
    if not given.no_sweep:
        parts.append(part_sweep)
    for part in parts:
        if time.monotonic() - BEGAN > LIMIT:
            found["failures"].append(f"{part.__name__} (no time left)")
            continue
        said(part.__name__)
        try:
            part(found)
        except Exception:
            traceback.print_exc()
            found["failures"].append(part.__name__)
        if path is not None:
            path.write_text(json.dumps(found, indent=1))
    said(f"failed: {found['failures']}" if found["failures"] else "all parts done")
    return 1 if found["failures"] else 0


if __name__ == "__main__":
    sys.exit(main())
