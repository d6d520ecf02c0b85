"""Results of checks, as they were just found or as ``ecd-tune check --json`` wrote them."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator
from dataclasses import fields
from pathlib import Path
from typing import Any

from ecd_tune.analysis.checks.model import CheckResult, Finding, Relation, Verdict
from ecd_tune.errors import ReportError
from ecd_tune.lab.claims.model import RecordedResult

__all__ = ["record_results", "read_results"]

_NAME = "checks.json"
_NUMBERS = ("predicted", "measured", "low", "high")


def record_results(results: Iterable[CheckResult], seed: int) -> tuple[RecordedResult, ...]:
    """Convert results of exact systems to evidence.

    Args:
        results: From :func:`ecd_tune.lab.run_systems`.
        seed: Their seed.

    Returns:
        The same, with their origin.
    """
    return tuple(RecordedResult(result, "", _seeded(seed)) for result in results)


def read_results(path: Path) -> tuple[RecordedResult, ...]:
    """Read what ``ecd-tune check --json`` wrote.

    Args:
        path: A file, or a folder, below which all files named ``checks.json`` are read. The
            ``study`` of a file, if it has one, is the study that was checked.

    Returns:
        The results.

    Raises:
        ReportError: A file cannot be read or is not of that kind.
    """
    files = sorted(path.rglob(_NAME)) if path.is_dir() else [path]
    return tuple(given for file in files for given in _read_file(file))


def _read_file(path: Path) -> tuple[RecordedResult, ...]:
    """Read one file.

    Raises:
        ReportError: It cannot be read or is not of that kind.
    """
    try:
        document = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise ReportError(_explain(path, str(error))) from error
    try:
        return tuple(_parse(document))
    except (AttributeError, KeyError, TypeError, ValueError) as error:
        raise ReportError(_explain(path, f"{type(error).__name__}: {error}")) from error


def _explain(path: Path, reason: str) -> str:
    return (
        f"--results {path}: no results of checks ({reason}); give a file that "
        "`ecd-tune check --systems --json` printed"
    )


def _parse(document: dict[str, Any]) -> Iterator[RecordedResult]:
    study = document.get("study", "")
    origin = f"study {study}" if study else _seeded(document["seed"])
    for entry in document["results"]:
        yield RecordedResult(_result(entry), study, origin)


def _seeded(seed: int) -> str:
    return f"exact systems at seed {seed}"


def _result(entry: dict[str, Any]) -> CheckResult:
    optimizer = entry.get("optimizer", "")
    return CheckResult(
        id=entry["id"],
        relation=Relation(**entry["relation"]),
        rule=entry["rule"],
        expects=Verdict(entry["expects"]),
        findings=tuple(_finding(found, optimizer) for found in entry["findings"]),
    )


def _finding(entry: dict[str, Any], optimizer: str) -> Finding:
    known = {field.name for field in fields(Finding)}
    values = {key: value for key, value in entry.items() if key in known}
    numbers = {
        key: None if values[key] is None else float(values[key])  # "nan" and "inf" are words
        for key in _NUMBERS
    }
    case = ", ".join(part for part in (optimizer, values["case"]) if part)
    return Finding(**{**values, **numbers, "case": case, "verdict": Verdict(values["verdict"])})
