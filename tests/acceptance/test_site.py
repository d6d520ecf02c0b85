"""The site of the documentation: built as by ``make site``, and complete without network."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from ecd_tune.cli.main import app
from tests.pages import PAGES, ROOT

FETCHED = re.compile(
    r"<(?:script|img|iframe|source|link)\b[^>]*?\b(?:src|href)=\"?((?:https?:)?//[^\"\s>]+)"
    r"|@import\s+[\"(]*(?:url\()?[\"']?((?:https?:)?//[^\"')]+)"
)


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    pytest.importorskip("mkdocs", reason="needs the extra docs")
    folder = tmp_path_factory.mktemp("site")
    done = subprocess.run(
        [sys.executable, "-m", "mkdocs", "build", "--quiet", "--site-dir", str(folder)],
        cwd=ROOT,
        env={**os.environ, "NO_MKDOCS_2_WARNING": "1", "http_proxy": "http://127.0.0.1:9"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return folder


def test_every_user_page_is_built(site: Path) -> None:
    for page in PAGES:
        made = page.relative_to(ROOT).with_suffix(".html")
        if made.stem == "README":
            made = made.with_name("index.html")
        assert (site / made).is_file(), made


def test_the_page_of_commands_has_every_command(site: Path) -> None:
    text = (site / "docs/commands.html").read_text()
    for command in app.registered_commands:
        assert f">ecd-tune {command.name}<" in text, command.name
    assert "...</li>" not in text


@pytest.mark.parametrize(
    ("page", "names"),
    [
        ("tune", ["ecd_tune.tuning.tune", "ecd_tune.tasks.own.run.Run.report"]),
        ("optimizers", ["ecd_tune.optim.ECDSep", "ecd_tune.optim.auto"]),
        ("integrations", ["ecd_tune.integrations.LossCallback"]),
        ("theory", ["ecd_tune.theory.effective_eta"]),
        ("extend", ["ecd_tune.records.Outcome", "ecd_tune.registry.TaskDef"]),
    ],
)
def test_the_reference_comes_from_docstrings(site: Path, page: str, names: list[str]) -> None:
    text = (site / f"docs/reference/{page}.html").read_text()
    for name in names:
        assert f'id="{name}"' in text, name


def test_pages_show_no_markup_of_docstrings(site: Path) -> None:
    for page in (site / "docs/reference").glob("*.html"):
        assert not re.search(r":(attr|class|data|func|meth|mod):", page.read_text()), page.name


def test_site_fetches_nothing_external(site: Path) -> None:
    for page in [*site.rglob("*.html"), *site.rglob("*.css")]:
        for match in FETCHED.finditer(page.read_text()):
            found = match[1] or match[2]
            assert 'rel="canonical"' in match[0], f"{page.relative_to(site)}: {found}"


def test_external_resources_are_detected() -> None:
    for text in (
        '<link rel="stylesheet" href="https://fonts.googleapis.com/css?family=Roboto">',
        '<script src="//cdn.example.org/x.js"></script>',
        '@import url("https://example.org/a.css")',
    ):
        assert FETCHED.search(text)
