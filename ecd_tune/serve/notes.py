"""Notes on Optuna's studies, where its dashboard shows them."""

from __future__ import annotations

from collections.abc import Mapping

import optuna
from optuna_dashboard import get_note, save_note

from ecd_tune.serve.fast_reads import FastStorage

__all__ = ["push_notes"]


def push_notes(url: str, notes: Mapping[str, str], first_line: str) -> list[str]:
    """Save notes, but not over those that people wrote.

    Args:
        url: The database.
        notes: Name of an Optuna study to its note, in Markdown.
        first_line: Prefix of our notes.

    Returns:
        Names of the studies whose note a person wrote; it was kept.
    """
    storage, kept = FastStorage(url), []
    try:
        for name, note in notes.items():
            study = optuna.load_study(study_name=name, storage=storage)
            found = get_note(study)
            if found and not found.startswith(first_line):
                kept.append(name)
            elif found != note:
                save_note(study, note)
    finally:
        storage.close()
    return kept
