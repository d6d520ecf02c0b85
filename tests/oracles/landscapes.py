"""Loss functions with their gradients written out in numpy."""

from __future__ import annotations

import numpy as np
from scipy.special import expit


class Zakharov:
    start = np.ones(10)
    _i = np.arange(1, 11)

    def F(self, x, k=0):
        y = 0.5 * self._i @ x
        return x @ x + y**2 + y**4

    def grad(self, x, k=0):
        y = 0.5 * self._i @ x
        return 2 * x + (2 * y + 4 * y**3) * 0.5 * self._i


class Ackley:
    start = np.array([-4.0, 3.0])

    def F(self, x, k=0):
        r = np.sqrt(0.5 * x @ x)
        waves = np.exp(0.5 * np.cos(2 * np.pi * x).sum())
        return -20 * np.exp(-0.2 * r) - waves + np.e + 20 + 1e-8 * (x @ x) ** 4

    def grad(self, x, k=0):
        r = np.sqrt(0.5 * x @ x)
        waves = np.exp(0.5 * np.cos(2 * np.pi * x).sum())
        slope = 4 * np.exp(-0.2 * r) * 0.5 * x / r
        return slope + waves * np.pi * np.sin(2 * np.pi * x) + 8e-8 * (x @ x) ** 3 * x


class Rosenbrock:
    start = np.array([-1.2, 1.0, -0.5, 0.8])

    def F(self, x, k=0):
        return np.sum(100 * (x[1:] - x[:-1] ** 2) ** 2 + (1 - x[:-1]) ** 2)

    def grad(self, x, k=0):
        g = np.zeros_like(x)
        d = x[1:] - x[:-1] ** 2
        g[1:] += 200 * d
        g[:-1] += -400 * d * x[:-1] - 2 * (1 - x[:-1])
        return g


class Logistic:
    """Minibatch logistic regression: batch k of 8 rows out of 64, labels in {-1, 1}."""

    start = np.zeros(6)

    def __init__(self):
        rng = np.random.default_rng(5)
        self._x = rng.normal(size=(64, 6))
        self._y = np.sign(self._x @ rng.normal(size=6) + 0.8 * rng.normal(size=64))

    def _batch(self, k):
        rows = [(8 * k + j) % 64 for j in range(8)]
        return self._x[rows], self._y[rows]

    def F(self, x, k=0):
        X, y = self._batch(k)
        return np.mean(np.logaddexp(0, -y * (X @ x)))

    def grad(self, x, k=0):
        X, y = self._batch(k)
        return -(X.T @ (y * expit(-y * (X @ x)))) / len(y)


LANDSCAPES = {
    "zakharov": Zakharov(),
    "ackley": Ackley(),
    "rosenbrock": Rosenbrock(),
    "logistic": Logistic(),
}
