"""Predictions for one quadratic basin F = Fmin + F2 |Θ|² and one setting of ECDSep."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from ecd_tune.errors import TheoryError
from ecd_tune.theory._guards import (
    Array,
    Numbers,
    Result,
    as_array,
    require,
    require_range,
)
from ecd_tune.theory.nu_star import (
    coherent_nu,
    orbit_nu,
    paper_nu,
    paper_nu_eq26,
    paper_nu_eq27,
)
from ecd_tune.theory.region_law import RegionLaw
from ecd_tune.theory.rotation import bounce_cosine, effective_eta, measure_exponent

__all__ = ["Basin"]


@dataclass(frozen=True)
class Basin:
    """A quadratic basin and the Hamiltonian's settings; all fields may be arrays that broadcast.

    Symbols: φ = F − F0 (the gap), V = φ^η, 𝓔 = (F_init−F0)^η (s+δE), D = Fmin − F0,
    u = F2|Θ|²/D, x = (F−Fmin)/(F−F0) = u/(1+u), w = V/𝓔. "Algorithm time" is the time in which
    one step takes Δt. Laws hold for constant 𝓔, mixed directions, full batches and small Δt.
    An anisotropic basin has the same laws; where one curvature is needed, take the geometric
    mean of the F2_i. Everything "at the mode" is at the point of eq. 7.

    Attributes:
        n: Dimension, >= 1.
        eta: Concentration exponent η, >= 1.
        F_min: Lowest loss, > F0.
        F0: Loss offset.
        curvature: F2, half the Hessian's eigenvalue, > 0.
        F_init: Loss at the start, > F0.
        s: 1 bounds the region that can be reached, 0 does not.
        delta_energy: δE = |Π_0|², >= 0; s + δE > 0.
    """

    n: Numbers
    eta: Numbers
    F_min: Numbers
    F0: Numbers
    curvature: Numbers
    F_init: Numbers
    s: int = 1
    delta_energy: Numbers = 0.0

    def __post_init__(self) -> None:
        require_range("Basin", "n", self.n, 1.0)
        require_range("Basin", "eta", self.eta, 1.0)
        require_range("Basin", "curvature", self.curvature, 0.0, open_low=True)
        require_range("Basin", "delta_energy", self.delta_energy, 0.0)
        low, offset, start = (as_array(x) for x in (self.F_min, self.F0, self.F_init))
        require(np.isfinite(low + offset + start), "Basin", "these must be finite",
                F_min=low, F0=offset, F_init=start)  # fmt: skip
        require(np.asarray(self.s in (0, 1)), "Basin", "s must be 0 or 1", s=self.s)
        rule = "the formulas need F_min > F0; with F_min = F0 there is no plateau"
        require(low > offset, "Basin", rule, F_min=low, F0=offset)
        rule = "V is undefined at the start; choose F0 below F_init"
        require(start > offset, "Basin", rule, F_init=start, F0=offset)
        rule = "the energy would be 0; s = 0 needs delta_energy > 0"
        total = self.s + as_array(self.delta_energy)
        require(total > 0, "Basin", rule, delta_energy=self.delta_energy)

    # ------------------------------------------------------------------ energy

    @property
    def _n(self) -> Array:
        return as_array(self.n)

    @property
    def _eta(self) -> Array:
        return as_array(self.eta)

    @property
    def _depth(self) -> Array:
        """D = Fmin − F0."""
        return as_array(self.F_min) - as_array(self.F0)

    @property
    def log_energy(self) -> Result:
        """Log 𝓔 = η log(F_init−F0) + log(s+δE)."""
        start = np.log(as_array(self.F_init) - as_array(self.F0))
        return (self._eta * start + np.log(self.s + as_array(self.delta_energy)))[()]

    @property
    def energy(self) -> Result:
        """𝓔; the paper's F_init^η (s+δE) is this for F0 = 0 (§3.1)."""
        return np.exp(self.log_energy)

    @property
    def reachable_gap(self) -> Result:
        """Largest F − F0 that the flow reaches (§3.5): 𝓔^{1/η} for s = 1, infinite for s = 0.

        A bound of the continuum: large steps break it.
        """
        bound = np.exp(np.asarray(self.log_energy) / self._eta)
        return bound[()] if self.s else np.full(bound.shape, np.inf)[()]

    # ------------------------------------------------------------------ mode

    @property
    def _u(self) -> Array:
        return np.asarray((self._n - 1) / (1 + self._n * (self._eta - 1)))

    @property
    def mode_radius_squared(self) -> Result:
        """|Θ*|² of eq. 7: the maximum of the radial density for s = 0."""
        return (self._u * self._depth / as_array(self.curvature))[()]

    @property
    def potential_at_mode(self) -> Result:
        """V* = φ*^η at the point of eq. 7."""
        return np.exp(self._log_potential_at_mode)[()]

    @property
    def _log_potential_at_mode(self) -> Array:
        return np.asarray(self._eta * np.log(self._depth * (1 + self._u)))

    def _w(self, formula: str) -> Array:
        """Return w* = V*/𝓔.

        Args:
            formula: The computed quantity, for the message.
        """
        w = np.exp(self._log_potential_at_mode - self.log_energy)
        if self.s:
            require(
                w < 1,
                formula,
                "the point of eq. 7 is outside the region that s = 1 allows; use "
                "exact_mode_radius_squared, or more energy",
                potential_over_energy=w,
            )
        return np.asarray(w)

    @property
    def exact_mode_radius_squared(self) -> Result:
        """|Θ|² of the maximum of the radial density, with the factor (1−w)^{(n−2)/2} of s = 1.

        It solves (n−1)/u = (η/(1+u)) (n + (n−2) w/(1−w)) below the bound of the region.
        """
        if self.s == 0:
            return self.mode_radius_squared
        formula = "exact_mode_radius_squared"
        require(self._n > 1, formula, "the density has its maximum at 0 for n = 1", n=self.n)
        limit = np.asarray(self.reachable_gap) / self._depth - 1
        require(limit > 0, formula, "V(Fmin) must lie below 𝓔", reachable_gap=self.reachable_gap)
        shape = np.broadcast_shapes(limit.shape, self._n.shape, self._eta.shape)
        low, high = np.zeros(shape), np.broadcast_to(limit, shape)
        for _ in range(200):
            u = 0.5 * (low + high)
            rising = self._radial_slope(u) > 0
            low, high = np.where(rising, u, low), np.where(rising, high, u)
        return (0.5 * (low + high) * self._depth / as_array(self.curvature))[()]

    def _radial_slope(self, u: Array) -> Array:
        """Return (1+u) times u times the derivative of the log radial density in u, times 2."""
        w = np.exp(self._eta * np.log(self._depth * (1 + u)) - self.log_energy)
        pull = self._eta * u * (self._n * (1 - w) + (self._n - 2) * w)
        return np.asarray((self._n - 1) * (1 + u) * (1 - w) - pull)

    # ------------------------------------------------------------------ speed

    @property
    def speed_at_mode(self) -> Result:
        """|Θ̇| = 2√(w(1−sw)) at the mode, in algorithm time: the length of a step is Δt times it.

        It is at most 1 for s = 1.
        """
        w = self._w("speed_at_mode")
        return (2 * np.sqrt(w * (1 - self.s * w)))[()]

    @property
    def hamiltonian_speed_at_mode(self) -> Result:
        """|Θ̇| = 2√(𝓔V(1−sw)) at the mode, in the time of H = VΠ² (eq. 2)."""
        return self.speed_at_mode * self.energy

    @property
    def paper_speed_at_mode(self) -> Result:
        """√(𝓔V*) as printed in (5) and (8): without the factor 2, and for s = 0."""
        return np.exp(0.5 * (self._log_potential_at_mode + self.log_energy))[()]

    # ------------------------------------------------------------------ law

    def gap_law(self, nu: Numbers = 0.0, integrator: str = "sync") -> Any:
        """Return the stationary law of x = (F−Fmin)/(F−F0).

        s = 0: Beta(n/2, (η_eff−1)n/2), with E[x] = 1/η_eff. s = 1: V^{−κ}(1−w)^{n/(1+λ)−1}
        on the allowed region, where λ is 1 for ``sync``.

        Args:
            nu: Chaos strength ν; it matters for Algorithm 1 only.
            integrator: ``"sync"``, whose law is that of the flow, or ``"algorithm1"``.

        Returns:
            A frozen scipy distribution, or a :class:`RegionLaw` with the same methods.
        """
        eta_eff = as_array(effective_eta(self._eta, self._n, nu, integrator))
        if self.s == 0:
            require(
                eta_eff > 1,
                "gap_law",
                "the law cannot be normalised for s = 0 and η_eff = 1; use eta > 1 or s = 1",
                eta_eff=eta_eff,
            )
            from scipy import stats  # takes a second, which no worker is to wait for

            return stats.beta(0.5 * self._n, 0.5 * (eta_eff - 1) * self._n)
        cosine = as_array(1.0 if integrator == "sync" else bounce_cosine(self._n, nu))
        floor = self._eta * np.log(self._depth) - self.log_energy
        require(floor < 0, "gap_law", "V(Fmin) must lie below 𝓔", log_floor=floor)
        kappa = measure_exponent(self._n, nu, integrator)
        return RegionLaw(self._n, kappa, self._eta, self._n / (1 + cosine) - 1, floor)

    def plateau_gap(self, nu: Numbers = 0.0, integrator: str = "sync") -> Result:
        """Return E[F − Fmin], the level at which the loss stays.

        s = 0: D n/((η_eff−1)n − 2); s = 1: by quadrature.

        Args:
            nu: Chaos strength ν; it matters for Algorithm 1 only.
            integrator: ``"sync"`` or ``"algorithm1"``.

        Returns:
            The mean distance from Fmin, in units of the loss.
        """
        law = self.gap_law(nu, integrator)
        if self.s:
            return self._depth * law.expect(lambda x: x / (1 - x))
        excess = (as_array(effective_eta(self._eta, self._n, nu, integrator)) - 1) * self._n
        require(
            excess > 2,
            "plateau_gap",
            "the mean needs (η_eff−1)n > 2; E[1/(F−F0)] = (1−1/η_eff)/(Fmin−F0) always exists",
            **{"(eta_eff - 1) n": excess},
        )
        return (self._depth * self._n / (excess - 2))[()]

    # ------------------------------------------------------------------ ν*, Δt

    def orbit_step(self, lr: Numbers) -> Result:
        """Return α* = Δt v*/|Θ*| = 2πΔt/T: the angle of the orbit at the mode in one step.

        Args:
            lr: Step size Δt, > 0.

        Returns:
            α* in radians.
        """
        lr = require_range("orbit_step", "lr", lr, 0.0, open_low=True)
        return lr * self.speed_at_mode / self._radius("orbit_step")

    def lr_for_orbit_step(self, alpha: Numbers) -> Result:
        """Return the Δt that has α* = ``alpha``; about 0.3 suits Algorithm 1, up to 1 ``sync``.

        Args:
            alpha: α* in radians, > 0.

        Returns:
            Δt.
        """
        alpha = require_range("lr_for_orbit_step", "alpha", alpha, 0.0, open_low=True)
        return alpha * self._radius("lr_for_orbit_step") / self.speed_at_mode

    def _radius(self, formula: str) -> Array:
        require(self._n > 1, formula, "eq. 7 has its mode at 0 for n = 1", n=self.n)
        return np.sqrt(as_array(self.mode_radius_squared))

    def nu_star(self, lr: Numbers, variant: str = "orbit") -> Result:
        """Return ν*, the chaos strength of one bounce per orbit (A.1).

        ``orbit`` keeps the momentum for one radian of the orbit when turns are independent:
        √(expm1(2α*)/n). ``coherent`` is (24)–(25), which adds random angles as if they were
        one turn, with the right speed and the exact angle: tan(α*)/√n. ``paper`` is (24)–(25)
        with the printed speed, ``paper_eq26`` and ``paper_eq27`` as printed.

        Args:
            lr: Step size Δt, > 0.
            variant: One of the five.

        Returns:
            ν*; ``coherent`` is infinite for α* >= π/2.

        Raises:
            TheoryError: The variant is unknown, or one of its assumptions fails.
        """
        lr = require_range("nu_star", "lr", lr, 0.0, open_low=True)
        if variant == "orbit":
            return orbit_nu(self.n, self.orbit_step(lr))
        if variant == "coherent":
            return coherent_nu(self.n, self.orbit_step(lr))
        if variant == "paper":
            return paper_nu(self.n, lr, self._radius("nu_star"), self._w("nu_star"))
        if variant not in ("paper_eq26", "paper_eq27"):
            rule = "the variants are orbit, coherent, paper, paper_eq26 and paper_eq27"
            raise TheoryError(f"nu_star: variant = {variant!r}; {rule}")
        total = self.s + as_array(self.delta_energy)
        rule = "the printed form assumes s + δE = 1, that is 𝓔 = (F_init − F0)^η"
        require(total == 1, f"nu_star, {variant}", rule, **{"s + delta_energy": total})
        if variant == "paper_eq27":
            return paper_nu_eq27(self.n, lr, self.eta, self.F0, self.curvature, self.F_init)
        require(as_array(self.F0) == 0, "nu_star, paper_eq26", "(26) assumes F0 = 0", F0=self.F0)
        return paper_nu_eq26(self.n, lr, self.eta, self.F_min, self.curvature, self.F_init)
