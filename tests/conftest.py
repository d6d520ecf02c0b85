"""Settings of the whole test run."""

import os
import sys
from functools import cache
from pathlib import Path
from types import ModuleType

import alembic.util
import pytest
from hypothesis import settings

from tests.preloaded import preloaded_python

# The same examples on every machine, so that a red run is a change's fault; the other profile
# looks for new ones: HYPOTHESIS_PROFILE=explore make test
settings.register_profile("fixed", derandomize=True, deadline=None)
settings.register_profile("explore", deadline=None, max_examples=500)
settings.load_profile(os.environ.get("HYPOTHESIS_PROFILE", "fixed"))

# Set before torch is imported, and inherited by every command that a test starts. The threads of
# several processes on the same cores wait for one another while they spin: with two processes on
# two cores small networks take ten times as long.
os.environ.setdefault("OMP_NUM_THREADS", "1")


@pytest.fixture
def preloaded(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let processes that are started with ``sys.executable`` be forks, which import nothing."""
    monkeypatch.setattr(sys, "executable", preloaded_python())


_load_file = alembic.util.load_python_file
_load_once = cache(_load_file)


def _load_version_once(folder: str, file: str) -> ModuleType:
    """Alembic compiles and runs all versions of the schema for each database that it looks at."""
    return (_load_once if Path(folder).name == "versions" else _load_file)(folder, file)


alembic.util.load_python_file = _load_version_once
