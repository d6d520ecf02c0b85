"""The GPU kernels, interpreted, equal the reference: the tests of tests/gpu."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch

from ecd_tune.optim.fused import gpu

ROOT = Path(__file__).parents[2]


@pytest.mark.timeout(600)  # twenty seconds of one core, which others may want too
@pytest.mark.skipif(gpu.problem() is not None, reason=str(gpu.problem()))
@pytest.mark.parametrize("which", ["not slow", pytest.param("slow", marks=pytest.mark.slow)])
def test_interpreted_kernels(which):
    # In a process of its own: Triton reads the variable when it is imported, and then compiles
    # nothing any more.
    found = subprocess.run(
        [
            sys.executable,
            "-m",
            "pytest",
            "-q",
            "-c",
            "tests/gpu/pytest.ini",
            "-m",
            which,
            "tests/gpu",
        ],
        cwd=ROOT,
        env={**os.environ, "TRITON_INTERPRET": "1", "CUDA_VISIBLE_DEVICES": ""},
        capture_output=True,
        text=True,
        check=False,
    )
    assert found.returncode == 0, found.stdout[-5000:] + found.stderr[-2000:]
    assert " passed" in found.stdout


def test_missing_triton_is_reported(monkeypatch):
    monkeypatch.setattr(gpu, "_kernels", None)
    assert "Triton is not installed" in gpu.problem()


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a GPU here")
def test_gpu_tests_are_skipped_without_a_gpu():
    found = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-c", "tests/gpu/pytest.ini", "tests/gpu"],
        cwd=ROOT,
        env={k: v for k, v in os.environ.items() if k != "TRITON_INTERPRET"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert found.returncode == 5  # nothing was collected
