"""Our study call and reads against those of the dashboard and Optuna, on one database."""

from __future__ import annotations

import json
import math
from collections import Counter

import optuna
import optuna_dashboard
import pytest
from hypothesis import given
from hypothesis import strategies as st
from optuna.distributions import (
    CategoricalDistribution,
    FloatDistribution,
    IntDistribution,
    distribution_to_json,
)
from optuna.exceptions import StorageInternalError
from optuna.trial import TrialState, create_trial
from optuna_dashboard._inmemory_cache import InMemoryCache, get_cached_extra_study_property
from optuna_dashboard._note import save_note_with_version

from ecd_tune.errors import StorageUnavailableError
from ecd_tune.serve.study_call import StudyCall
from ecd_tune.serve.study_summary import merge_spaces
from tests.serve.client import Client

LR = FloatDistribution(1e-3, 10.0, log=True)
ETA = FloatDistribution(1.0, 6.0, step=0.5)
LAYERS = IntDistribution(1, 9, step=2)
FLAG = CategoricalDistribution((True, False))
KIND = CategoricalDistribution(("a", 'b"\\é', None, 3, 2.5))


def ask_both(url, open_storage, path):
    """Return the answers of the dashboard on Optuna's storage, and of ours."""
    plain = optuna.storages.RDBStorage(url)
    storage = open_storage(url)

    def forbid(environ, start_response):
        raise AssertionError(f"{environ['PATH_INFO']} was left to the dashboard")

    theirs = Client(optuna_dashboard.wsgi(plain))("GET", path)
    ours = Client(StudyCall(forbid, storage))("GET", path)
    plain.remove_session()
    plain.engine.dispose()
    assert theirs.status == ours.status == 200
    assert ours.headers["content-type"] == theirs.headers["content-type"]
    assert int(ours.headers["content-length"]) == len(ours.body)
    return sort_sets(theirs.json), sort_sets(ours.json)


def sort_sets(detail):
    """Bring what the dashboard keeps in sets, and so in any order, into one order."""
    detail["union_user_attrs"].sort(key=json.dumps)
    for name in ("union_search_space", "intersection_search_space"):
        for item in detail[name]:
            item["distribution"].get("choices", []).sort(key=json.dumps)
        detail[name].sort(key=json.dumps)
    return detail


def varied_study(url):
    study = optuna.create_study(study_name="varied/ecdsep", storage=url)
    for number in range(6):
        study.add_trial(
            create_trial(
                value=(-1.0) ** number / (number + 1),
                params={
                    "lr": 0.1 * (number + 1),
                    "eta": 1.5,
                    "layers": 2 * number % 8 + 1,
                    "flag": number % 2 == 0,
                    "kind": KIND.choices[number % 5],
                },
                distributions={"lr": LR, "eta": ETA, "layers": LAYERS, "flag": FLAG, "kind": KIND},
                user_attrs={
                    "text": 'quoted " \\ ü </script>',
                    "number": number / 3,
                    "flag": True,
                    "list": list(range(500)),
                    "nothing": None,
                    "mixed": number if number % 2 else "odd",
                },
                system_attrs={"constraints": [0.5, -1], "other": {"x": 1}},
                intermediate_values={7: 0.25, 1: math.nan, 3: math.inf, 5: -math.inf},
            )
        )
    study.set_user_attr("who", {"name": "Ada"})
    return study


def add_odd_trials(study):
    study.add_trial(create_trial(value=math.inf))
    study.add_trial(
        create_trial(
            value=-math.inf,
            params={"lr": 20.0},
            distributions={"lr": FloatDistribution(1e-6, 100.0, log=True)},
        )
    )
    study.add_trial(create_trial(state=TrialState.FAIL, user_attrs={"number": "failed"}))
    study.add_trial(create_trial(state=TrialState.PRUNED, value=3.0))
    study.ask().suggest_float("eta", 1.0, 7.0, step=0.25)  # another kind: of another step
    study.enqueue_trial({"lr": 0.5, "flag": False})


def test_response_equals_the_dashboards(url, open_storage):
    study = varied_study(url)
    theirs, ours = ask_both(url, open_storage, f"/api/studies/{study._study_id}")
    assert len(ours["trials"]) == 6
    assert [item["name"] for item in ours["intersection_search_space"]] == [
        "eta",
        "flag",
        "kind",
        "layers",
        "lr",
    ]
    assert ours == theirs


@pytest.mark.parametrize("after", [0, 1, 5, 12, 99])
def test_odd_trials_equal_the_dashboards_response(url, open_storage, after):
    study = varied_study(url)
    add_odd_trials(study)
    theirs, ours = ask_both(url, open_storage, f"/api/studies/{study._study_id}?after={after}")
    assert len(ours["trials"]) == max(0, 12 - after)
    assert ours == theirs


def test_notes_and_artifacts_are_included(url, open_storage):
    study = varied_study(url)
    optuna_dashboard.save_note(study, "# The study")
    save_note_with_version(
        study._storage, study._study_id, study.trials[2]._trial_id, 1, "A *note* " * 400
    )
    trial_id = study.trials[3]._trial_id
    artifact = {"artifact_id": "x", "filename": "f", "mimetype": "text/plain", "encoding": None}
    study._storage.set_study_system_attr(
        study._study_id, f"dashboard:artifacts:{trial_id}:x", json.dumps(artifact)
    )
    running = study.ask()
    running.storage.set_trial_system_attr(running._trial_id, "artifacts:y", json.dumps(artifact))
    theirs, ours = ask_both(url, open_storage, f"/api/studies/{study._study_id}")
    assert ours["trials"][2]["note"]["body"].startswith("A *note*")
    assert len(ours["trials"][3]["artifacts"]) == len(ours["trials"][6]["artifacts"]) == 1
    assert ours == theirs


def test_an_empty_study_has_no_best_trial(url, open_storage):
    study = optuna.create_study(study_name="empty/adam", storage=url, direction="maximize")
    theirs, ours = ask_both(url, open_storage, f"/api/studies/{study._study_id}")
    assert ours["best_trials"] == ours["trials"] == []
    assert ours == theirs


@pytest.mark.parametrize(
    ("path", "status"),
    [
        ("/api/studies/99", 404),
        ("/api/studies/1?after=-1", 400),
        ("/api/studies/2", 200),  # two objectives
        ("/api/studies", 200),
    ],
)
def test_other_requests_are_passed_on(url, open_storage, path, status):
    optuna.create_study(study_name="one", storage=url)
    optuna.create_study(study_name="two", storage=url, directions=["minimize", "maximize"])
    storage = open_storage(url)
    asked = []
    dashboard = optuna_dashboard.wsgi(storage)

    def note(environ, start_response):
        asked.append(environ["PATH_INFO"])
        return dashboard(environ, start_response)

    assert Client(StudyCall(note, storage))("GET", path).status == status
    assert len(asked) == 1


@pytest.mark.parametrize(
    ("method", "error"),
    [
        ("database.read", StorageUnavailableError("db:5432: connection refused")),
        ("get_all_studies", StorageInternalError("db:5432: connection refused")),
    ],
)
def test_outage_is_an_error_response_and_logged(
    url, study, open_storage, monkeypatch, method, error
):
    storage = open_storage(url)

    def fail(*arguments):
        raise error

    owner = storage.database if method == "database.read" else storage
    monkeypatch.setattr(owner, method.rpartition(".")[2], fail)
    client = Client(StudyCall(optuna_dashboard.wsgi(storage), storage))
    reply = client("GET", f"/api/studies/{study._study_id}")
    assert reply.status == 503
    assert "the database does not respond" in reply.json["reason"]
    assert client.errors.getvalue() == "study 1: db:5432: connection refused\n"


def test_bulk_reads_equal_optunas_reads(url, open_storage):
    study = varied_study(url)
    add_odd_trials(study)
    plain, ours = optuna.storages.RDBStorage(url), open_storage(url)
    expected = plain.get_all_trials(study._study_id)
    found = ours.get_all_trials(study._study_id)
    assert [repr(trial) for trial in found] == [repr(trial) for trial in expected]
    assert [list(trial.params) for trial in found] == [list(trial.params) for trial in expected]
    for states in ((TrialState.COMPLETE,), (TrialState.WAITING, TrialState.FAIL), ()):
        assert [t.number for t in ours.get_all_trials(study._study_id, states=states)] == [
            t.number for t in expected if t.state in states
        ]
    # What `optuna.load_study` reads through: a cache that asks for the ids it lacks.
    loaded = optuna.load_study(study_name=study.study_name, storage=ours)
    assert [repr(trial) for trial in loaded.trials] == [repr(trial) for trial in expected]
    with pytest.raises(KeyError):
        ours.get_all_trials(99)
    plain.remove_session()
    plain.engine.dispose()


# Optuna refuses a parameter that changes its class, its scale or its choices, but not its range.
SPACE = st.fixed_dictionaries(
    {},
    optional={
        "float": st.sampled_from(
            [
                FloatDistribution(0.0, 1.0),
                FloatDistribution(-1.0, 0.5),
                FloatDistribution(0.0, 4.0, step=0.5),
            ]
        ),
        "log": st.sampled_from([FloatDistribution(low, 2.0, log=True) for low in (0.1, 0.5)]),
        "int": st.sampled_from(
            [IntDistribution(1, 3), IntDistribution(-1, 2), IntDistribution(1, 9, step=2)]
        ),
        "choice": st.just(CategoricalDistribution((1, "x"))),
    },
)
SPACES = st.lists(
    st.tuples(SPACE, st.sampled_from([TrialState.COMPLETE, TrialState.FAIL, TrialState.PRUNED])),
    max_size=5,
)


def show(item):
    """Return a parameter as text, its choices in one order: the dashboard keeps them in a set."""
    name, how = item
    return f"{name}: {sorted(map(repr, how.choices)) if name == 'choice' else how!r}"


@given(spaces=SPACES)
def test_search_spaces_are_merged_as_the_dashboard_merges_them(spaces):
    trials = [
        create_trial(
            state=state,
            value=None if state is TrialState.FAIL else 1.0,
            params={
                name: getattr(how, "low", getattr(how, "choices", (None,))[0])
                for name, how in space.items()
            },
            distributions=space,
        )
        for space, state in spaces
    ]
    for number, trial in enumerate(trials):
        trial.number = number
    common, every, _, _ = get_cached_extra_study_property(InMemoryCache(), 1, trials)
    kept = [trial for trial in trials if trial.state is not TrialState.FAIL]
    counts = Counter(
        (name, distribution_to_json(how)) for t in kept for name, how in t.distributions.items()
    )
    rows = [(*key, count) for key, count in counts.items()]
    intersection, union = merge_spaces(rows, len(kept))
    assert sorted(map(show, union)) == sorted(map(show, every))
    assert list(map(show, intersection)) == list(map(show, common))
    assert [name for name, _ in union] == sorted(name for name, _ in union)
