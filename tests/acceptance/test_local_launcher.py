"""Local processes satisfy the contract of launchers."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from ecd_tune.launch import Launch, Launcher, make_launcher
from ecd_tune.testing.contracts import LauncherContract


@pytest.mark.usefixtures("preloaded")
class TestLocalLauncher(LauncherContract):
    @pytest.fixture
    def make(self) -> Callable[[Launch], Launcher]:
        return lambda launch: make_launcher("local", launch)
