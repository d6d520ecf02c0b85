"""Output of `ecd-tune best` for Hydra and LightningCLI, loaded by these tools."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest
import torch

from ecd_tune.optim import ECDSep
from ecd_tune.records import Params, TrialRecord, TrialState
from ecd_tune.report import render_best
from ecd_tune.spec import parse_study

REASON = "needs the extra dev-integrations"
CASES = [
    ("ecdsep", {"lr": 0.05, "eta": 2.0, "conserve_energy": False}, ECDSep, {"eta": 2.0}),
    ("adamw", {"lr": 1e-05, "beta1": 0.8}, torch.optim.AdamW, {"betas": (0.8, 0.999)}),
]


def printed(key: str, params: Params, format: str) -> str:
    spec = parse_study(
        {
            "name": "printed",
            "task": {"name": "digits"},
            "budget": {"trials": 1, "steps": 1},
            "optimizers": {key: {"space": dict(params)}},
        }
    )
    record = TrialRecord(spec.key(key), 0, TrialState.COMPLETE, 0.9, params)
    return render_best(spec, {spec.key(key): [record]}, format)


def check(optimizer, kind, params, more):
    assert type(optimizer) is kind
    group = optimizer.param_groups[0]
    assert group["lr"] == params["lr"]
    assert {name: group[name] for name in more} == more


@pytest.mark.parametrize(("key", "params", "kind", "more"), CASES)
def test_hydra_instantiates_the_settings(key, params, kind, more, tmp_path: Path):
    hydra = pytest.importorskip("hydra", reason=REASON)
    omegaconf = pytest.importorskip("omegaconf", reason=REASON)
    path = tmp_path / "optimizer.yaml"
    path.write_text(printed(key, params, "hydra"))
    make = hydra.utils.instantiate(omegaconf.OmegaConf.load(path)[key])
    check(make([torch.nn.Parameter(torch.ones(2))]), kind, params, more)


@pytest.mark.filterwarnings("ignore::DeprecationWarning")  # Lightning's calls of jsonargparse
@pytest.mark.parametrize(("key", "params", "kind", "more"), CASES)
def test_lightning_cli_reads_the_settings(key, params, kind, more, tmp_path: Path, monkeypatch):
    pytest.importorskip("jsonargparse", reason=REASON)
    lightning = pytest.importorskip("lightning", reason=REASON)
    from lightning.pytorch.cli import LightningCLI

    class Net(lightning.LightningModule):
        def __init__(self) -> None:
            super().__init__()
            self.layer = torch.nn.Linear(2, 1)

    path = tmp_path / "config.yaml"
    path.write_text(printed(key, params, "lightning"))
    args = ["--config", str(path), "--trainer.logger=false", "--trainer.accelerator=cpu"]
    monkeypatch.setattr(sys, "argv", ["train.py", *args])
    cli = LightningCLI(Net, run=False, save_config_callback=None, seed_everything_default=False)
    optimizer = cli.model.configure_optimizers()
    check(optimizer, kind, params, more)
