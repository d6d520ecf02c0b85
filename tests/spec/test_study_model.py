"""Seeds, lengths, options and the fingerprint of a study."""

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ecd_tune.errors import SpecError
from ecd_tune.records import Stage
from ecd_tune.spec import StudySpec, adopt_sampler, parse_study

TABLE = {
    "name": "small",
    "task": {"name": "zakharov", "n": 3},
    "budget": {"trials": 10, "steps": 20},
    "confirmation": {"steps": 70, "task": {"start": "uniform"}},
    "optimizers": {
        "ecdsep": {"space": {"lr": {"low": 0.1, "high": 1.0}, "eta": [1.0, 2.0]}},
        "sgd": {"optimizer": "gdm", "space": {"lr": 0.1}},
    },
}


def study(**changes):
    return parse_study({**TABLE, **changes})


def changed(path, value):
    """The table with one value replaced, by a path of keys."""

    def put(table, keys):
        head, *rest = keys
        return {**table, head: put(table.get(head, {}), rest) if rest else value}

    return parse_study(put(TABLE, path))


def test_options_are_filled_in_stage_by_stage():
    assert study().task_options(Stage.SEARCH) == {"n": 3, "start": "ones", "dtype": "float64"}
    assert study().task_options(Stage.CONFIRM)["start"] == "uniform"


def test_confirmation_has_its_own_length_or_the_searchs():
    assert [study().steps(stage) for stage in (Stage.SEARCH, Stage.CONFIRM)] == [20, 70]
    assert study(confirmation={}).steps(Stage.CONFIRM) == 20


def test_key_of_an_optimizer_defaults_to_its_name():
    spec = study()
    assert spec.optimizers["ecdsep"].definition.name == "ecdsep"
    assert spec.optimizers["sgd"].definition.name == "gdm"
    assert spec.key("sgd", Stage.CONFIRM).name == "small/sgd/confirm"


@given(st.integers(0, 10**9), st.integers(0, 10**9), st.data())
def test_no_two_runs_share_a_seed(seed, other, data):
    numbers = st.integers(0, 499_999)
    a, b = study(seed=seed), study(seed=other)
    search, confirm = data.draw(numbers), data.draw(numbers)
    assert a.search_seed(search) != a.confirm_seed(confirm)
    if seed != other:
        assert a.search_seed(search) != b.search_seed(confirm)
        assert a.confirm_seed(search) != b.confirm_seed(confirm)


NUMBERS = st.integers(0, 19_999)


@given(st.integers(0, 10**9), st.lists(NUMBERS, min_size=9, max_size=9), st.integers(3, 20))
def test_no_two_searches_share_a_seed(seed, numbers, repeats):
    spec = study(seed=seed, search={"repeats": repeats}, selection={"top": 3})
    first, *others = spec.searches("ecdsep")
    seeds = [
        seed_of(number % 1000 if seed_of == spec.select_seed else number, key)
        for key, group in zip((first, others[0], others[-1]), (0, 3, 6), strict=True)
        for seed_of, number in zip(
            (spec.search_seed, spec.select_seed, spec.confirm_seed), numbers[group:], strict=False
        )
    ]
    assert len(set(seeds)) == 9
    assert spec.search_seed(numbers[0]) == study(seed=seed).search_seed(numbers[0])
    assert seed * 1_000_000 <= min(seeds) <= max(seeds) < (seed + 1) * 1_000_000


def test_each_search_is_an_optimizer_of_its_own_with_the_same_identity():
    other = study(search={"repeats": 3, "from_study": "other"}).by_search()
    assert other.search.from_study == "other"
    spec = study(search={"repeats": 3})
    parts = spec.by_search()
    assert list(parts.optimizers) == ["ecdsep", "ecdsep#2", "ecdsep#3", "sgd", "sgd#2", "sgd#3"]
    assert parts.by_search() is parts
    assert parts.fingerprint("ecdsep#2") == study().fingerprint("ecdsep")
    assert parts.key("ecdsep#2", Stage.CONFIRM).name == "small/ecdsep#2/confirm"
    assert study().by_search() == study()


def test_a_selection_is_a_stage_only_where_there_is_one():
    assert study().stages == (Stage.SEARCH, Stage.CONFIRM)
    spec = study(selection={"top": 4, "runs": 2})
    assert spec.stages == (Stage.SEARCH, Stage.SELECT, Stage.CONFIRM)
    assert spec.runs("ecdsep", Stage.SELECT) == 8
    assert study(selection={"top": 1}).runs("ecdsep", Stage.SELECT) == 0
    assert spec.steps(Stage.SELECT) == spec.steps(Stage.SEARCH)
    assert spec.task_options(Stage.SELECT) == spec.task_options(Stage.SEARCH)


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"search": {"repeats": 21}}, "[search]: repeats: 21: must be at most 20"),
        ({"search": {"repeat": 2}}, "[search]: repeat: unknown key"),
        ({"search": {"from_study": "small"}}, "from_study = 'small': must be another study"),
        ({"search": {"from_study": "../x"}}, "[search]: from_study: '../x'"),
        ({"sampler": {"name": "qmc"}, "search": {"repeats": 2}}, "use scramble = true"),
        (
            {"search": {"repeats": 2}, "budget": {"trials": 20_001, "steps": 2}},
            "each of several searches has at most 20000 trials",
        ),
        (
            {"selection": {"top": 3}, "confirmation": {"runs": 20_001}},
            "[confirmation]: runs = 20001: at most 20000",
        ),
    ],
)
def test_invalid_repeated_searches(changes, said):
    with pytest.raises(SpecError, match=re.escape(said)):
        study(**changes)


def test_grid_budget_is_its_size():
    space = {"lr": [0.1, 0.2, 0.3], "eta": [1.0, 2.0]}
    optimizers = {"ecdsep": {"space": space}}
    for trials, expected in ((None, 6), (4, 4), (100, 6)):
        budget = {"steps": 5} if trials is None else {"steps": 5, "trials": trials}
        spec = study(sampler={"name": "grid"}, budget=budget, optimizers=optimizers)
        assert spec.trials("ecdsep") == expected


GRID = {"ecdsep": {"space": {"lr": [0.1, 0.2, 0.3], "eta": [1.0, 2.0]}}}


class TestAutoSampler:
    @pytest.mark.parametrize(
        ("changes", "name", "why"),
        [
            ({"optimizers": GRID}, "grid", "each space is a list that fits into the budget"),
            ({"optimizers": GRID, "budget": {"steps": 5}}, "grid", "each space is a list"),
            (
                {"optimizers": GRID, "budget": {"steps": 5, "trials": 5}},
                "tpe",
                "no grid, ecdsep has 6 points for 5 trials",
            ),
            ({"optimizers": GRID, "search": {"repeats": 2}}, "tpe", "several searches"),
            ({}, "tpe", "a grid needs a list of values for every parameter"),
        ],
    )
    def test_auto_sampler_is_grid_if_it_fits_else_tpe(self, changes, name, why):
        budget = {"budget": {"steps": 5, "trials": 6}}
        spec = study(**{"sampler": {"name": "auto"}, **budget, **changes})
        assert spec.sampler.name == name
        assert why in spec.sampler.why

    def test_auto_has_the_fingerprint_of_the_chosen_sampler(self):
        chosen, named = (study(sampler={"name": name}) for name in ("auto", "tpe"))
        assert chosen.fingerprint("sgd") == named.fingerprint("sgd")
        assert not named.sampler.why

    def test_stored_study_keeps_its_chosen_sampler(self):
        changes = {"optimizers": GRID, "budget": {"steps": 5, "trials": 5}}
        spec = study(sampler={"name": "auto"}, **changes)
        stored = spec.identity("ecdsep")["sampler"]
        larger = spec.with_overrides(trials=6)
        assert (spec.sampler.name, larger.sampler.name) == ("tpe", "grid")
        resumed = adopt_sampler(larger, stored)
        assert resumed.fingerprint("ecdsep") == spec.fingerprint("ecdsep")
        assert adopt_sampler(larger, None) is larger
        assert adopt_sampler(study(sampler={"name": "qmc"}), stored).sampler.name == "qmc"

    def test_auto_sampler_has_no_options_and_needs_a_budget(self):
        with pytest.raises(SpecError, match="'auto' takes no options, and there are popsize"):
            study(sampler={"name": "auto", "popsize": 3})
        with pytest.raises(SpecError, match="trials: is missing; it is optional only for a grid"):
            study(sampler={"name": "auto"}, budget={"steps": 5})


class TestFingerprint:
    @pytest.mark.parametrize(
        ("path", "value"),
        [
            (["title"], "another"),
            (["summary"], "another"),
            (["cost"], {"region": "FRA", "tdp_watts": 65, "offset": 1}),
            (["budget", "trials"], 99),
            (["confirmation", "runs"], 99),
            (["confirmation", "references"], False),
            (["search"], {"repeats": 3}),
            (["search"], {"from_best": 7}),  # of no other study
            (["selection"], {"top": 3}),
            (["optimizers", "ecdsep", "title"], "another"),
            (["optimizers", "ecdsep", "references"], [{"label": "x", "params": {"eta": 1.0}}]),
            (["optimizers", "adam"], {"space": {"lr": 0.1}}),
            (["optimizers", "sgd", "space", "lr"], 0.2),
            # A default that is spelled out means the same.
            (["task", "start"], "ones"),
            (["protocol"], "clean"),
        ],
    )
    def test_settings_outside_the_fingerprint(self, path, value):
        assert changed(path, value).fingerprint("ecdsep") == study().fingerprint("ecdsep")

    @pytest.mark.parametrize(
        ("path", "value"),
        [
            (["seed"], 1),
            (["protocol"], "paper"),
            (["search"], {"from_study": "other"}),
            (["task", "n"], 4),
            (["task", "dtype"], "float32"),
            (["budget", "steps"], 21),
            (["budget", "batch"], 2),
            (["sampler"], {"name": "random"}),
            (["sampler", "n_startup_trials"], 3),
            (["confirmation", "steps"], 71),
            (["confirmation", "task"], {}),
            (["optimizers", "ecdsep", "space", "lr"], {"low": 0.1, "high": 2.0}),
            (["optimizers", "ecdsep", "space", "lr"], {"low": 0.1, "high": 1.0, "log": True}),
            (["optimizers", "ecdsep", "space", "eta"], 1.0),
            (["optimizers", "ecdsep", "space", "nu"], 0.1),
        ],
    )
    def test_settings_in_the_fingerprint(self, path, value):
        assert changed(path, value).fingerprint("ecdsep") != study().fingerprint("ecdsep")

    def test_fingerprint_is_equal_in_every_process(self):
        # A stored study lives longer than a process: hash randomization must not matter.
        assert len(study().fingerprint("ecdsep")) == 64
        reordered = {**TABLE, "task": dict(reversed(TABLE["task"].items()))}
        assert parse_study(reordered).fingerprint("ecdsep") == study().fingerprint("ecdsep")


class TestOverrides:
    def test_overrides_change_the_named_values(self):
        spec = study().with_overrides(trials=3, seed=7, optimizers=("sgd",))
        assert (spec.budget.trials, spec.seed, list(spec.optimizers)) == (3, 7, ["sgd"])
        assert spec.budget.steps == 20

    def test_no_overrides_change_nothing(self):
        assert study().with_overrides() == study()

    def test_a_study_is_frozen(self):
        with pytest.raises(ValueError, match="frozen"):
            study().seed = 3


def test_model_can_be_dumped_as_json():
    assert StudySpec.model_dump_json(study()).startswith('{"name":"small"')
