"""Answer the dashboard's main call, ``GET /api/studies/ID``, from bulk reads.

The dashboard builds a dictionary for every parameter of every trial and merges search spaces trial
by trial. The response is the same, which a test compares with the dashboard's; it is assembled from
pieces of JSON, one per trial. Studies with several objectives or with preferences are handled by
the dashboard.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable
from http import HTTPStatus
from typing import Any
from urllib.parse import parse_qs

from optuna.exceptions import StorageInternalError

from ecd_tune.errors import StorageUnavailableError
from ecd_tune.serve._wsgi import App, Environ, StartResponse, answer, unavailable
from ecd_tune.serve.dashboard_internals import (
    get_plotly_graph_objects,
    get_study,
    serialize_study_detail,
)
from ecd_tune.serve.fast_reads import PARTS, FastStorage
from ecd_tune.serve.study_summary import summarize
from ecd_tune.serve.trial_json import SYSTEM_ATTRS, write_trials
from ecd_tune.store.db import optuna_tables
from ecd_tune.store.db.stored import read_trials

__all__ = ["StudyCall"]

_PATH = re.compile(r"/api/studies/(\d{1,18})/?")
_PREFERENTIAL = "preference:is_preferential"


class StudyCall:
    """Answer the study call, and leave everything else to the dashboard.

    Args:
        app: The dashboard.
        storage: The shared reader.
    """

    def __init__(self, app: App, storage: FastStorage) -> None:
        self._app, self._storage = app, storage

    def __call__(self, environ: Environ, start_response: StartResponse) -> Iterable[bytes]:
        """Answer a request."""
        # The dashboard reads this header without asking whether it is there.
        environ.setdefault("HTTP_ACCEPT_ENCODING", "")
        match = _PATH.fullmatch(environ.get("PATH_INFO", ""))
        after = parse_qs(environ.get("QUERY_STRING", "")).get("after", ["0"])[-1]
        # An invalid number of trials is rejected by the dashboard.
        valid = after.isdecimal() and len(after) < 10
        if match is None or not valid or environ["REQUEST_METHOD"] != "GET":
            return self._app(environ, start_response)
        study_id = int(match[1])
        try:
            study = get_study(self._storage, study_id)
            if study is None or len(study.directions) > 1 or study.system_attrs.get(_PREFERENTIAL):
                return self._app(environ, start_response)
            body = self._write(study, study_id, int(after))
        except (StorageUnavailableError, StorageInternalError) as error:
            return unavailable(environ, start_response, f"study {study_id}", error)
        return answer(environ, start_response, HTTPStatus.OK, body)

    def _write(self, study: Any, study_id: int, after: int) -> bytes:
        stored = optuna_tables.trials.c
        # Numbers have no gaps.
        wanted = (stored.study_id == study_id) & (stored.number >= after)
        with self._storage.database.read() as connection:
            summary = summarize(connection, study_id)
            found = read_trials(connection, wanted, PARTS, SYSTEM_ATTRS)
        try:
            best = [self._storage.get_best_trial(study_id)]
        except ValueError:  # none is complete
            best = []
        plots = get_plotly_graph_objects(study.system_attrs)
        detail = serialize_study_detail(study, best, [], *summary, plots, [])
        del detail["trials"]
        trials = write_trials(found, study_id, study.system_attrs)
        return f'{json.dumps(detail)[:-1]}, "trials": {trials}}}'.encode()
