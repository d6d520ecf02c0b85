"""GDM's α and β in torch's SGD, according to the paper's eq. 13."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from ecd_tune.optim.baselines import make_adam, make_adamw, make_gdm
from tests.oracles.algorithm1 import gdm
from tests.oracles.landscapes import LANDSCAPES


@pytest.mark.parametrize(("name", "alpha"), [("zakharov", 1e-6), ("rosenbrock", 1e-4)])
@pytest.mark.parametrize("beta", [0.0, 0.8, 0.95])
def test_gdm_is_eq_13(name, alpha, beta):
    landscape = LANDSCAPES[name]
    expected = gdm(landscape.grad, landscape.start, 100, alpha, beta)
    p = torch.nn.Parameter(torch.from_numpy(landscape.start.copy()))
    optimizer = make_gdm([p], seed=0, lr=alpha, momentum=beta)
    for row in expected:
        p.grad = torch.from_numpy(landscape.grad(p.detach().numpy()))
        optimizer.step()
        np.testing.assert_allclose(p.detach().numpy(), row, rtol=1e-12, atol=1e-12)


def test_lr_multiplies_the_momentum_not_the_gradient():
    """Changing α takes effect on the whole momentum at once, as in eq. 13."""
    p = torch.nn.Parameter(torch.zeros(1, dtype=torch.float64))
    optimizer = make_gdm([p], seed=0, lr=1.0, momentum=0.5)
    p.grad = torch.ones_like(p)
    optimizer.step()
    optimizer.param_groups[0]["lr"] = 10.0
    p.grad = torch.zeros_like(p)
    optimizer.step()
    assert p.item() == -1.0 - 10.0 * 0.5


def test_adam_gets_every_hyperparameter():
    """ε included, which the published search drew but never passed on (D12)."""
    values = {"lr": 0.1, "beta1": 0.8, "beta2": 0.9, "eps": 1e-4, "weight_decay": 0.3}
    values["amsgrad"] = True
    for make in (make_adam, make_adamw):
        group = make([torch.nn.Parameter(torch.ones(1))], seed=0, **values).param_groups[0]
        assert group["betas"] == (0.8, 0.9)
        assert (group["lr"], group["eps"], group["weight_decay"]) == (0.1, 1e-4, 0.3)
        assert group["amsgrad"] is True
