"""The study call on PostgreSQL: enumerations, order and booleans differ from SQLite."""

from __future__ import annotations

import pytest

from ecd_tune.testing.postgres import postgres, postgres_url
from tests.serve.test_study_call import add_odd_trials, ask_both, varied_study

__all__ = ["postgres", "postgres_url"]


def sort_attrs(detail):
    """PostgreSQL gives the dashboard's own reads in any order."""
    for trial in (*detail["trials"], *detail["best_trials"]):
        trial["user_attrs"].sort(key=lambda attr: attr["key"])
    return detail


@pytest.mark.parametrize("after", [0, 7])
def test_response_equals_the_dashboards_on_postgres(postgres_url, open_storage, after):
    study = varied_study(postgres_url)
    add_odd_trials(study)
    path = f"/api/studies/{study._study_id}?after={after}"
    theirs, ours = ask_both(postgres_url, open_storage, path)
    expected = study._storage.get_all_trials(study._study_id)
    study._storage.remove_session()
    study._storage._backend.engine.dispose()
    found = open_storage(postgres_url).get_all_trials(study._study_id)
    parts = ("number", "state", "values", "params", "distributions", "user_attrs", "system_attrs",
             "datetime_start", "datetime_complete")  # fmt: skip
    for part in parts:
        assert [getattr(t, part) for t in found] == [getattr(t, part) for t in expected]
    assert len(ours["trials"]) == 12 - after
    assert sort_attrs(ours) == sort_attrs(theirs)
