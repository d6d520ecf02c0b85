"""Claims of §2, §3.2 and §A about the distribution of results: the measure, its mode, η."""

from __future__ import annotations

from functools import partial

from ecd_tune.lab.claims import formulas, phase_space, scaling
from ecd_tune.lab.claims.model import Claim, ClaimSection
from ecd_tune.lab.claims.stating import by_formula, by_numbers, by_study, by_systems, untested

__all__ = ["SECTIONS"]

_MEASURE = ClaimSection(
    "Measure",
    "Correct forms and their derivation: [law](theory.md#law), [Algorithm "
    "1](theory.md#algorithm-1), [virial](theory.md#virial).",
    (
        Claim(
            "prefactor",
            "eq. 4, 16–19",
            by_formula(
                "∫dΠ δ(VΠ² − E) = E^((n−2)/2) π^(n/2)/Γ(n/2) V^(−n/2).",
                "ratio 1 ± 1e-6",
                formulas.check_prefactor,
            ),
            note="Compared with the derivative in E of the volume of the ball VΠ² < E.",
        ),
        Claim(
            "law",
            "§2, eq. 4",
            by_systems(
                "For s = 0 results are distributed as μ(Θ) ∝ V^(−n/2) ∝ (F − F0)^(−ηn/2).",
                "C04",
                "C05",
            ),
            note="Tested on quadratic basins with `sync`, the second-order integrator of "
            "ecd_tune, at small Δt and several ν.",
        ),
        Claim(
            "law-on-studies",
            "§2, eq. 4",
            by_study(
                "On recorded trials of different η, E[1/(F − F0)] = (1 − 1/η)/(Fmin − F0), as (4) "
                "has it.",
                "S2",
                "eta-scaling",
            ),
            note="S2 uses η_eff for Algorithm 1 (see `law-discrete`).",
        ),
        Claim(
            "law-any-loss",
            "abstract, eq. 4",
            by_systems(
                "The distribution is under analytic control for generic problems with no symmetry.",
                "C05",
                "C19",
            ),
            note="C05 has different curvatures, C19 a logistic loss, where a virial relation that "
            "(4) implies is measured. C19 has Algorithm 1 with its own exponent (see "
            "`law-discrete`).",
        ),
        Claim(
            "law-discrete",
            "§3.2",
            by_systems(
                "With enough chaos, the continuum's distribution holds to a very good "
                "approximation for the discrete dynamics.",
                "N03",
                "N11",
            ),
            by_systems(
                "Algorithm 1 samples the law of η_eff = (2η/(1+λ))(1 − (1−λ)/n), λ = E[cos α].",
                "C07",
                "C08",
            ),
            "Tested at ν√n = 3, where turns are large. It depends on ν√n: for many parameters "
            "η_eff/η is 1.002 at 0.1, 1.02 at 0.3, 1.06 at 0.5, 1.17 at 1 and 1.52 at 3 "
            "(`law-in-its-runs` has the paper's values). The difference comes from rescaling and "
            "turning a Π that is half a step earlier or later, not from (12).",
        ),
        Claim(
            "law-in-its-runs",
            "§3.2, Table 5",
            by_numbers(
                "It holds in the paper's runs: their Algorithm 1 has the exponent of (4).",
                "η_eff/η = 1 ± 0.05",
                scaling.check_exponents,
            ),
            note="By run: η_eff as in `law-discrete`, with n as counted and the best ν of B.2 "
            "to B.5. MNLI, QQP and SST-2 ran at ν = 1e-4, the other tasks of GLUE at 1e-5; "
            "Table 5 has their mean.",
        ),
        Claim(
            "law-s1",
            "eq. 4, 26",
            by_systems("The measure (4), with its mode (7), also serves for s = 1.", "N05"),
            by_systems("For s = 1, μ ∝ V^(−n/2) (1 − V/𝓔)^((n−2)/2) on V < 𝓔.", "C06"),
            '§2 derives (4) for s = 0; §A.1 puts its mode into (26) "for F0 = 0, s = 1", and the '
            "paper's runs have s = 1. Tested where V is not far below 𝓔; for the rest see "
            "`regularised`.",
        ),
        Claim(
            "regularised",
            "§3.1",
            by_formula(
                "s = 1 does not change the dynamics in the regions where V ≪ 𝓔.",
                "ratio 1 ± 0.01",
                formulas.check_region_far_below,
            ),
            note="Compares the exact mode for s = 1 with (7).",
        ),
        Claim(
            "mode",
            "eq. 7",
            by_systems(
                "The radial integrand has its peak at Θ*² = (Fmin−F0)(n−1)/(F2(1+n(η−1))).", "C09"
            ),
        ),
        Claim(
            "mode-depth",
            "§2, eq. 7",
            by_systems("Θ*² is proportional to Fmin − F0, so that F0 near Fmin lowers it.", "C18"),
            note="The plateau of the loss falls as Θ*² does if Δt is tuned again; with the old Δt "
            "the slower motion may not reach it.",
        ),
        Claim(
            "concentration",
            "§2, eq. 3, 7",
            by_formula(
                "For any η ≥ 1 the measure is concentrated about the peak (7).",
                "mass ratio 1 ± 0.01 at η = 1, 1.5 and 2",
                partial(formulas.check_concentration, (1.0, 1.5, 2.0)),
            ),
            by_formula(
                "For η > 1 it is; at η = 1 and s = 0 its mass grows as log|Θ| without limit.",
                "mass ratio 1 ± 0.01 at η = 1.5 and 2; equal mass in equal steps of log|Θ| at 1",
                formulas.check_concentration_above_one,
            ),
            "The paper's runs with η = 1 have s = 1, whose region is bounded.",
        ),
        Claim(
            "growth-with-n",
            "§2, eq. 7, 8",
            by_formula(
                "At η = 1, Θ* and its speed grow strongly with n; η > 1 removes this growth.",
                "exponents in n ± 0.01",
                formulas.check_growth_with_n,
            ),
        ),
        Claim(
            "volume",
            "§3.2, eq. 12",
            by_formula(
                "(12) conserves phase-space volume exactly.",
                "determinant 1 ± 1e-6",
                partial(phase_space.check_volume, phase_space.kick_drift, 1.0),
            ),
            by_formula(
                "With the rescale of §3.3, Algorithm 1's default, a step maps onto the energy "
                "surface: its determinant is 0.",
                "determinant 0 ± 1e-6",
                partial(phase_space.check_volume, phase_space.rescaled_kick_drift, 0.0),
            ),
        ),
    ),
)

_ETA = ClaimSection(
    "η and the loss",
    "Correct forms and their derivation: [η and F0](theory.md#η-and-f0).",
    (
        Claim(
            "eta-lowers-loss",
            "§2, §3.6",
            by_systems("With Fmin > F0, a larger η lowers the loss.", "C16", "C15"),
            note="C16 fits the plateau over η from 1.25 to 4, C15 compares it with the mean of "
            "(4).",
        ),
        Claim(
            "eta-at-the-floor",
            "§2",
            by_systems(
                "With Fmin = F0 the motion dies away near the minimum, the more so the larger η.",
                "C17",
            ),
            note="C17 has a power of the number of steps, N^(−1/(η−1)), which is slower for a "
            "larger η. N10 tests whether a larger η lowers the loss here too; the paper does not "
            "claim it.",
        ),
        Claim(
            "eta-on-studies",
            "§2",
            by_study(
                "The same on recorded trials: with Fmin > F0, a larger η lowers the loss.",
                "S1",
                "eta-scaling",
            ),
        ),
        Claim(
            "fig-2-loss",
            "Fig. 2, §4.2",
            untested(
                "CIFAR-100: the training loss falls monotonically with η, up to η = 4.",
                "Needs 300 epochs of WRN-28-10 for each η; the study `cifar100-eta` runs them, "
                "and its report compares the losses. The figure prints no numbers.",
            ),
            note="`eta-lowers-loss` is the same claim on exact systems.",
        ),
        Claim(
            "fig-2-accuracy",
            "Fig. 2, §4.2",
            untested(
                "Plain test accuracy is best at η = 2.5, that of the averaged network at η = 1.",
                "As for `fig-2-loss`. The paper has one run of each η.",
            ),
        ),
    ),
)

SECTIONS: tuple[ClaimSection, ...] = (_MEASURE, _ETA)
