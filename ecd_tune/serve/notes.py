"""Notes and plots on Optuna's studies, where its dashboard shows them."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import optuna
from optuna_dashboard import get_note, save_note, save_plotly_graph_object

from ecd_tune.serve.dashboard_internals import get_plotly_graph_objects
from ecd_tune.serve.fast_reads import FastStorage

__all__ = ["push_notes", "push_plots"]


def push_notes(url: str, notes: Mapping[str, str], first_line: str) -> list[str]:
    """Save notes, but not over those that people wrote.

    Args:
        url: The database.
        notes: Name of an Optuna study to its note, in Markdown.
        first_line: Prefix of our notes.

    Returns:
        Names of the studies whose note a person wrote; it was kept.
    """
    kept = []
    with _opened(url) as storage:
        for name, note in notes.items():
            study = optuna.load_study(study_name=name, storage=storage)
            found = get_note(study)
            if found and not found.startswith(first_line):
                kept.append(name)
            elif found != note:
                save_note(study, note)
    return kept


def push_plots(url: str, studies: list[str], plots: Mapping[str, str]) -> None:
    """Save plots, each over the one of the same name, where it differs.

    Args:
        url: The database.
        studies: Names of the Optuna studies that are to show them.
        plots: Name to JSON for plotly.js; a name is of ASCII letters, digits and ``-_:.``.
    """
    with _opened(url) as storage:
        for name in studies:
            study: Any = optuna.load_study(study_name=name, storage=storage)
            attrs = storage.get_study_system_attrs(study._study_id)
            found = get_plotly_graph_objects(attrs)
            for plot, text in plots.items():
                if found.get(plot) != text:
                    save_plotly_graph_object(study, _Figure(text), graph_object_id=plot)


@dataclass(frozen=True)
class _Figure:
    """All that the dashboard asks of a figure of plotly."""

    text: str

    def to_json(self) -> str:
        return self.text


@contextmanager
def _opened(url: str) -> Iterator[FastStorage]:
    storage = FastStorage(url)
    try:
        yield storage
    finally:
        storage.close()
