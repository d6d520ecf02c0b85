"""Creating studies: once, by fingerprint, found by name."""

from __future__ import annotations

import pytest

from ecd_tune.errors import FingerprintMismatchError, StudyNotFoundError
from ecd_tune.records import Stage, StudyKey
from ecd_tune.store import Store
from ecd_tune.testing.store.fixtures import StoreFixtures
from ecd_tune.testing.store.study import OPTIMIZER, complete, make_spec

__all__ = ["CreatingContract"]


class CreatingContract(StoreFixtures):
    """Creating studies: once, by fingerprint, found by name."""

    def test_create_is_idempotent(self, store: Store) -> None:
        """A second worker's create changes nothing."""
        spec = make_spec()
        store.create(spec)
        store.create(spec)
        assert store.studies() == ["contract"]
        assert [p.key.stage for p in store.progress("contract")] == [Stage.SEARCH, Stage.CONFIRM]
        assert store.identity(spec.key(OPTIMIZER)) == spec.identity(OPTIMIZER)

    def test_changed_study_file_is_refused_with_the_difference(self, store: Store) -> None:
        """Both create and ask compare fingerprints; the message says what differs."""
        store.create(make_spec())
        other = make_spec(budget={"trials": 6, "steps": 11}, seed=3)
        for call in (lambda: store.create(other), lambda: self.ask(store, other, 1)):
            with pytest.raises(FingerprintMismatchError) as caught:
                call()
            assert "budget.steps: 10 -> 11" in str(caught.value)
            assert "seed: 0 -> 3" in str(caught.value)
        assert not store.trials(make_spec().key(OPTIMIZER))

    def test_larger_budget_is_the_same_study(self, store: Store) -> None:
        """More trials continue where fewer ended."""
        store.create(make_spec(trials=2))
        assert len(self.ask(store, make_spec(trials=2), 10)) == 2
        longer = make_spec(trials=5)
        store.create(longer)
        assert [lease.number for lease in self.ask(store, longer, 10)] == [2, 3, 4]
        assert self.search(store, longer).target == 5

    def test_no_trials_if_the_budget_is_already_exceeded(self, store: Store) -> None:
        """Nor does it change what is there."""
        store.create(make_spec(trials=5))
        store.tell(complete(self.ask(store, make_spec(trials=5), 4)))
        shorter = make_spec(trials=2)
        store.create(shorter)
        assert self.ask(store, shorter, 3) == []
        progress = self.search(store, shorter)
        assert (progress.complete, progress.remaining, progress.target) == (4, 0, 2)

    def test_checks_are_kept_until_the_first_trial(self, store: Store) -> None:
        """Later declarations, and those of other files, change nothing."""
        early, late = make_spec(checks=[{"name": "S1", "F_min": 0.5}]), make_spec()
        key = early.key(OPTIMIZER)
        store.create(make_spec(checks=[{"name": "S2"}]))
        store.create(early)
        assert store.declared(key) == early.checks_of(OPTIMIZER)
        assert len(self.ask(store, late, 1)) == 1
        store.create(late)
        assert store.declared(key) == early.checks_of(OPTIMIZER)

    def test_study_without_checks_declares_none(self, store: Store) -> None:
        """Nor does one whose checks came after its first trial."""
        store.create(make_spec())
        assert store.declared(make_spec().key(OPTIMIZER)) == ()
        self.ask(store, make_spec(), 1)
        store.create(make_spec(checks=[{"name": "S1"}]))
        assert store.declared(make_spec().key(OPTIMIZER)) == ()

    def test_unknown_study_lists_known_studies(self, store: Store) -> None:
        """A wrong name is answered with the right ones."""
        store.create(make_spec())
        with pytest.raises(StudyNotFoundError, match=r"did you mean .contract."):
            store.trials(StudyKey("contrakt", OPTIMIZER))
        assert store.progress("contrakt") == []
