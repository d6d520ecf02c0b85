"""The smoke form of each shipped study that has one, run as a user runs it."""

from __future__ import annotations

import pytest

from ecd_tune.spec import load_study, shipped_studies
from ecd_tune.spec.files import read_table
from ecd_tune.tasks.data import data_root

SMOKE = [name for name, path in shipped_studies().items() if "smoke" in read_table(path)]
# One of each family with one worker and one or two of its optimizers; whole, and with the others,
# which differ in data and ranges, in the slow tests.
QUICK = {"ogbn-arxiv-wide": "ecdsep,adam", "rte-paper": "ecdsep", "cifar100-eta": "eta-2.5"}
RUNS = [
    *(pytest.param(name, ["--optimizers", few], id=f"{name}-few") for name, few in QUICK.items()),
    *(pytest.param(name, ["--workers", 2], id=name, marks=pytest.mark.slow) for name in SMOKE),
]


def test_smoke_forms_exist() -> None:
    assert QUICK.keys() | {"cora"} <= set(SMOKE)


@pytest.mark.parametrize(("name", "options"), RUNS)
@pytest.mark.skipif(data_root() is None, reason="no data: set ECD_TUNE_DATA")
def test_smoke_run_ends_with_a_report(name, options, ecd_tune, monkeypatch, tmp_path) -> None:
    monkeypatch.setenv("ECD_TUNE_DATA", str(data_root()))
    result = ecd_tune("run", name, "--smoke", *options)
    assert result.returncode == 0, result.stdout + result.stderr
    spec = load_study(shipped_studies()[name], smoke=True)
    report = (tmp_path / "reports" / f"{name}-smoke" / "report.md").read_text(encoding="utf-8")
    assert report.splitlines()[2].startswith("This is a smoke run")
    assert spec.smoke in report
    assert f"ecd-tune run {name} --smoke" in report
    assert ("(oracle)" in report) == (spec.protocol == "paper")
    one = ["--optimizer", QUICK[name]] if "--optimizers" in options else []
    again = ecd_tune("best", name, "--smoke", "--format", "json", *one)
    assert again.returncode == 0, again.stderr
