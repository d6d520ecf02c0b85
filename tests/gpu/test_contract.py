"""On a GPU the kernels satisfy the contract of fused forms; interpreted they take an hour."""

from __future__ import annotations

import pytest
import torch

from ecd_tune.testing.fused import FusedContract

pytestmark = pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU")


class TestKernels(FusedContract):
    device = "cuda"
