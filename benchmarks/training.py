"""The training loop of a study and a plain PyTorch loop: same network, data, batches, optimizer.

    python -m benchmarks.training [--turns 15] [--steps 10] [--cases digits resnet20 bert]
        [--threads 1] [--json FILE]

The plain loop holds its data in memory, draws its batches with ``randperm``, augments images by a
crop and a flip, and calls SGD's fused step. The study's loop is what a trial runs, evaluation
apart. Times are of the processor, medians over turns in which both have a round of steps; read the
ratios. Target: at least 0.95 of the plain loop's speed for ResNet-20 and the tiny BERT.
"""

from __future__ import annotations

import argparse
import json
import platform
import statistics
import time
from collections.abc import Callable, Iterator, Mapping
from importlib.metadata import version
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from torch.nn.functional import cross_entropy, linear

from ecd_tune.objective.training.batches import Batches
from ecd_tune.objective.training.hardware import prepare_network
from ecd_tune.objective.training.stepping import Stepper
from ecd_tune.records import Stage
from ecd_tune.registry import TASKS, load_attribute
from ecd_tune.spec import TrainingSpec

_BERT = {"model": "tiny", "width": 64, "layers": 2, "batch_size": 32, "max_length": 32}
CASES: Mapping[str, tuple[str, dict[str, Any]]] = {
    "digits": ("digits", {}),
    "resnet20": ("cifar10", {"source": "jpeg", "model": "resnet20", "subset": 300}),
    "bert": ("glue_sst2", {**_BERT, "subset": 6400}),
}
Round = Callable[[int], None]
"""Makes so many steps."""


def sgd(parameters: list[Tensor]) -> torch.optim.Optimizer:
    return torch.optim.SGD(parameters, lr=0.01, momentum=0.9, fused=True)


def study_loop(problem: Any, settings: TrainingSpec) -> Round:
    """Return the loop of a trial."""
    prepare_network(problem, settings)
    batches = Batches(problem, settings.accumulate, settings.precision)
    stepper = Stepper(problem, sgd(problem.parameters), batches=batches)

    def steps(count: int) -> None:
        for _ in range(count):
            stepper.step()
        stepper.losses.clear()

    return steps


def rows_of(count: int, batch_size: int) -> Iterator[Tensor]:
    while True:
        yield from torch.randperm(count).split(batch_size)


def plain_loop(
    loss_of: Callable[[Tensor], Tensor], parameters: list[Tensor], rows: Iterator[Tensor]
) -> Round:
    """Return a loop as a user would write it."""
    optimizer = sgd(parameters)

    def steps(count: int) -> None:
        for _ in range(count):
            optimizer.zero_grad()
            loss_of(next(rows)).backward()
            optimizer.step()

    return steps


def plain_digits(problem: Any) -> Round:
    x, y = problem.parts["train"].x, problem.parts["train"].y
    weights = problem.parameters

    def loss_of(rows: Tensor) -> Tensor:
        hidden = linear(x[rows], weights[0], weights[1]).relu()
        return cross_entropy(linear(hidden, weights[2], weights[3]), y[rows])

    return plain_loop(loss_of, weights, rows_of(len(y), problem.batch_size))


def plain_images(problem: Any, layout: torch.memory_format) -> Round:
    part, recipe, network = problem._train, problem._recipe, problem.network
    pixels = torch.from_numpy(part._images[part._rows]).permute(0, 3, 1, 2)
    x = (pixels.float() / 255 - problem._mean) / problem._std
    black = (-problem._mean / problem._std).view(3)
    padded = black.view(1, 3, 1, 1).expand(len(x), 3, 40, 40).clone()
    padded[:, :, 4:36, 4:36] = x
    window = padded.permute(0, 2, 3, 1).contiguous()

    def loss_of(rows: Tensor) -> Tensor:
        count = len(rows)
        top, left = torch.randint(9, (2, count, 1))
        columns = torch.arange(32).expand(count, -1)
        columns = torch.where(torch.rand(count, 1) < 0.5, columns.flip(1), columns) + left
        lines = torch.arange(32) + top
        batch = window[rows[:, None, None], lines[:, :, None], columns[:, None, :]]
        batch = batch.permute(0, 3, 1, 2).contiguous(memory_format=layout)
        return cross_entropy(network(batch), part.labels[rows])

    network.train()
    return plain_loop(loss_of, problem.parameters, rows_of(len(x), recipe.batch_size))


def plain_bert(problem: Any) -> Round:
    part, network = problem._parts["train"], problem.network.train()

    def loss_of(rows: Tensor) -> Tensor:
        ids, types, mask = part.batch(rows, int(part.lengths[rows].max()))
        found = network(input_ids=ids, token_type_ids=types, attention_mask=mask)
        return cross_entropy(found.logits.float(), part.labels[rows])

    return plain_loop(loss_of, problem.parameters, rows_of(len(part), problem._task.batch_size))


def contenders(case: str) -> dict[str, Round]:
    """Return the loops of one case by name."""
    name, options = CASES[case]
    device = {} if case == "digits" else {"device": "cpu"}
    task = load_attribute(TASKS.get(name).factory)(**options, **device)

    def build() -> Any:
        return task.build(1, Stage.SEARCH)

    plain: dict[str, Callable[[Any], Round]] = {"digits": plain_digits, "bert": plain_bert}
    if case in plain:
        return {"plain": plain[case](build()), "study": study_loop(build(), TrainingSpec())}
    return {
        "plain": plain_images(build(), torch.contiguous_format),
        "study": study_loop(build(), TrainingSpec()),
        "plain, channels last": plain_images(build(), torch.channels_last),
        "study, channels last": study_loop(build(), TrainingSpec(memory_format="channels_last")),
    }


def measure(case: str, turns: int, steps: int) -> dict[str, float]:
    """Return CPU milliseconds per step, by contender."""
    rounds = contenders(case)
    found: dict[str, list[float]] = {name: [] for name in rounds}
    for turn in range(turns + 1):
        for name, make in rounds.items():
            began = time.process_time()
            make(steps)
            if turn:  # the first one warms up
                found[name].append(1e3 * (time.process_time() - began) / steps)
    return {name: statistics.median(values) for name, values in found.items()}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--cases", nargs="+", default=list(CASES), choices=list(CASES))
    parser.add_argument("--turns", type=int, default=15)
    parser.add_argument("--steps", type=int, default=10)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--json", type=Path)
    arguments = parser.parse_args()
    torch.set_num_threads(arguments.threads)
    found = {}
    print("| case | plain loop (ms a step) | study's loop | speed ÷ plain |\n|---|---|---|---|")
    for case in arguments.cases:
        found[case] = times = measure(case, arguments.turns, arguments.steps)
        for plain, ours in zip(list(times)[::2], list(times)[1::2], strict=True):
            title = case + plain.removeprefix("plain")
            ratio = times[plain] / times[ours]
            print(f"| {title} | {times[plain]:.2f} | {times[ours]:.2f} | {ratio:.2f} |", flush=True)
    if arguments.json:
        versions = {"torch": version("torch"), "machine": platform.platform()}
        arguments.json.write_text(json.dumps({"ms": found, **versions}, indent=2))


if __name__ == "__main__":
    main()
