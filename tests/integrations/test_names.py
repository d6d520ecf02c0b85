"""The package imports libraries on first use, and names missing ones."""

from __future__ import annotations

import importlib
import subprocess
import sys

import pytest

from ecd_tune import integrations

LIBRARIES = ("lightning", "accelerate", "transformers", "peft")


def test_importing_the_package_imports_no_library():
    code = (
        "import sys, ecd_tune.integrations as i; i.attach_loss; "
        f"print([name for name in {LIBRARIES} if name in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


@pytest.mark.parametrize(
    ("library", "name"), [("lightning", "LossCallback"), ("transformers", "attach_trainer")]
)
def test_missing_library_is_named_with_the_command_that_installs_it(monkeypatch, library, name):
    monkeypatch.setitem(sys.modules, library, None)
    for module in [m for m in sys.modules if m.startswith(f"{library}.")]:
        monkeypatch.setitem(sys.modules, module, None)
    monkeypatch.delitem(sys.modules, f"ecd_tune.integrations.{library}", raising=False)
    with pytest.raises(
        ImportError, match=rf"{library} is not installed; run: pip install '{library}"
    ):
        getattr(integrations, name)


def test_unknown_name_is_an_attribute_error():
    with pytest.raises(AttributeError, match="attach_keras"):
        integrations.attach_keras


def test_public_names_can_be_imported():
    for library in LIBRARIES[:3]:
        pytest.importorskip(library, reason="needs the extra dev-integrations")
    for name in integrations.__all__:
        assert getattr(integrations, name).__module__.startswith("ecd_tune.integrations.")
    assert importlib.import_module("ecd_tune.integrations.accelerate").__all__ == ["attach_loss"]
