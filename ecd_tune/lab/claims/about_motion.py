"""Claims of §2, §3 and §A about how it moves: speed, energy, turns, ν*, F0."""

from __future__ import annotations

from functools import partial

from ecd_tune.lab.claims import formulas, phase_space, synthetic, turns
from ecd_tune.lab.claims.model import Claim, ClaimSection
from ecd_tune.lab.claims.stating import by_formula, by_study, by_systems, untested

__all__ = ["SECTIONS"]

_SPEED = ClaimSection(
    "Speed and energy",
    "Correct forms and their derivation: [speed](theory.md#speed), [energy "
    "error](theory.md#energy-error).",
    (
        Claim(
            "motion",
            "eq. 9–11",
            by_formula(
                "(11) are the equations of motion of (9) for s = 0 and of (10) for s = 1.",
                "difference 0 ± 1e-8",
                phase_space.check_motion,
            ),
        ),
        Claim(
            "speed",
            "eq. 2, 5, 8, 20",
            by_systems("H = VΠ² = Θ̇²/V, so that Θ̇² = E V.", "N01"),
            by_systems("Θ̇ = ∂H/∂Π = 2VΠ, so that Θ̇² = 4EV.", "C10"),
            "The update rules (11) and (12) have the factor. It cancels if (8) is compared with "
            "itself, for example at two values of F0.",
        ),
        Claim(
            "speed-depth",
            "§2, eq. 7, 8",
            by_formula(
                "The speed at Θ* grows as (Fmin−F0)^(η/2), Θ*² only linearly.",
                "exponents ± 1e-9",
                formulas.check_powers_of_depth,
            ),
            note="At fixed E.",
        ),
        Claim(
            "speed-kept",
            "§2, eq. 8",
            by_formula(
                "A larger η pushes Θ* to the optimum while the speed is maintained.",
                "ratio of |Θ*|² ≤ 1, of the speed ≥ 1",
                formulas.check_speed_kept,
            ),
            by_formula(
                "In the time of the algorithm, in which a step takes Δt, the speed at Θ* is "
                "2(φ*/φ_init)^(η/2), φ = F − F0: it falls exponentially with η.",
                "2(φ*/φ_init)^(η/2) ± 1e-9",
                formulas.check_speed_in_steps,
            ),
            "The printed form is tested in the time of (2), for Fmin − F0 = 1; the paper asks for "
            "|F − F0| ≳ 1. The algorithm integrates log H, whose time runs 𝓔 times slower, and 𝓔 "
            "grows with η too: at a fixed number of steps, Δt has to be tuned again.",
        ),
        Claim(
            "region",
            "§3.1, §3.5",
            by_systems("s = 1 explores only F − F0 ≤ (F_init − F0)(1 + δE)^(1/η).", "C12", "N09"),
            by_systems("It holds for small Δt.", "C12"),
            "This is a bound of the flow. The paper states it for the algorithm without a "
            "condition on Δt.",
        ),
        Claim(
            "energy-order",
            "§3.3",
            by_formula(
                "The energy error of (12) is of order Δt², read as that of one step.",
                "exponent 2 ± 0.05",
                phase_space.check_one_step,
            ),
            by_systems(
                "Over a fixed time it is of order Δt for Algorithm 1, and Δt² for `sync`.",
                "C03",
                "C02",
            ),
            "The measured quantity is |log H − log 𝓔| with Θ and Π of the same index, without "
            "rescale and turns; over a fixed time its maximum. (12) is a scheme of first order: a "
            "step "
            "errs by Δt², and the errors of 1/Δt steps add up to Δt. N02 has Δt² over a fixed "
            "time refuted.",
        ),
        Claim(
            "energy-constant",
            "§3.1",
            by_formula(
                "𝓔 = (F−F0)^η (Π² + s) is exactly constant along the flow (11).",
                "d log 𝓔/dt = 0 ± 1e-8",
                phase_space.check_constant_energy,
            ),
        ),
        Claim(
            "energy-start",
            "§3.1",
            by_formula(
                "With |Π_0|² = δE the energy is 𝓔 = F_init^η (s + δE).",
                "ratio 1 ± 1e-9 at F0 = 0 and 0.5",
                partial(formulas.check_start_energy, printed=True),
            ),
            by_formula(
                "It is 𝓔 = (F_init − F0)^η (s + δE), which is equal for F0 = 0.",
                "ratio 1 ± 1e-9 at F0 = 0 and 0.5",
                partial(formulas.check_start_energy, printed=False),
            ),
            "A typing error: Algorithm 1 has F0, and the paper's experiments have F0 = 0.",
        ),
        Claim(
            "energy-bounded",
            "§3.1",
            by_systems("The discrete 𝓔 oscillates by an amount that Δt controls.", "C03"),
        ),
        Claim(
            "rescale-skipped",
            "§3.3",
            untested(
                "With full batches the rescale can be skipped.",
                "The paper does not say what may be lost.",
            ),
            by_study("With full batches too, values are better with it.", "S10", "rescaling-full"),
        ),
        Claim(
            "rescale-minibatches",
            "§3.3",
            by_study("With minibatches the rescale performs well.", "S10", "rescaling"),
            note="Read as: better than without it.",
        ),
        Claim(
            "theorem-1",
            "Thm. 1",
            untested(
                "The evolution never stops where V ≠ 0 and V ≠ E/s.",
                "A finite number of steps cannot decide whether one of them is exactly 0; the "
                "conclusion from it is tested in `local-basin`.",
            ),
        ),
        Claim(
            "local-basin",
            "§3.5, B.1, eq. 29",
            by_systems(
                "So it leaves local minima: here the basin of Ackley's function about (−4, 3), "
                "with s = 1 and δE = 0 as in B.1.",
                "N13",
            ),
            by_formula(
                "At the tuned Δt, that of the public code's best trial, it does leave the basin.",
                "at least half of 64 chains leave in 250 steps, exact binomial 95 % interval",
                synthetic.check_basin_left,
            ),
            "The printed form is tested at Δt = 0.1 and η = 2; it is refuted for Δt ≤ 0.3. An "
            "orbit that does not stop need not leave: with δE = 0 it starts at rest on the edge "
            "of its reachable region, in its own basin. Theorem 1 is not touched. At the tuned Δt "
            "the bound of the "
            "flow does not hold (`region`).",
        ),
    ),
)

_TURNS = ClaimSection(
    "Turns and ν*",
    "Correct forms and their derivation: [turns](theory.md#turns), [ν*](theory.md#ν).",
    (
        Claim(
            "small-turns",
            "§3.2, A.1",
            by_formula(
                "Where ν√n ≪ 1 the momentum turns by about ν√n.",
                "angle/ν√n = 1 ± 0.01 for ν√n ≤ 0.1",
                turns.check_small_turn,
            ),
        ),
        Claim(
            "large-turns",
            "A.1",
            by_formula(
                "For large ν²n the expected cosine is near 0.",
                "0 ± 0.02 for ν√n ≥ 100",
                turns.check_large_turn,
            ),
        ),
        Claim(
            "right-angle",
            "§3.2",
            by_systems("The angle is ν√n up to ν√n = 1, and π/2 above.", "N06"),
            by_systems("E[cos α] = λ(n, ν), near (1+ν²n)^(−1/2): about arctan(ν√n).", "C01"),
            "Tested at ν√n = 1. `small-turns` and `large-turns` are the limits.",
        ),
        Claim(
            "noise-moment",
            "A.1",
            by_formula(
                "The components of z have E[z_i z_j] = n δ_ij.",
                "n ± 1e-9",
                turns.check_noise_moment,
            ),
            by_formula(
                "E[z_i z_j] = δ_ij, and E|z|² = n, so that ν√n sets the angle as stated.",
                "n ± 1e-9",
                turns.check_noise_norm,
            ),
            "A typing error: the angle ν√n that follows in the paper is that of δ_ij.",
        ),
        Claim(
            "nu-star-algebra",
            "eq. 24–27",
            by_formula(
                "(26) and (27) are (24)–(25) with (7) and (8) substituted, for n ≫ 1.",
                "ratio 1 ± 1e-3",
                turns.check_nu_star_algebra,
            ),
            by_systems("With the speed that (11) gives, (24)–(25) are twice (26) and (27).", "C13"),
        ),
        Claim(
            "nu-star",
            "A.1, eq. 26",
            by_systems(
                "The required chaos is one bounce per orbit, ν* of (26); read as: it minimises "
                "the autocorrelation time of θ_i².",
                "N07",
                "N08",
            ),
            by_systems(
                "The ν that decorrelates fastest is near √(expm1(2α*)/n), α* = Δt|Θ̇*|/|Θ*|.",
                "C14",
            ),
            "It depends on Δt. (25) adds random angles as if they were one turn; independent turns "
            "multiply their cosines. The optimum is flat.",
        ),
        Claim(
            "nu-star-eta",
            "A.1, eq. 26",
            by_formula(
                "For small Fmin/F_init, ν* depends exponentially on η, as (Fmin/F_init)^(η/2).",
                "exponent ± 10 %",
                partial(turns.check_nu_sensitivity, "paper_eq26", 1.0),
            ),
            by_formula(
                "√(expm1(2α*)/n) depends on it as (Fmin/F_init)^(η/4) while α* ≪ 1.",
                "exponent ± 10 %",
                partial(turns.check_nu_sensitivity, "orbit", 0.5),
            ),
            "The printed form is tested as a property of (26).",
        ),
        Claim(
            "nu-star-on-studies",
            "A.1, eq. 26",
            by_study(
                "On recorded trials the best ν is near ν*.",
                "S5",
                "nu-star",
            ),
            note="S5 compares with √(expm1(2α*)/n); the loss is often flat in ν.",
        ),
    ),
)

_F0 = ClaimSection(
    "F0 and weight decay",
    "§3.4 and §A.2 describe options that the paper's experiments do not use.",
    (
        Claim(
            "self-tuning",
            "A.2",
            untested(
                "Algorithm 2 finds F0 when it starts too high, since a step then makes V negative.",
                "The paper calls it preliminary and runs no experiment with it; "
                "`ECDSepF0` follows it.",
            ),
        ),
        Claim(
            "decoupled-decay",
            "§3.4",
            untested(
                "Decay outside the loss changes E, the L² term of (15) does not.",
                "(15) is part of F, so tests of F include it; no check compares it with the "
                "decoupled form yet.",
            ),
        ),
    ),
)

SECTIONS: tuple[ClaimSection, ...] = (_SPEED, _TURNS, _F0)
