"""Names without torch, and the streams of random numbers."""

import subprocess
import sys

import torch

from ecd_tune.registry import TASKS
from ecd_tune.tasks.seeds import stream


def test_every_task_is_registered():
    assert {"ackley", "digits", "zakharov"} <= set(TASKS.names())


def test_definitions_import_no_torch():
    code = "import sys, ecd_tune.tasks.definitions; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


def test_public_names_exist():
    import ecd_tune.tasks

    for name in ecd_tune.tasks.__all__:
        assert getattr(ecd_tune.tasks, name) is not None


def draw(seed, *purpose):
    return torch.rand(4, generator=stream(seed, *purpose)).tolist()


def test_streams_differ_by_seed_and_purpose():
    draws = [
        draw(0, "init"),
        draw(1, "init"),
        draw(0, "order", 0),
        draw(0, "order", 1),
        draw(0, "order"),
    ]
    assert len({tuple(d) for d in draws}) == len(draws)
    assert draw(1, "order", 3) == draw(1, "order", 3)
