"""One study's trials in memory, in the form in which samplers and pruners read them."""

from __future__ import annotations

from bisect import insort
from collections.abc import Container, Iterator, Sequence
from typing import Any

from optuna.distributions import BaseDistribution
from optuna.storages import BaseStorage
from optuna.study import StudyDirection
from optuna.study._frozen import FrozenStudy
from optuna.trial import FrozenTrial, TrialState

__all__ = ["BEST", "BestTrials", "MemoryStorage", "frozen_trial"]

_ONLY_STUDY = 0
_SHOWN = frozenset(state for state in TrialState if state is not TrialState.WAITING)

BEST = 25
"""Best trials that a bounded history keeps: as many as TPE ever takes for the good ones."""


def frozen_trial(number: int, state: TrialState, **parts: Any) -> FrozenTrial:
    """Return a trial whose id is its number.

    Args:
        number: Trial number.
        state: Its state.
        **parts: Any of params, distributions, system_attrs, intermediate_values, values.

    Returns:
        Optuna's record.
    """
    return FrozenTrial(
        trial_id=number,
        number=number,
        state=state,
        value=None,
        values=parts.get("values"),
        datetime_start=None,
        datetime_complete=None,
        params=parts.get("params", {}),
        distributions=parts.get("distributions", {}),
        user_attrs={},
        system_attrs=parts.get("system_attrs", {}),
        intermediate_values=parts.get("intermediate_values", {}),
    )


class BestTrials:
    """The best complete trials of a study; ties are broken by the lower number.

    Args:
        direction: Whether small or large values are good.
        size: How many are kept.
    """

    def __init__(self, direction: StudyDirection, size: int = BEST) -> None:
        self._sign = 1.0 if direction is StudyDirection.MINIMIZE else -1.0
        self._size = size
        self._ranked: list[tuple[float, int, FrozenTrial]] = []

    def __iter__(self) -> Iterator[FrozenTrial]:
        return (trial for _, _, trial in self._ranked)

    def add(self, trial: FrozenTrial) -> None:
        """Take a trial that has become complete.

        Args:
            trial: The trial, with its value; each must be added once.
        """
        if trial.value is not None:
            insort(self._ranked, (self._sign * trial.value, trial.number, trial))
            del self._ranked[self._size :]


class MemoryStorage(BaseStorage):
    """One study in memory; a trial's id is its number, so that ids agree between processes.

    Optuna's own InMemoryStorage copies every trial deeply on its way in and numbers trials by
    the order of their arrival; a view needs neither. For one thread at a time.

    Args:
        name: Name of the study.
        direction: Its direction.

    Attributes:
        trials: All trials by number.
        seen: Those that samplers are to see, by number; None for all.
    """

    def __init__(self, name: str, direction: StudyDirection) -> None:
        self._name, self._direction = name, direction
        self.trials: list[FrozenTrial] = []
        self.seen: list[FrozenTrial] | None = None
        self.study_attrs: dict[str, Any] = {}
        self.changed_study_attrs: dict[str, Any] = {}

    # Methods with which samplers write.

    def create_new_trial(self, study_id: int, template_trial: FrozenTrial | None = None) -> int:
        """Append a provisional running trial."""
        number = len(self.trials)
        self.trials.append(frozen_trial(number, TrialState.RUNNING))
        if self.seen is not None:
            self.seen.append(self.trials[number])
        return number

    def set_trial_param(
        self,
        trial_id: int,
        param_name: str,
        param_value_internal: float,
        distribution: BaseDistribution,
    ) -> None:
        """Set a parameter."""
        trial = self.trials[trial_id]
        trial.params[param_name] = distribution.to_external_repr(param_value_internal)
        trial.distributions[param_name] = distribution

    def set_trial_system_attr(self, trial_id: int, key: str, value: Any) -> None:
        """Set an attribute of a trial."""
        self.trials[trial_id].system_attrs[key] = value

    def set_study_system_attr(self, study_id: int, key: str, value: Any) -> None:
        """Note something with the study; the caller stores what has changed."""
        self.study_attrs[key] = value
        self.changed_study_attrs[key] = value

    # Methods with which samplers read.

    def get_all_trials(
        self, study_id: int, deepcopy: bool = True, states: Container[TrialState] | None = None
    ) -> list[FrozenTrial]:
        """Return trials by number; never a waiting one, or ``Study.ask`` would take it."""
        if states is None:
            wanted = _SHOWN
        else:
            wanted = frozenset(state for state in _SHOWN if state in states)
        # Asked for at every draw, by Study.ask for waiting trials: nothing to look through for.
        trials = self.trials if self.seen is None else self.seen
        return [trial for trial in trials if trial.state in wanted] if wanted else []

    def get_trial(self, trial_id: int) -> FrozenTrial:
        """Return one trial."""
        return self.trials[trial_id]

    def get_study_system_attrs(self, study_id: int) -> dict[str, Any]:
        """Return what samplers noted with the study."""
        return self.study_attrs

    def get_study_user_attrs(self, study_id: int) -> dict[str, Any]:
        """Return nothing: no sampler reads them."""
        return {}

    def get_study_id_from_name(self, study_name: str) -> int:
        """Return the only study."""
        return _ONLY_STUDY

    def get_study_name_from_id(self, study_id: int) -> str:
        """Return the study's name."""
        return self._name

    def get_study_directions(self, study_id: int) -> list[StudyDirection]:
        """Return the one direction."""
        return [self._direction]

    def get_all_studies(self) -> list[FrozenStudy]:
        """Return the only study."""
        return [
            FrozenStudy(self._name, self._direction, {}, self.study_attrs, study_id=_ONLY_STUDY)
        ]

    # Methods that samplers do not call on a view.

    def create_new_study(
        self, directions: Sequence[StudyDirection], study_name: str | None = None
    ) -> int:
        """Raise: a view contains one study."""
        raise NotImplementedError

    def delete_study(self, study_id: int) -> None:
        """Refuse: a view is not where studies end."""
        raise NotImplementedError

    def set_study_user_attr(self, study_id: int, key: str, value: Any) -> None:
        """Refuse: it would be lost."""
        raise NotImplementedError

    def set_trial_state_values(
        self, trial_id: int, state: TrialState, values: Sequence[float] | None = None
    ) -> bool:
        """Refuse: trials end in the database."""
        raise NotImplementedError

    def set_trial_intermediate_value(
        self, trial_id: int, step: int, intermediate_value: float
    ) -> None:
        """Refuse: it would be lost."""
        raise NotImplementedError

    def set_trial_user_attr(self, trial_id: int, key: str, value: Any) -> None:
        """Refuse: it would be lost."""
        raise NotImplementedError
