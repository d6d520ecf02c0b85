"""All contracts can be imported from one module, with their own requirements only."""

from __future__ import annotations

import subprocess
import sys

import pytest

from ecd_tune.testing import contracts


@pytest.mark.parametrize("name", contracts.__all__)
def test_each_contract_has_tests_to_inherit(name: str) -> None:
    contract = getattr(contracts, name)
    assert contract.__name__ == name
    assert any(member.startswith("test_") for member in dir(contract))


def test_an_unknown_name_is_an_error() -> None:
    with pytest.raises(AttributeError, match="NoContract"):
        _ = contracts.NoContract


def test_the_stores_contract_needs_no_torch() -> None:
    code = (
        "import sys; from ecd_tune.testing.contracts import StoreContract; "
        "sys.exit('torch' in sys.modules)"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


def test_contract_failures_have_a_message(monkeypatch: pytest.MonkeyPatch) -> None:
    from ecd_tune.registry import TASKS
    from ecd_tune.tasks.digits import DigitsProblem

    class Contract(contracts.TaskContract):
        definition = TASKS.get("digits")

    closure, seen = DigitsProblem.closure, iter(range(100))
    monkeypatch.setattr(
        DigitsProblem, "closure", lambda self, step: closure(self, step) + next(seen)
    )
    with pytest.raises(AssertionError, match="not by one that continues from step to step"):
        Contract().test_closure_can_be_repeated()
