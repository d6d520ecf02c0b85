"""``ecd-tune doctor`` reports whether there is a compiled step, and why not."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from typer.testing import CliRunner

from ecd_tune.cli.main import app
from ecd_tune.optim.fused import cpu, gpu
from ecd_tune.store import Store
from ecd_tune.testing.store import make_spec


def told() -> str:
    result = CliRunner().invoke(app, ["doctor"])
    assert result.exit_code == 0
    return result.output


def test_reports_why_there_is_no_compiled_step(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cpu, "_step", None)
    assert "no C compiler was found" in told()


@pytest.mark.skipif(cpu.problem() is not None, reason="there is no compiled step")
def test_reports_the_instruction_set() -> None:
    assert f"compiled, instruction set {cpu.level()}" in told()


def test_reports_why_there_is_no_gpu_step(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(gpu, "_kernels", None)
    assert "on a GPU: no: Triton is not installed" in told()
    monkeypatch.setattr(gpu, "_kernels", object())
    monkeypatch.setattr("torch.cuda.is_available", lambda: False)
    assert "on a GPU: no: no CUDA device" in told()


def test_reports_versions_devices_data_and_disk() -> None:
    text = told()
    for word in ("torch 2", "CPU cores", "GiB free in the working folder", "data: "):
        assert word in text


def test_missing_storage_is_reported_without_error(tmp_path: Path) -> None:
    result = CliRunner().invoke(app, ["doctor", "--storage", f"sqlite:///{tmp_path}/x.db"])
    assert result.exit_code == 0
    assert "storage: sqlite:///" in result.output
    assert "does not exist" in result.output


def test_json_has_the_same_fields_and_the_studies(tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path}/here.db"
    with Store.open(url) as store:
        store.create(make_spec())
    result = CliRunner().invoke(app, ["doctor", "--storage", url, "--json"])
    assert f"studies: {make_spec().name}" in json.loads(result.stdout)["storage"]
    assert "GiB free in the folder of the storage" in json.loads(result.stdout)["disk"]
