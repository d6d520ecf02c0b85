"""Claims of §4, §6 and §B about settings: scans, Table 5, CO₂."""

from __future__ import annotations

from functools import partial

from ecd_tune.lab.claims import carbon, scaling, scans
from ecd_tune.lab.claims.model import Claim, ClaimSection
from ecd_tune.lab.claims.stating import by_numbers, by_study

__all__ = ["SECTIONS"]

_ROUNDS = "the exact number rounds to the printed one"
_BELOW = "95 % interval of the slope below 0"

_SCANS = ClaimSection(
    "Scans",
    "Whether the scans of §4 have as many combinations as stated, and the best values of the "
    "appendix are among them.",
    (
        Claim(
            "combinations",
            "§4.4",
            by_numbers(
                "GLUE: 12 combinations for ECDSep, 18 for SGD, 9 each for Adam and AdamW.",
                "equal to the product of the listed values",
                partial(scans.check_combinations, grid="glue"),
            ),
        ),
        *(
            Claim(
                f"scan-{lists.lower().replace('.', '')}",
                f"{section}, {lists}",
                by_numbers(
                    f"{name}: the best hyperparameters were found with the scan.",
                    "none is outside the scan",
                    partial(scans.check_best_in_scan, lists=lists),
                ),
            )
            for lists, section, name in (
                ("B.2", "§4.2", "CIFAR-100 and Tiny ImageNet"),
                ("B.3", "§4.2", "IN-1K"),
                ("B.4", "§4.3", "Graphs"),
                ("B.5", "§4.4", "GLUE"),
            )
        ),
    ),
)

_SCALING = ClaimSection(
    "Table 5: hyperparameters and size",
    "Parameters are counted from the layers of the networks that the paper names; details that it "
    "leaves open (biases of convolutions, heads) follow the authors' public code.",
    (
        Claim(
            "parameters",
            "Table 5",
            by_numbers(
                "200K parameters for the graphs, 12M for both ResNet-18, 56M for WRN-28-10, 110M "
                "for BERT.",
                f"{_ROUNDS}; zeros at its end are not counted",
                scaling.check_parameter_counts,
            ),
            note="The two ResNet-18 differ by their heads, of 1000 and of 200 classes; one number "
            "is given for both, so the count of Tiny ImageNet, 11.3M, is a matter of rounding. "
            "That of WRN-28-10 is not.",
        ),
        Claim(
            "hyperparameters",
            "Table 5",
            by_numbers(
                "Δt, η and ν are the best ones of B.2 to B.5, for BERT their mean over tasks.",
                _ROUNDS,
                scaling.check_hyperparameters,
            ),
        ),
        Claim(
            "step-size",
            "B.6",
            by_numbers(
                "Δt decreases with bigger networks.",
                _BELOW,
                scaling.check_step_size_trend,
            ),
            note="Six tasks of different kinds, whose Δt were selected from different scans: a "
            "trend in this table, not a law.",
        ),
        Claim(
            "step-size-on-studies",
            "B.6",
            by_study(
                "The best Δt falls with n for networks of several widths.",
                "S9",
                "dt-scaling",
            ),
        ),
        Claim(
            "small-bounces",
            "A.1, B.6",
            by_numbers(
                "Training from scratch has small bounces, of about ν√n per step.",
                "angle/ν√n = 1 ± 0.05",
                scaling.check_small_bounces,
            ),
        ),
        Claim(
            "large-bounces",
            "A.1, B.6",
            by_numbers(
                "IN-1K, and BERT with ν = 1e-4, have ν√n ≥ 1.",
                "at least 1",
                scaling.check_large_bounces,
            ),
        ),
        Claim(
            "right-angles",
            "A.1, B.6",
            by_numbers(
                "There the bounce angle is about π/2 in each step.",
                "90° ± 5°",
                scaling.check_right_angles,
            ),
            note="See `right-angle`: the angle is about arctan(ν√n).",
        ),
    ),
)

_CARBON = ClaimSection(
    "CO₂",
    "§6 and B.7. Hours and intensities are printed as approximate; intervals contain all values "
    "that round to them.",
    (
        Claim(
            "emissions",
            "B.7",
            by_numbers(
                "10638 h at 250 W and ~0.25 kg/kWh are 666.2 kg; 1020 h at 70 W and 0.24 kg/kWh "
                "are 17.14 kg.",
                "within what the rounded hours and intensity allow",
                carbon.check_emissions,
            ),
            note="The found value uses the printed numbers; the interval allows for their "
            "rounding.",
        ),
        Claim(
            "emissions-total",
            "§6",
            by_numbers("683.34 kg in total.", _ROUNDS, partial(carbon.check_sum, quantity="kg")),
        ),
        Claim(
            "hours",
            "§6",
            by_numbers("11658 h in total.", _ROUNDS, partial(carbon.check_sum, quantity="hours")),
        ),
        Claim(
            "hours-in-paper",
            "§6",
            by_numbers(
                "7672 h for the experiments in the paper.",
                _ROUNDS,
                partial(carbon.check_sum, quantity="hours_in_paper"),
            ),
        ),
    ),
)

SECTIONS: tuple[ClaimSection, ...] = (_SCANS, _SCALING, _CARBON)
