"""Samplers: all by name, resumed bit for bit, a grid once."""

from __future__ import annotations

import pytest

from ecd_tune.errors import SpecError
from ecd_tune.spec import StudySpec
from ecd_tune.store import Store
from ecd_tune.testing.store.fixtures import StoreFixtures
from ecd_tune.testing.store.study import OPTIMIZER, RANGES, complete, make_spec, work

__all__ = ["SamplingContract"]


class SamplingContract(StoreFixtures):
    """Samplers: all by name, resumed bit for bit, a grid once."""

    @pytest.mark.parametrize("sampler", ["random", "tpe", "qmc", "gp", "cmaes"])
    def test_samplers_fill_the_budget_with_distinct_points(
        self, store: Store, sampler: str
    ) -> None:
        """Every sampler by name, past its random start."""
        spec = make_spec(sampler, trials=14)
        store.create(spec)
        while leases := self.ask(store, spec, 4):
            store.tell(complete(leases))
        records = store.trials(spec.key(OPTIMIZER))
        assert [record.number for record in records] == list(range(14))
        assert len({tuple(record.params.items()) for record in records}) == 14

    def test_unknown_sampler_option_names_the_allowed_ones(self, store: Store) -> None:
        """A misspelt option is found when the study is created."""
        spec = make_spec(sampler="tpe")
        wrong = StudySpec.model_validate(
            {**spec.model_dump(exclude={"optimizers", "sampler"}, exclude_unset=True)}
            | {"sampler": {"name": "tpe", "n_startup": 3}}
            | {"optimizers": {OPTIMIZER: {"space": RANGES}}}
        )
        with pytest.raises(SpecError, match=r"n_startup: unknown.*'n_startup_trials'"):
            store.create(wrong)

    @pytest.mark.parametrize("sampler", ["tpe", "qmc", "cmaes"])
    def test_resumed_study_is_bit_equal(self, url: str, sampler: str) -> None:
        """Closed and opened again after every batch, or never: the same trials."""
        runs = []
        for name, reopen in (("whole", False), ("resumed", True)):
            spec = make_spec(sampler, trials=21, name=name)
            store = Store.open(url)
            store.create(spec)
            while leases := self.ask(store, spec, 3):
                store.tell(complete(leases))
                if reopen:
                    store.close()
                    store = Store.open(url)
            records = store.trials(spec.key(OPTIMIZER))
            runs.append([(r.number, dict(r.params), r.value, r.seed) for r in records])
            store.close()
        assert len(runs[0]) == 21
        assert runs[0] == runs[1]

    def test_a_grid_runs_every_point_once(self, store: Store, url: str) -> None:
        """In order, for any worker, and again the rest when the budget was shorter."""
        space = {"lr": [0.1, 0.01, 0.001], "eta": [1.0, 2.0], "s": 1}
        spec = make_spec("grid", trials=4, space=space)
        store.create(spec)
        work(url, spec, 3)
        assert self.search(store, spec).complete == 4
        whole = make_spec("grid", trials=None, space=space)
        store.create(whole)
        work(url, whole, 5)
        records = store.trials(whole.key(OPTIMIZER))
        assert [r.params for r in records] == list(whole.optimizers[OPTIMIZER].space.grid())
        assert [r.seed for r in records] == [whole.search_seed(r.number) for r in records]
