"""A task and an optimizer for studies, found by the entry points of this package."""

from dataclasses import replace

import ecd_tune as et
from ecd_tune.registry import Hyperparameter, OptimizerDef


@et.task(metric="accuracy", direction="maximize", epochs=10, title="Two moons")
def moons(run):
    """Two half circles with noise, and a network with one hidden layer."""
    import torch.nn.functional as F
    from sklearn.datasets import make_moons
    from torch import nn

    train, val, test = (make_moons(300, noise=0.2, random_state=seed) for seed in range(3))
    run.model(nn.Sequential(nn.Linear(2, 16), nn.Tanh(), nn.Linear(16, 2)))
    run.data(train=train, val=val, test=test, batch_size=50)
    run.loss(lambda model, x, y: F.cross_entropy(model(x), y))
    run.score(lambda model, x, y: (model(x).argmax(1) == y).float())


def make_rprop(params, seed, **hyperparameters):
    """Make torch's Rprop; it draws no random numbers, so that it needs no seed."""
    from torch.optim import Rprop

    return Rprop(params, **hyperparameters)


MOONS = replace(moons.define("my_plugin:moons"), name="moons")
RPROP = OptimizerDef(
    name="rprop",
    title="Rprop",
    factory="my_plugin:make_rprop",
    hyperparameters={
        "lr": Hyperparameter(float, "first step size", low=0.0, low_open=True, default=0.01),
    },
)
