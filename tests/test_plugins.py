"""Packages that register an entry point and fail on import."""

from __future__ import annotations

import logging
import sys
from importlib.metadata import EntryPoint
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from ecd_tune import registry
from ecd_tune.errors import PluginError, SpecError
from ecd_tune.launch import Launch, make_launcher
from ecd_tune.registry import CHECKS, LAUNCHERS, OPTIMIZERS, TASKS, LauncherDef, Registry
from ecd_tune.spec import parse_study


@pytest.fixture(params=[TASKS, OPTIMIZERS, CHECKS, LAUNCHERS], ids=lambda kind: kind.kind)
def kind(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Registry[Any]:
    found: Registry[Any] = request.param
    broken = EntryPoint("broken", "no_such_package_at_all:THING", found.group)
    monkeypatch.setattr(
        registry, "entry_points", lambda group: [broken] if group == found.group else []
    )
    return found


def test_broken_plugin_is_reported_and_others_are_listed(
    kind: Registry[Any], caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.WARNING):
        assert len(list(kind)) == len(kind.names()) - 1
    assert caplog.text.count("no_such_package_at_all cannot be loaded") == 1


def test_using_a_broken_plugin_is_an_error_with_a_remedy(kind: Registry[Any]) -> None:
    with pytest.raises(PluginError, match=r"ModuleNotFoundError: .*uninstall the package"):
        kind.get("broken")


def test_study_with_a_broken_plugin_is_one_message(monkeypatch: pytest.MonkeyPatch) -> None:
    broken = EntryPoint("broken", "no_such_package_at_all:THING", TASKS.group)
    monkeypatch.setattr(registry, "entry_points", lambda group: [broken])
    table = {
        "name": "a",
        "task": {"name": "broken"},
        "budget": {"trials": 1, "steps": 1},
        "optimizers": {"sgd": {"space": {"lr": 0.1}}},
    }
    with pytest.raises((SpecError, PluginError), match="cannot be loaded"):
        parse_study(table)


def test_what_is_no_definition_is_reported(monkeypatch: pytest.MonkeyPatch) -> None:
    for kind in (TASKS, OPTIMIZERS, LAUNCHERS):
        wrong = EntryPoint("wrong", "math:pi", kind.group)
        monkeypatch.setattr(registry, "entry_points", lambda group, wrong=wrong: [wrong])
        with pytest.raises(PluginError, match=r"math:pi is a float; expected a \w+Def of"):
            kind.get("wrong")


def test_an_engine_whose_class_cannot_be_imported_is_reported(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    module = ModuleType("registers_late")
    module.LATE = LauncherDef("late", "", "no_such_package_at_all:Launcher")  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, module.__name__, module)
    late = EntryPoint("late", "registers_late:LATE", LAUNCHERS.group)
    monkeypatch.setattr(registry, "entry_points", lambda group: [late])
    launch = Launch("a", ("zakharov",), "sqlite://", Path("logs"))
    with pytest.raises(PluginError, match=r"'late': no_such_package_at_all:Launcher cannot be"):
        make_launcher("late", launch)
