"""Contract of learning tasks whose runs are interrupted, as tests to inherit.

::

    from ecd_tune.testing.contracts import InterruptionContract

    class TestMine(InterruptionContract):
        task = "my_file.py:cnn"
"""

from __future__ import annotations

import random
from collections.abc import Mapping
from dataclasses import replace
from typing import Any, ClassVar

from ecd_tune.objective import Interrupted, Objective
from ecd_tune.objective.training.speed import SPEED_METRICS
from ecd_tune.records import Outcome, RunCost, RunRequest, Scalar, Stage
from ecd_tune.spec import own_study, parse_study

__all__ = ["InterruptionContract"]

_STOPS = 3


class InterruptionContract:
    """Subclass it in a test file and set the attributes.

    Each optimizer runs with the first of its fixed trials, or else its defaults.

    Attributes:
        task: Reference or name of the task.
        options: Of the task.
        optimizers: Keys of optimizers to run it with; or key to the optimizer's table of a study
            file, where it has no default space.
        epochs: Length of a run.
        seed: Chooses where it is interrupted.
    """

    task: ClassVar[str]
    options: ClassVar[Mapping[str, Scalar]] = {}
    optimizers: ClassVar[tuple[str, ...] | Mapping[str, Mapping[str, Any]]] = ("ecdsep", "adamw")
    epochs: ClassVar[int] = 2
    seed: ClassVar[int] = 0

    def run(
        self, optimizer: str, stage: Stage, polls: list[int], handle: _MemoryCheckpoint
    ) -> tuple[Outcome, int]:
        """Run one trial, interrupted so many polls after each start.

        After the first interruption there is an attempt that is paused after an epoch.

        Returns:
            The outcome without cost and speed; and the number of polls of the stop signal in the
            last attempt.

        Raises:
            AssertionError: Never: the last attempt is not interrupted.
        """
        tables = self.optimizers if isinstance(self.optimizers, Mapping) else {}
        table = own_study(
            self.task,
            {optimizer: tables.get(optimizer, {})},
            task={**self.options},
            budget={"steps": self.epochs},
        )
        spec = parse_study(table)
        first = spec.optimizers[optimizer].first
        request = RunRequest(first[0].params if first else {}, 5, stage)
        objective = Objective(spec, optimizer)
        paused = [(-1, replace(request, until=1))] if polls else []
        left = [(after, request) for after in [*polls, -1]]
        for after, attempt in [*left[:1], *paused, *left[1:]] if polls else left:
            asked = 0

            def stop(after: int = after) -> bool:
                nonlocal asked
                asked += 1
                return asked == after

            try:
                (found,) = objective.evaluate([attempt], stop=stop, checkpoints=[handle])
            except Interrupted:
                continue
            if attempt is not request:
                continue
            metrics = {k: v for k, v in found.metrics.items() if k not in SPEED_METRICS}
            return replace(found, cost=RunCost(), metrics=metrics), asked
        raise AssertionError("the last attempt is not interrupted")

    def check(self, optimizer: str, stage: Stage) -> None:
        """Compare a run that was interrupted at random steps with an uninterrupted one."""
        whole, asked = self.run(optimizer, stage, [], _MemoryCheckpoint())
        assert whole.value is not None, f"{optimizer}: the run has no value: {whole.reason}"
        chosen = random.Random(f"{self.seed} {optimizer} {stage}")
        # A later attempt has fewer steps left, and may end before it is interrupted.
        polls = [chosen.randint(2, max(2, asked - 1)) for _ in range(_STOPS)]
        handle = _MemoryCheckpoint()
        parts, _ = self.run(optimizer, stage, polls, handle)
        assert parts == whole, (
            f"{optimizer}, {stage}: interrupted after {polls} steps, paused after an epoch and "
            "continued, the run differs: something that steps change is not saved. Of a model: "
            "keep it whole (run.model, run.keep); of a problem: return it from state_dict; random "
            "numbers: draw them from the global generators, or from one made of run.seed_of(epoch)"
        )
        assert handle.saves, "nothing was saved: the state cannot be written, see the log"

    def test_resumed_search_run_is_bit_equal(self) -> None:
        """Interrupted anywhere and continued, a run gives the same numbers."""
        for optimizer in self.optimizers:
            self.check(optimizer, Stage.SEARCH)

    def test_resumed_confirmation_run_is_bit_equal(self) -> None:
        """Also a run that evaluates on the test data."""
        self.check(next(iter(self.optimizers)), Stage.CONFIRM)


class _MemoryCheckpoint:
    """A place for one checkpoint in memory."""

    def __init__(self) -> None:
        self._data: bytes | None = None
        self.saves = 0

    def load(self) -> bytes | None:
        return self._data

    def save(self, data: bytes) -> None:
        self._data, self.saves = data, self.saves + 1

    def due(self) -> bool:
        return False

    def part(self, name: str) -> _MemoryCheckpoint:
        return _MemoryCheckpoint()

    def clear(self) -> None:
        self._data = None
