"""Every Python block of docs/training-loops.md is run, each section on a fresh model."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest
import torch
import torch.distributed as dist

from tests.integrations.test_transformers import make_bert, make_sentences

PAGE = Path(__file__).parents[2] / "docs" / "training-loops.md"
BLOCK = re.compile(r"```python\n(.*?)```", re.DOTALL)
SHARED = "Your own loop"
OPENING = "from ecd_tune.optim import ECDSep\n"
pytestmark = [
    # What the libraries warn of is the matter of their own tests, and what ours does is not.
    pytest.mark.filterwarnings("ignore"),
    pytest.mark.filterwarnings("error:the mean loss changed"),
    pytest.mark.filterwarnings("error:torch.distributed runs with several"),
]


def sections() -> dict[str, list[str]]:
    """Return the blocks under each heading; those below "Your own loop" belong together."""
    found: dict[str, list[str]] = {}
    above = ""
    for part in re.split(r"^(?=##+ )", PAGE.read_text(), flags=re.MULTILINE):
        level, _, title = part.splitlines()[0].partition(" ")
        above = title if level == "##" else above
        blocks = BLOCK.findall(part)
        if blocks:
            found.setdefault(SHARED if above == SHARED else title, []).extend(blocks)
    return found


@pytest.fixture
def names(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> dict[str, Any]:
    """What the page takes for granted: a model, its data and its loss."""
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    monkeypatch.chdir(tmp_path)
    torch.manual_seed(0)
    model = torch.nn.Sequential(torch.nn.Linear(3, 8), torch.nn.Tanh(), torch.nn.Linear(8, 1))
    x = torch.randn(32, 3)
    pairs = torch.utils.data.TensorDataset(x, x.sum(1, keepdim=True))
    return {
        "torch": torch,
        "device": "cpu",
        "model": model,
        "criterion": torch.nn.MSELoss(),
        "loader": torch.utils.data.DataLoader(pairs, batch_size=4),
        "folder": str(tmp_path / "kept"),
        "network": make_bert(),
        "data": make_sentences(8),
    }


@pytest.fixture
def one_process() -> Any:
    """A process group of one."""
    dist.init_process_group("gloo", store=dist.HashStore(), rank=0, world_size=1)
    yield
    dist.destroy_process_group()


TITLES = list(sections())


def test_the_page_has_its_sections():
    assert {SHARED, "Lightning", "Fabric", "Accelerate", "peft", "Checkpoints"} <= set(TITLES)


@pytest.mark.parametrize("title", TITLES)
def test_a_section_runs(title: str, names: dict[str, Any], one_process: None):
    for library in ("lightning", "accelerate", "transformers", "peft"):
        pytest.importorskip(library, reason="needs the extra dev-integrations")
    model, network = names["model"], names["network"]
    before = [p.detach().clone() for m in (model, network) for p in m.parameters()]
    source = "\n".join([OPENING, "import lightning\n", *sections()[title]])
    exec(compile(source, f"{PAGE.name}: {title}", "exec"), names)
    if title == "Lightning":
        names["trainer"].fit(names["Net"](), names["loader"])
    if "in loader" in source or "train()" in source:
        after = [p.detach() for m in (model, network) for p in m.parameters()]
        assert not all(torch.equal(a, b) for a, b in zip(after, before, strict=True))
