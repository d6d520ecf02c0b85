"""The compiled step keeps the contract of fused forms."""

from __future__ import annotations

import pytest

from ecd_tune.optim.fused import cpu
from ecd_tune.testing.fused import FusedContract

pytestmark = pytest.mark.skipif(cpu.problem() is not None, reason="there is no compiled step")


class TestCompiled(FusedContract):
    pass
