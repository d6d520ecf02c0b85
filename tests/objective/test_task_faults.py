"""A task that cannot be created: one message with the place, for any exception."""

from __future__ import annotations

from typing import Any

import pytest

from ecd_tune.errors import TaskError
from ecd_tune.objective import Objective, objective
from ecd_tune.records import Stage
from ecd_tune.spec import parse_study

SPEC = parse_study(
    {
        "name": "a",
        "task": {"name": "digits"},
        "budget": {"trials": 1, "steps": 1},
        "optimizers": {"sgd": {"space": {"lr": 0.1}}},
    }
)


@pytest.mark.parametrize(
    "error", [EOFError("Ran out of input"), KeyError("labels"), OverflowError(), MemoryError()]
)
def test_any_exception_becomes_one_message(
    error: Exception, monkeypatch: pytest.MonkeyPatch
) -> None:
    def read(**_: Any) -> Any:
        raise error

    monkeypatch.setattr(objective, "load_attribute", lambda _: read)
    with pytest.raises(TaskError, match=type(error).__name__) as caught:
        Objective(SPEC, "sgd").prepare(Stage.SEARCH)
    assert "'digits' cannot be created" in str(caught.value)
    assert "test_task_faults.py, line" in str(caught.value)
    assert caught.value.__cause__ is error
