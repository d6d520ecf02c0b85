"""A hook of mkdocs: lays the site out as the repository is, and adds the page of commands."""

from __future__ import annotations

import re
from pathlib import Path

import typer
from mkdocs.config.defaults import MkDocsConfig
from mkdocs.structure.files import File, Files
from mkdocs.structure.pages import Page
from typer.cli import get_docs_for_click

from ecd_tune.cli.main import app

ROOT = Path(__file__).parents[1]
LINK = re.compile(r"\]\(([^)#\s]+)(?:#[^)]*)?\)")
ROLE = re.compile(r":(?:attr|class|data|func|meth|mod):<code>(?:~[\w.]*\.|\.)?")
"""A role of a docstring, up to the name that is shown."""


def on_files(files: Files, config: MkDocsConfig) -> Files:
    """Give each page its path in the repository, and add every file that a page links to."""
    own = {Path(f.abs_src_path) for f in files if f.src_dir == config.docs_dir}
    found: dict[Path, None] = {}
    waiting = [ROOT / "README.md", *own]
    while waiting:
        path = waiting.pop()
        if path in found or path.suffix == ".py" and path.parent == ROOT / "docs":
            continue
        found[path] = None
        if path.suffix == ".md":
            linked = (path.parent / link for link in LINK.findall(path.read_text("utf-8")))
            waiting += [target for link in linked if (target := link.resolve()).is_file()]
    return Files(
        [
            File.generated(config, path.relative_to(ROOT).as_posix(), abs_src_path=str(path))
            for path in sorted(found)
        ]
        + [File.generated(config, "docs/commands.md", content=describe_commands())]
        + [file for file in files if file.src_dir != config.docs_dir]
    )


def on_page_content(html: str, page: Page, config: MkDocsConfig, files: Files) -> str:
    """Show the names in the roles of docstrings as code."""
    return ROLE.sub("<code>", html)


def describe_commands() -> str:
    """Return the help of all commands, in Markdown."""
    command = typer.main.get_command(app)
    waiting = [command]
    while waiting:
        each = waiting.pop()
        each.short_help = (each.help or "").partition("\n")[0]  # otherwise 45 characters of it
        waiting += getattr(each, "commands", {}).values()
    context = typer.Context(command)
    text = get_docs_for_click(obj=command, ctx=context, name="ecd-tune", title="Commands")
    return str(text).replace("```console\n", "```sh\n")
