"""A sampler with a bounded history sees the latest, the best and the running trials."""

from __future__ import annotations

import dataclasses
import random

import optuna
import pytest
from optuna.samplers import RandomSampler
from optuna.study import StudyDirection
from optuna.trial import create_trial

from ecd_tune.errors import SpecError
from ecd_tune.records import Direction, Outcome, Status, TrialState
from ecd_tune.spec import SamplerSpec
from ecd_tune.store import Store, Worker
from ecd_tune.store.db.stored import TrialPart
from ecd_tune.store.sampling import history, memory
from ecd_tune.store.sampling.history import TrialHistory
from ecd_tune.store.sampling.memory import BEST, BestTrials
from ecd_tune.store.sampling.samplers import (
    SeededSampler,
    check_sampler,
    history_bound,
    make_sampler,
)
from ecd_tune.store.studies import find_study, to_ref
from ecd_tune.testing.store import complete, make_spec

KEY = make_spec().key("ecdsep")


def spec_with(sampler, **changes):
    return make_spec(**changes).model_copy(update={"sampler": SamplerSpec.model_validate(sampler)})


class Spy(RandomSampler):
    """Notes what a study shows to its sampler."""

    def __init__(self):
        super().__init__(seed=0)
        self.seen = []

    def infer_relative_search_space(self, study, trial):
        self.seen.append([t.number for t in study.get_trials(deepcopy=False)])
        return {}


@pytest.fixture
def store(tmp_path):
    with Store.open(f"sqlite:///{tmp_path}/store.db") as store:
        yield store


def fill(store, spec, count, seed=0):
    """Finish trials in a random order, some of them without a value, and leave two running."""
    chooser = random.Random(seed)
    store.create(spec)
    leases = store.ask(spec, "ecdsep", count=count + 2, worker=Worker.current())
    running = leases[count // 2 :: count // 2][:2]
    leases = [lease for lease in leases if lease not in running]
    chooser.shuffle(leases)
    statuses = [Status.COMPLETE] * 6 + [Status.DIVERGED, Status.FAILED]
    for lease in leases:
        status = chooser.choice(statuses)
        value = None if status is Status.FAILED else float(chooser.randrange(count))
        store.tell([(lease, Outcome(status, value, reason=None if value else "x"))])


def look(store, view, shown, count=1, read=None):
    """Let a sampler with a bound draw from a view that may have read all trials."""
    spy = Spy()
    with store._database.read() as connection:
        view.sync(connection, read)
    view.draw(make_spec().optimizers["ecdsep"].space, count, SeededSampler(spy, shown))
    return spy.seen


def open_view(store):
    with store._database.read() as connection:
        return TrialHistory(to_ref(find_study(connection, KEY)))


def expected(store, history):
    records = store.trials(KEY)
    valued = [r for r in records if r.state in (TrialState.COMPLETE, TrialState.PRUNED)]
    ranked = sorted(
        (r for r in valued if r.state is TrialState.COMPLETE), key=lambda r: (r.value, r.number)
    )
    running = [r for r in records if r.state is TrialState.RUNNING]
    return sorted({r.number for r in [*valued[-history:], *ranked[:BEST], *running]})


@pytest.mark.parametrize("reads_all", [True, False])
@pytest.mark.parametrize("history", [1, 7, 40, 1000])
def test_sampler_sees_the_latest_the_best_and_the_running(store, history, reads_all):
    spec = make_spec(trials=200)
    fill(store, spec, 120)
    ((*seen, drawn),) = look(store, open_view(store), history, read=None if reads_all else history)
    assert seen == expected(store, history)
    assert drawn == 122


@pytest.mark.parametrize("read", [None, 5])
def test_view_stays_bounded_while_reading_on(store, read):
    """Best trials that come late, and trials that end late, find their way into an old history."""
    spec = make_spec(trials=400)
    fill(store, spec, 60)
    view = open_view(store)
    look(store, view, 5, read=read)
    for seed in range(3):
        fill(store, spec, 40, seed)
        ((*seen, _),) = look(store, view, 5, read=read)
        assert seen == expected(store, 5)


def test_best_of_a_maximized_study_are_read_selectively(tmp_path):
    spec = make_spec(trials=200)
    with Store.open(f"sqlite:///{tmp_path}/up.db") as store:
        fill(store, spec, 100)
        ref = dataclasses.replace(open_view(store)._ref, direction=Direction.MAXIMIZE)
        shown = []
        for read in (None, 3):
            ((*seen, _),) = look(store, TrialHistory(ref), 3, read=read)
            shown.append(seen)
        assert shown[0] == shown[1]


def test_a_bounded_view_reads_no_more_than_it_shows(store, monkeypatch):
    fill(store, make_spec(trials=200), 120)
    read = []
    fill_parts = history.fill_trials

    def note(connection, trials, condition, parts, *rest):
        if TrialPart.PARAMS in parts:  # of failed ones it asks for constraints alone
            read.extend(trials)
        fill_parts(connection, trials, condition, parts, *rest)

    monkeypatch.setattr(history, "fill_trials", note)
    look(store, open_view(store), 7, read=7)
    assert len(set(read)) <= 7 + BEST + 2  # two run


def test_tpe_sees_a_thousand_trials_by_default():
    assert history_bound(spec_with({"name": "tpe"})) == 1000
    assert history_bound(spec_with({"name": "tpe", "history": 5000})) == 5000
    assert history_bound(spec_with({"name": "cmaes"})) is None


def test_the_bound_leaves_room_for_all_random_trials_of_the_start():
    assert history_bound(spec_with({"name": "tpe", "n_startup_trials": 3000})) == 3000


def test_earlier_draws_of_a_batch_are_seen(store):
    spec = make_spec(trials=200)
    fill(store, spec, 60)
    first, second, third = look(store, open_view(store), 3, count=3)
    assert [second[-2:], third[-3:]] == [[62, 63], [62, 63, 64]]
    assert first == second[:-1] == third[:-2]


def test_without_a_bound_all_trials_are_seen(store):
    fill(store, make_spec(trials=200), 60)
    ((*seen, _),) = look(store, open_view(store), None)
    assert seen == list(range(62))


def test_sampler_sees_only_its_own_attributes(store, tmp_path):
    store.create(make_spec())
    url = f"sqlite:///{tmp_path}/store.db"
    study = optuna.load_study(study_name=KEY.name, storage=url)
    for key in ("cma:generation", "dashboard:plot_data:big:0", "dashboard:note_str:0"):
        study._storage.set_study_system_attr(study._study_id, key, "x" * 2000)
    view = open_view(store)
    look(store, view, None)
    assert view._storage.study_attrs.keys() == {"cma:generation", "study:metric_names"}


@pytest.mark.parametrize(("direction", "best"), [(1, [0, 1, 2]), (2, [9, 8, 7])])
def test_best_follow_the_direction_and_ties_the_number(direction, best):
    kept = BestTrials(StudyDirection(direction), size=3)
    for value in random.Random(0).sample(range(10), 10):
        for number in (value + 100, value):
            trial = create_trial(value=float(value))
            trial.number = number
            kept.add(trial)
    ranked = [trial.number for trial in kept]
    assert ranked == sorted(ranked, key=lambda n: best.index(n % 100) * 1000 + n)
    assert {number % 100 for number in ranked} <= set(best[:2])


class TestThroughTheStore:
    def points(self, store, sampler, name, trials=60):
        spec = spec_with(sampler, trials=trials, name=name)
        store.create(spec)
        drawn = []
        while leases := store.ask(spec, "ecdsep", count=1, worker=Worker.current()):
            drawn += [dict(lease.request.params) for lease in leases]
            store.tell(complete(leases))
        return drawn

    def test_a_bound_that_is_not_reached_changes_nothing(self, store):
        whole = self.points(store, {"name": "tpe"}, "whole")
        assert self.points(store, {"name": "tpe", "history": 60}, "long") == whole
        assert self.points(store, {"name": "tpe", "history": 10}, "short") != whole

    @pytest.mark.parametrize("name", ["tpe", "gp"])
    def test_the_sampler_never_gets_more(self, store, name, monkeypatch):
        sizes = []
        monkeypatch.setattr(BestTrials.__init__, "__defaults__", (5,))
        whole = memory.MemoryStorage.get_all_trials

        def count(self, *arguments, **options):
            found = whole(self, *arguments, **options)
            sizes.append(len(found))
            return found

        monkeypatch.setattr(memory.MemoryStorage, "get_all_trials", count)
        self.points(store, {"name": name, "history": 10}, "bounded", trials=22)
        # The latest, the best and the one that is drawn; some may be both of the former.
        assert 10 + 1 < max(sizes) <= 10 + 5 + 1


class TestOption:
    def spec(self, **sampler):
        return spec_with(sampler)

    def test_history_is_not_passed_to_optunas_sampler(self):
        made = make_sampler(self.spec(name="tpe", history=50), "ecdsep", 0)
        assert made.history == 50
        assert make_sampler(self.spec(name="gp"), "ecdsep", 0).history is None

    @pytest.mark.parametrize(
        "sampler",
        [
            {"name": "tpe", "history": 9},
            {"name": "tpe", "history": 30, "n_startup_trials": 31},
            {"name": "gp", "history": 0, "n_startup_trials": 0},
            {"name": "tpe", "history": 100.0},
            {"name": "tpe", "history": True},
            {"name": "tpe", "history": "all"},
        ],
    )
    def test_too_short_history_is_refused(self, sampler):
        with pytest.raises(
            SpecError,
            match=r"\[sampler\]: history = .*(at least n_startup_trials|whole number|>= 1)",
        ):
            check_sampler(self.spec(**sampler))

    @pytest.mark.parametrize("name", ["random", "qmc", "cmaes", "grid"])
    def test_other_samplers_have_no_history(self, name):
        with pytest.raises(SpecError, match="history: unknown option"):
            check_sampler(self.spec(name=name, history=100))

    def test_history_is_part_of_the_fingerprint(self):
        plain, bounded = self.spec(name="tpe"), self.spec(name="tpe", history=100)
        assert plain.fingerprint("ecdsep") != bounded.fingerprint("ecdsep")
        assert "history" not in plain.identity("ecdsep")["sampler"]
