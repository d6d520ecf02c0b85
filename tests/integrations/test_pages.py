"""Blocks of the user pages are run: commands by a shell, Python in this process.

The blocks of a page follow each other in one folder and share their names. On
docs/training-loops.md each section has a fresh model.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest
import torch
import torch.distributed as dist

from tests.acceptance.commands import SHORT
from tests.integrations.test_transformers import make_bert, make_sentences
from tests.pages import PAGES, ROOT, Block, read_blocks
from tests.preloaded import preloaded_python

LOOPS = ROOT / "docs" / "training-loops.md"
WHOLE = [page for page in PAGES if page != LOOPS]
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
    for part in re.split(r"^(?=##+ )", LOOPS.read_text(), flags=re.MULTILINE):
        level, _, title = part.splitlines()[0].partition(" ")
        above = title if level == "##" else above
        blocks = [b.text for b in read_blocks(part) if b.language == "python"]
        if blocks:
            found.setdefault(SHARED if above == SHARED else title, []).extend(blocks)
    return found


@pytest.fixture
def names(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> dict[str, Any]:
    """What the pages take for granted: a model, its data and its loss."""
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


@pytest.fixture
def shell(tmp_path: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """Surroundings of commands: our program, and a Python whose searches are short; both forks."""
    programs = tmp_path_factory.mktemp("programs")
    (programs / "short.py").write_text(SHORT)
    for name, call in {"ecd-tune": "-m ecd_tune", "python": programs / "short.py"}.items():
        (programs / name).write_text(f'#!/bin/sh\nexec {preloaded_python()} {call} "$@"\n')
        (programs / name).chmod(0o755)
    shutil.copytree(ROOT / "examples", tmp_path, dirs_exist_ok=True)
    shutil.copy(ROOT / "examples" / "loop.py", tmp_path / "my_project.py")
    kept = {k: v for k, v in os.environ.items() if not k.startswith("ECD_TUNE_")}
    return kept | {
        "PATH": f"{programs}:{os.environ['PATH']}",
        "PYTHONPATH": str(ROOT),
        "ECD_TUNE_CHECKPOINTS": "none",
    }


def run_shell(before: str, block: Block, surroundings: dict[str, str]) -> None:
    done = subprocess.run(
        ["bash", "-euo", "pipefail", "-c", before + block.text],
        env=surroundings,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, f"{block.text}\n{done.stdout}\n{done.stderr}"


@pytest.mark.timeout(3600)  # a minute of processor time, on a machine that may be busy
@pytest.mark.parametrize("page", WHOLE, ids=lambda page: str(page.relative_to(ROOT)))
def test_page_runs(
    page: Path, names: dict[str, Any], shell: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    for variable in [name for name in os.environ if name.startswith("ECD_TUNE_")]:
        monkeypatch.delenv(variable)
    exports = ""  # hold in the blocks that follow, as in a reader's shell
    for block in read_blocks(page.read_text(encoding="utf-8")):
        if block.reason:
            continue
        if block.title:
            Path(block.title).write_text(block.text)
        elif block.language == "sh":
            run_shell(exports, block, shell)
            exports += "".join(re.findall(r"^export .*\n", block.text, re.MULTILINE))
        elif block.language == "python":
            exec(compile(block.text, str(page.relative_to(ROOT)), "exec"), names)


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_every_block_is_run_or_excluded(page: Path) -> None:
    for block in read_blocks(page.read_text(encoding="utf-8")):
        if block.language not in ("sh", "python"):
            assert not re.search(r"^\s*(ecd-tune|python|pip|make) ", block.text, re.MULTILINE)
        assert block.title == Path(block.title).name


def test_the_readme_is_short() -> None:
    assert len((ROOT / "README.md").read_text(encoding="utf-8").splitlines()) <= 120


TITLES = list(sections())


def test_the_page_of_loops_has_its_sections() -> None:
    assert {SHARED, "Lightning", "Fabric", "Accelerate", "peft", "Checkpoints"} <= set(TITLES)


@pytest.mark.parametrize("title", TITLES)
def test_training_loops_section_runs(title: str, names: dict[str, Any], one_process: None) -> None:
    for library in ("lightning", "accelerate", "transformers", "peft"):
        pytest.importorskip(library, reason="needs the extra dev-integrations")
    model, network = names["model"], names["network"]
    before = [p.detach().clone() for m in (model, network) for p in m.parameters()]
    source = "\n".join([OPENING, "import lightning\n", *sections()[title]])
    exec(compile(source, f"{LOOPS.name}: {title}", "exec"), names)
    if title == "Lightning":
        names["trainer"].fit(names["Net"](), names["loader"])
    if "in loader" in source or "train()" in source:
        after = [p.detach() for m in (model, network) for p in m.parameters()]
        assert not all(torch.equal(a, b) for a, b in zip(after, before, strict=True))
