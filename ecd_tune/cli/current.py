"""Whether the report in a folder is that of the trials in the database."""

from __future__ import annotations

import hashlib
import json
from dataclasses import astuple
from pathlib import Path
from typing import TYPE_CHECKING, Any

import typer

import ecd_tune
from ecd_tune.spec import StudySpec

if TYPE_CHECKING:
    from ecd_tune.store import Store

__all__ = ["digest_of", "show_current"]

_FILES = ("report.md", "report.html", "report.json", "trials.csv", "confirmation.csv")


def digest_of(store: Store, spec: StudySpec) -> str:
    """Return a digest of all that the report of a complete study depends on.

    A trial that has ended changes only where it is invalidated or retried, and either changes
    the counts.

    Args:
        store: The database.
        spec: The study.

    Returns:
        Hexadecimal; empty where checks compare the study with others, whose trials may change.
    """
    if any(check.studies for check in spec.checks):
        return ""
    counts = [[progress.key.name, *astuple(progress)[1:]] for progress in store.progress(spec.name)]
    plain = [ecd_tune.__version__, spec.model_dump(mode="json"), counts]
    return hashlib.sha256(json.dumps(plain, sort_keys=True).encode()).hexdigest()


def show_current(folder: Path, digest: str) -> bool:
    """Print the answer of the report in a folder, if that is current.

    Args:
        folder: Where reports of the study go.
        digest: Of study and trials now.

    Returns:
        Whether it is; else nothing is printed.
    """
    from ecd_tune.report import short_warnings

    try:
        report: dict[str, Any] = json.loads((folder / "report.json").read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return False
    there = all((folder / name).is_file() for name in _FILES)
    if not (digest and there and report.get("made_from") == digest):
        return False
    lines = [report["title"], *report["answer"]["sentences"]]
    lines += short_warnings(report["warnings"], report["remarks"])
    typer.echo("\n".join(lines))
    typer.echo(f"\nThe report in {folder} is current; `ecd-tune report` rewrites it")
    return True
