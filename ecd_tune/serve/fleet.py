"""An additional page of the dashboard: progress, workers, failures, events, reports.

It is rendered at each request and has no script; the browser reloads it every five seconds.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable
from functools import cache
from http import HTTPStatus
from pathlib import Path
from typing import Any

from jinja2 import Environment, PackageLoader, StrictUndefined
from optuna.exceptions import StorageInternalError

from ecd_tune.analysis import normalise_reason
from ecd_tune.analysis.rate import RateMeter, describe_rate, format_time
from ecd_tune.errors import StorageUnavailableError
from ecd_tune.serve._wsgi import App, Environ, StartResponse, answer, refuse, unavailable
from ecd_tune.serve.fast_reads import FastStorage
from ecd_tune.store.read import StoreReader

__all__ = ["PATH", "FleetPage"]

PATH = "/fleet"
_REPORT = re.compile(rf"{PATH}/reports/([^/]+)")
_EVENTS, _REASONS = 15, 12
_IDLE_SECONDS = 60.0
_POLICY = "default-src 'none'; style-src 'unsafe-inline'; img-src data:"


class FleetPage:
    """Answer for the page and for the reports that it links to.

    Args:
        app: The layer below.
        storage: The content.
        reports: Folder that has ``STUDY/report.html`` for some of the studies.
    """

    def __init__(self, app: App, storage: FastStorage, reports: Path) -> None:
        self._app, self._storage, self._reports = app, storage, reports
        self._reader, self._pace = StoreReader(storage.database), RateMeter()

    def __call__(self, environ: Environ, start_response: StartResponse) -> Iterable[bytes]:
        """Answer a request."""
        path = environ.get("PATH_INFO", "").rstrip("/")
        report = _REPORT.fullmatch(path)
        if environ["REQUEST_METHOD"] not in ("GET", "HEAD") or not (path == PATH or report):
            return self._app(environ, start_response)
        try:
            body = self._read_report(report[1]) if report else self._write().encode()
        except (StorageUnavailableError, StorageInternalError) as error:
            return unavailable(environ, start_response, path, error)
        if body is None:
            reason = f"{path}: no such study, or its report is not in {self._reports}"
            return refuse(environ, start_response, HTTPStatus.NOT_FOUND, reason)
        kind = {"Content-Type": "text/html; charset=utf-8", "Content-Security-Policy": _POLICY}
        return answer(environ, start_response, HTTPStatus.OK, body, kind)

    def _read_report(self, study: str) -> bytes | None:
        # The name is one of the database, so that no path leads out of the folder.
        path = self._path(study) if study in self._reader.studies() else None
        return path.read_bytes() if path else None

    def _path(self, study: str) -> Path | None:
        path = self._reports / study / "report.html"
        inside = path.resolve().is_relative_to(self._reports.resolve())
        return path if inside and path.is_file() else None

    def _write(self) -> str:
        workers = self._reader.workers()
        studies = [self._study(name) for name in self._reader.studies()]
        return (
            _environment()
            .get_template("fleet.html")
            .render(
                storage=self._reader.url,
                format_time=format_time,
                studies=sorted(studies, key=lambda study: study["complete"]),  # active ones first
                workers=[w for w in workers if w.trials or w.age < _IDLE_SECONDS],
            )
        )

    def _study(self, name: str) -> dict[str, Any]:
        progress, events = self._reader.progress(name), self._reader.events(name)
        reasons: Counter[tuple[str, str]] = Counter()
        for key, reason, count in self._reader.reasons(name):
            reasons[key.name, normalise_reason(reason)] += count
        pace = self._pace.add(name, progress)
        return {
            "name": name,
            "pace": describe_rate(pace),
            "complete": not pace["remaining"],
            "rows": [(self._id(row.key.name), row) for row in progress],
            "reasons": reasons.most_common(_REASONS),
            "events": events[: -_EVENTS - 1 : -1],
            "report": self._path(name) is not None,
        }

    def _id(self, name: str) -> int:
        return self._storage.get_study_id_from_name(name)


@cache
def _environment() -> Environment:
    return Environment(
        loader=PackageLoader("ecd_tune.serve", "templates"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
