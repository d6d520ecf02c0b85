"""Each calculation supports consistent numbers and refutes broken ones."""

from __future__ import annotations

from dataclasses import replace
from functools import partial

import numpy as np
import pytest

from ecd_tune.analysis.checks.model import Verdict, combine
from ecd_tune.lab.claims import (
    carbon,
    formulas,
    orders,
    phase_space,
    scaling,
    scans,
    synthetic,
    tables,
    turns,
)
from ecd_tune.lab.claims.networks import NETWORKS
from ecd_tune.lab.claims.printed import Number, read_printed
from ecd_tune.theory import bounce_angle, bounce_cosine, paper_bounce_angle

S, R, Q = Verdict.SUPPORTED, Verdict.REFUTED, Verdict.INCONCLUSIVE
PRINTED = read_printed()


def verdict(findings):
    return combine([finding.verdict for finding in findings])


def change(experiment, optimizer, **fields):
    """Print something else of one optimizer in one experiment."""
    rows = []
    for row in PRINTED.experiments:
        if row.name == experiment:
            result = replace(row.results[optimizer], **fields)
            row = replace(row, results={**row.results, optimizer: result})
        rows.append(row)
    return replace(PRINTED, experiments=tuple(rows))


# ----------------------------------------------------------------------------- tables

GLUE = "average_glue"
MEANS = partial(tables.check_means, experiment="QNLI")


def test_a_mean_is_that_of_its_list():
    right = change("QNLI", "SGD", mean=Number("91.06"))
    assert verdict(MEANS(right)) is S
    assert [f.verdict for f in MEANS(change("QNLI", "SGD", mean=Number("91.07")))] == [S, R, S, S]
    assert verdict(MEANS(change("QNLI", "Adam", runs=(91.49, 91.4, 91.32)))) is R


def test_lists_have_as_many_runs_as_stated():
    assert verdict(tables.check_repeats(PRINTED)) is S
    short = change("MRPC", "AdamW", runs=(91.87, 91.07))
    assert verdict(tables.check_repeats(short)) is R


def test_averages_of_printed_entries():
    assert verdict(tables.check_averages(PRINTED, column="average")) is S
    assert verdict(tables.check_averages(PRINTED, column=GLUE)) is S
    broken = change("RTE", "ECDSep", mean=Number("74.16"))
    assert [f.verdict for f in tables.check_averages(broken, column=GLUE)] == [R, S, S, S]
    broken = change("CIFAR-100", "Adam", mean=Number("80.01"))
    assert [f.verdict for f in tables.check_averages(broken, column="average")] == [S, S, R, S]


def test_averages_of_runs_weigh_glue_as_one_row():
    exact = {
        name: np.mean(
            [
                np.mean(row.results[name].runs)
                for row in PRINTED.experiments
                if row.table != "Table 4"
            ]
            + [np.mean([np.mean(r.results[name].runs) for r in PRINTED.of_table("Table 4")])]
        )
        for name in PRINTED.average
    }
    right = replace(PRINTED, average={k: Number(f"{v:.2f}") for k, v in exact.items()})
    found = tables.check_averages_from_runs(right, column="average")
    assert [f.measured for f in found] == pytest.approx(list(exact.values()))
    assert verdict(found) is S
    off = {**right.average, "SGD": Number(f"{exact['SGD'] + 0.02:.2f}")}
    found = tables.check_averages_from_runs(replace(right, average=off), column="average")
    assert verdict(found) is R
    off = {**PRINTED.average_glue, "ECDSep": Number("83.36")}
    found = tables.check_averages_from_runs(replace(PRINTED, average_glue=off), column=GLUE)
    assert found[0].verdict is R


# ----------------------------------------------------------------------------- orders

LEAD = partial(orders.check_lead, optimizer="ECDSep", over="SGD", experiments=("ogbn-proteins",))


def test_lead_is_confirmed_or_reversed_by_the_runs():
    assert verdict(LEAD(PRINTED)) is S
    swapped = change("ogbn-proteins", "SGD", runs=(86.6, 84.6, 84.3, 83.9, 83.9))
    assert verdict(LEAD(swapped)) is R
    noisy = change("ogbn-proteins", "SGD", runs=(90.0, 50.0, 75.0, 60.0, 70.0))
    assert verdict(LEAD(noisy)) is Q


def test_leads_of_a_table_are_over_the_best_other_in_print():
    found = orders.check_leads(PRINTED, table="Table 3")
    assert [f.statistic for f in found] == ["ECDSep − AdamW"] * 2
    other = change("ogbn-arxiv", "SGD", mean=Number("73.81"))
    assert orders.check_leads(other, table="Table 3")[0].statistic == "ECDSep − SGD"


def test_the_interval_allows_for_the_number_of_comparisons():
    (one,) = LEAD(PRINTED)
    both = orders.check_lead(
        PRINTED, optimizer="ECDSep", over="SGD", experiments=("ogbn-proteins", "ogbn-arxiv")
    )
    assert both[0].high - both[0].low > one.high - one.low


def test_the_highest_average():
    assert verdict(orders.check_average_lead(PRINTED)) is S
    better = tuple(run + 20 for run in PRINTED.experiment("CIFAR-100").results["Adam"].runs)
    assert verdict(orders.check_average_lead(change("CIFAR-100", "Adam", runs=better))) is R


def test_no_gaps():
    check = partial(orders.check_no_gaps, experiment="IN-1K")
    assert len(check(PRINTED)) == 6
    assert verdict(check(PRINTED)) is S
    assert verdict(check(change("IN-1K", "Adam", runs=(60.1, 60.11)))) is R


@pytest.mark.parametrize(("reported", "expected"), [("81.5", S), ("83.5", R), ("82.5", Q)])
def test_better_than_a_reported_number(reported, expected):
    other = replace(PRINTED, reported={"sgd_cifar100": Number(reported)})
    assert verdict(orders.check_reported(other)) is expected


# ----------------------------------------------------------------------------- scans


def test_combinations_are_a_product():
    found = scans.check_combinations(PRINTED, grid="glue")
    assert [f.measured for f in found] == [12, 16, 9, 9]
    right = replace(PRINTED, combinations={"glue": {"SGD": 16, "Adam": 9}})
    assert verdict(scans.check_combinations(right, grid="glue")) is S
    wrong = replace(PRINTED, combinations={"glue": {"SGD": 16, "Adam": 8}})
    assert verdict(scans.check_combinations(wrong, grid="glue")) is R


def test_best_values_are_looked_for_in_the_scan():
    check = partial(scans.check_best_in_scan, lists="B.4")
    assert verdict(check(PRINTED)) is S
    best = {**PRINTED.experiment("ogbn-arxiv").results["SGD"].best, "momentum": 0.93}
    found = check(change("ogbn-arxiv", "SGD", best=best))
    assert [f.verdict for f in found] == [R, S]
    assert "SGD momentum = 0.93" in found[0].case


# ----------------------------------------------------------------------------- Table 5


def table_5(**rows):
    """Change rows of Table 5."""
    scaled = tuple(
        replace(row, **rows.get(row.network.replace("-", "_"), {})) for row in PRINTED.scaling
    )
    return replace(PRINTED, scaling=scaled)


def test_parameter_counts():
    right = table_5(wrn_28_10={"n": Number("37e6")}, resnet18_tiny={"n": Number("11e6")})
    assert verdict(scaling.check_parameter_counts(right)) is S
    wrong = table_5(bert_base={"n": Number("13e7")})
    assert scaling.check_parameter_counts(wrong)[-1].verdict is R


def test_hyperparameters_of_table_5_are_those_of_the_appendix():
    assert verdict(scaling.check_hyperparameters(PRINTED)) is S
    assert verdict(scaling.check_hyperparameters(table_5(bert_base={"nu": Number("5e-5")}))) is R
    assert verdict(scaling.check_hyperparameters(table_5(sage_arxiv={"lr": Number("2.5")}))) is R


def law(exponent):
    """Table 5 with Δt = n^exponent, a factor of 10 less for fine-tuning, and n as counted."""
    rows = []
    for i, row in enumerate(PRINTED.scaling):
        n = NETWORKS[row.network]()
        lr = n**exponent * (0.1 if row.fine_tuned else 1.0) * (1 + 0.02 * (-1) ** i)
        rows.append(replace(row, n=Number(repr(n)), lr=Number(repr(lr))))
    return replace(PRINTED, scaling=tuple(rows))


def test_the_trend_of_the_step_size_is_fitted():
    falling = [f for f in scaling.check_step_size_trend(law(-0.4)) if "dummy" in f.case]
    assert [f.measured for f in falling] == pytest.approx([-0.4, -0.4], abs=0.02)
    assert verdict(falling) is S
    assert verdict([f for f in scaling.check_step_size_trend(law(0.4)) if "dummy" in f.case]) is R
    assert verdict([f for f in scaling.check_step_size_trend(law(0.0)) if "dummy" in f.case]) is Q


def test_the_printed_fit_is_that_of_the_theory():
    slopes = {f.case: f.measured for f in scaling.check_step_size_trend(PRINTED)}
    assert slopes["n as printed, dummy for fine-tuning"] == pytest.approx(-0.320, abs=5e-4)
    assert slopes["n as printed"] == pytest.approx(-0.51, abs=5e-3)


def test_bounces():
    assert verdict(scaling.check_large_bounces(PRINTED)) is S
    assert verdict(scaling.check_right_angles(PRINTED)) is R
    small = replace(PRINTED, large_bounce={"IN-1K": 1e-4})
    assert verdict(scaling.check_large_bounces(small)) is R
    large = replace(PRINTED, large_bounce={"IN-1K": 1.0})
    assert verdict(scaling.check_right_angles(large)) is S
    assert verdict(scaling.check_small_bounces(PRINTED)) is S
    assert verdict(scaling.check_small_bounces(replace(PRINTED, large_bounce={}))) is R


def test_exponents():
    found = {f.case.partition(",")[0]: f for f in scaling.check_exponents(PRINTED)}
    assert [name for name, f in found.items() if f.verdict is R] == [
        "IN-1K", "MNLI", "QQP", "SST-2",
    ]  # fmt: skip
    assert len(found) == 13
    cosine = (1 + 3.419**2) ** -0.5
    assert found["IN-1K"].measured == pytest.approx(2 / (1 + cosine), rel=1e-3)
    large = change("CIFAR-100", "ECDSep", best={"lr": 0.4, "nu": 1e-3})
    assert scaling.check_exponents(large)[0].verdict is R


# ----------------------------------------------------------------------------- B.1


def test_the_tuned_step_leaves_the_basin_and_a_small_one_does_not():
    (tuned,) = synthetic.check_basin_left()
    assert (tuned.measured, tuned.verdict) == (1.0, S)
    (small,) = synthetic.check_basin_left(0.1)
    assert (small.measured, small.verdict) == (0.0, R)


def test_gdm_diverges_with_the_wider_range_and_not_with_the_other():
    assert verdict(synthetic.check_rates_of_gdm()) is S
    (narrow,) = synthetic.check_rates_of_gdm(1e-8, 1e-6)
    assert narrow.verdict is R
    assert narrow.measured > 0.9


def test_one_step_of_first_order_errs_by_the_square():
    assert verdict(phase_space.check_one_step()) is S

    def drift_only(state, s, lr):
        theta, p = np.split(state, 2)
        return np.concatenate([theta + 2 * lr * p / (s + p @ p), p])

    assert verdict(phase_space.check_one_step(drift_only)) is R


# ----------------------------------------------------------------------------- CO₂


def block(**fields):
    first, second = PRINTED.computing
    return replace(PRINTED, computing=(replace(first, **fields), second))


def test_emissions_are_hours_times_power_times_intensity():
    found = carbon.check_emissions(PRINTED)
    assert [f.measured for f in found] == pytest.approx([664.875, 17.136])
    assert verdict(found) is S
    assert verdict(carbon.check_emissions(block(kg=Number("690.2")))) is R
    assert verdict(carbon.check_emissions(block(kg=Number("640.2")))) is R
    assert verdict(carbon.check_emissions(block(kg_per_kwh=Number("0.2500")))) is R


@pytest.mark.parametrize(
    ("quantity", "right", "wrong"),
    [("hours", "11658", "11659"), ("hours_in_paper", "7772", "7672"), ("kg", "683.34", "682.01")],
)
def test_totals(quantity, right, wrong):
    for text, expected in ((right, S), (wrong, R)):
        totals = {**PRINTED.computing_total, quantity: Number(text)}
        other = replace(PRINTED, computing_total=totals)
        assert verdict(carbon.check_sum(other, quantity=quantity)) is expected


# ----------------------------------------------------------------------------- formulas


def test_the_prefactor_must_be_right_in_n_e_and_v():
    assert verdict(formulas.check_prefactor()) is S
    right = formulas.paper_log_measure
    for wrong in (
        lambda n, e, v: right(n, e, v) + np.log(2),
        lambda n, e, v: right(n, e, v) + 0.5 * np.log(e),
        lambda n, e, v: right(n, e, v) + 0.5 * np.log(v),
        lambda n, e, v: right(n + 1, e, v),
    ):
        assert verdict(formulas.check_prefactor(wrong)) is R


def test_concentration_needs_eta_above_one():
    assert [f.verdict for f in formulas.check_concentration((1.0, 1.5, 2.0))] == [R, S, S]
    assert verdict(formulas.check_concentration_above_one()) is S


def test_turn_is_evaluated_in_both_limits():
    assert verdict(turns.check_small_turn(bounce_angle)) is S
    assert verdict(turns.check_small_turn(paper_bounce_angle)) is S
    assert verdict(turns.check_small_turn(lambda n, nu: 1.1 * nu * n**0.5)) is R
    assert verdict(turns.check_large_turn(bounce_cosine)) is S
    assert verdict(turns.check_large_turn(lambda n, nu: bounce_cosine(n, nu) + 0.1)) is R


def test_sensitivity_of_nu_star_is_evaluated():
    assert verdict(turns.check_nu_sensitivity("paper_eq26", 1.0)) is S
    assert verdict(turns.check_nu_sensitivity("paper_eq26", 0.5)) is R
    assert verdict(turns.check_nu_sensitivity("orbit", 0.5)) is S
    assert verdict(turns.check_nu_sensitivity("orbit", 1.0)) is R


def test_flow_follows_the_hamiltonian():
    right = phase_space.paper_flow
    assert verdict(phase_space.check_motion()) is S
    assert verdict(phase_space.check_constant_energy()) is S

    def half_speed(state, s):
        return right(state, s) * np.repeat([0.5, 1.0], 3)

    def slower(state, s):
        return 0.5 * right(state, s)

    def unbounded(state, s):
        return right(state, 0)

    for wrong in (half_speed, slower, unbounded):
        assert verdict(phase_space.check_motion(wrong)) is R
    assert verdict(phase_space.check_constant_energy(half_speed)) is R
    assert verdict(phase_space.check_constant_energy(slower)) is S  # another time, same orbit


def test_start_energy_includes_f0():
    assert [f.verdict for f in formulas.check_start_energy(printed=True)] == [S, R]
    assert verdict(formulas.check_start_energy(printed=False)) is S


def test_step_of_eq_12_conserves_volume():
    assert verdict(phase_space.check_volume(phase_space.kick_drift, 1.0)) is S
    assert verdict(phase_space.check_volume(phase_space.rescaled_kick_drift, 1.0)) is R
    assert verdict(phase_space.check_volume(phase_space.rescaled_kick_drift, 0.0)) is S

    def with_friction(state, s):
        return phase_space.kick_drift(state * np.repeat([1.0, 0.9], 3), s)

    assert verdict(phase_space.check_volume(with_friction, 1.0)) is R
