"""``ecd-tune doctor`` tells whether there is a compiled step, and why not."""

from __future__ import annotations

import pytest
from typer.testing import CliRunner

from ecd_tune.cli.main import app
from ecd_tune.optim.fused import cpu, gpu


def told() -> str:
    result = CliRunner().invoke(app, ["doctor"])
    assert result.exit_code == 0
    return result.output


def test_it_tells_why_there_is_no_compiled_step(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cpu, "_step", None)
    assert "no C compiler was found" in told()


@pytest.mark.skipif(cpu.problem() is not None, reason="there is no compiled step")
def test_it_tells_the_instruction_set() -> None:
    assert f"compiled, instruction set {cpu.level()}" in told()


def test_it_tells_why_there_is_no_step_on_a_gpu(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(gpu, "_kernels", None)
    assert "on a GPU: no: Triton is not installed" in told()
    monkeypatch.setattr(gpu, "_kernels", object())
    monkeypatch.setattr("torch.cuda.is_available", lambda: False)
    assert "on a GPU: no: there is no CUDA device" in told()
