"""S5 and S9 to S12: the best values and their dependence on settings."""

from __future__ import annotations

import json
import math
from dataclasses import replace

import numpy as np
import pytest

from ecd_tune.analysis.checks import CHECKS, Verdict
from ecd_tune.analysis.checks.conservation import superiority
from ecd_tune.analysis.checks.edges import place_in_range
from ecd_tune.lab.searches import Bowl, exact_search, search_spec
from ecd_tune.measurements import PREFIX
from ecd_tune.records import TrialState
from ecd_tune.space import Choice, Float, Int
from ecd_tune.theory import Basin

S, R, Q = Verdict.SUPPORTED, Verdict.REFUTED, Verdict.INCONCLUSIVE


def run(check, data, **options):
    return CHECKS.get(check).run(replace(data, options=options))


def changed(data, change):
    """Change every trial: ``change(number, params, metrics)`` returns the new value, or None."""
    records = []
    for number, record in enumerate(data.records):
        params, metrics = dict(record.params), dict(record.metrics)
        value = change(number, params, metrics)
        state = TrialState.COMPLETE if value is not None else TrialState.FAIL
        records.append(replace(record, params=params, metrics=metrics, value=value, state=state))
    return replace(data, records=records)


# S5


def ladder(exponent, curvature=1.0, levels=5, values=9, noise=0.02, factor=1.0):
    """A ladder of ν at each Δt, whose loss is least at ``factor`` ν* (Δt/0.1)^(exponent-½)."""
    data = exact_search(Bowl("sync", trials=levels * values))
    basin = Basin(50, 2.0, 1.0, 0.0, 1.0, 21.0, 0, 1.0)
    rng = np.random.default_rng(0)
    sizes = np.geomspace(0.02, 0.3, levels)
    best = factor * float(basin.nu_star(sizes[0])) * (sizes / sizes[0]) ** exponent

    def change(number, params, metrics):
        level, rung = divmod(number, values)
        nu = best[level] * np.geomspace(0.1, 10.0, values)[rung]
        del params["nu_sqrt_n"]
        params |= {"lr": float(sizes[level]), "eta": 2.0, "nu": float(nu)}
        metrics["resolved_nu"] = float(nu)
        bend = curvature * math.log(nu / best[level]) ** 2
        return math.exp(0.1 * bend + noise * rng.standard_normal())

    return changed(data, change)


KNOWN = {"F_min": 1.0, "curvature": 1.0}


@pytest.mark.parametrize(("exponent", "verdict"), [(0.55, S), (1.0, R), (0.1, R)])
def test_s5_finds_the_exponent_of_the_best_nu(exponent, verdict):
    result = run("S5", ladder(exponent), **KNOWN)
    assert result.verdict is verdict
    assert result.findings[0].measured == pytest.approx(exponent, abs=0.05)
    assert result.findings[0].samples == 45


def test_s5_compares_with_nu_star():
    far = run("S5", ladder(0.55, factor=0.05), **KNOWN)
    assert far.findings[0].verdict is S
    assert far.findings[1].measured < 0.1
    assert far.verdict is Q
    unknown = run("S5", ladder(0.55))
    assert unknown.verdict is Q
    assert "needs F_min and curvature" in unknown.findings[1].note


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        (ladder(0.55, curvature=0.0), "flat in ν, or best at an end of the range"),
        (ladder(0.55, curvature=-1.0), "flat in ν, or best at an end of the range"),
        (ladder(0.55, values=7), "fewer than 8 values of ν at this Δt"),
    ],
)
def test_s5_skips_levels_without_an_optimum(data, reason):
    (found,) = run("S5", data, **KNOWN).findings
    assert found.verdict is Q
    assert found.excluded[reason] > 0
    assert "mostly flat in ν" in found.note


def test_s5_needs_five_levels():
    (found,) = run("S5", ladder(0.55, levels=4), **KNOWN).findings
    assert found.verdict is Q
    assert "needs 5 levels of Δt with an optimum of ν inside, has 4" in found.note
    assert found.needed == 45


def test_s5_evaluates_each_setting_separately():
    """Settings that differ in a hyperparameter of no interest to the law are still two."""
    one, two = ladder(0.55), ladder(1.0)
    marked = [
        replace(record, params={**record.params, "weight_decay": decay})
        for data, decay in ((one, 0.0), (two, 0.25))
        for record in data.records
    ]
    found = run("S5", replace(one, records=marked), **KNOWN).findings
    exponents = {f.case: f.verdict for f in found if "exponent" in f.statistic}
    assert exponents == {"weight_decay=0": S, "weight_decay=0.25": R}


# S9


def tasks(slope, count=5, noise=0.05):
    rng = np.random.default_rng(0)
    studies = []
    for i, n in enumerate(np.geomspace(10, 10**4, count).astype(int)):
        best = n**slope * math.exp(noise * rng.standard_normal())

        def change(number, params, metrics, n=n, best=best):
            params["lr"] = best * 1.2 ** (number - 3)
            metrics[PREFIX + "n"] = float(n)
            return 1.0 + abs(number - 3)

        studies.append(
            replace(changed(exact_search(Bowl(trials=10), seed=i), change), tuned=i == 1)
        )
    return replace(studies[0], others=tuple(studies[1:]))


@pytest.mark.parametrize(("slope", "verdict"), [(-0.32, S), (0.32, R), (0.0, Q)])
def test_s9_compares_tasks_and_is_advisory(slope, verdict):
    result = run("S9", tasks(slope))
    assert result.verdict is verdict
    assert result.findings[0].measured == pytest.approx(slope, abs=0.05)
    assert "reported only" in result.advisory


def test_s9_needs_five_tasks():
    (found,) = run("S9", tasks(-0.3, count=4)).findings
    assert (found.verdict, found.needed) == (Q, None)
    assert "needs 5 tasks (name them under studies), has 4" in found.note


def test_s9_lists_its_exclusions():
    studies = tasks(-0.3)
    odd = replace(studies.others[0].records[0], metrics={})
    other = replace(studies.others[0], records=(odd, *studies.others[0].records[1:]))
    result = run("S9", replace(studies, others=(other, *studies.others[1:])))
    (finding,) = json.loads(json.dumps(result.to_json()))["findings"]
    assert sum(finding["excluded"].values()) == 1


# S10


def switched(effect, pairs=False, count=60, spread=0.5, diverge=()):
    rng = np.random.default_rng(2)

    def change(number, params, metrics):
        on = number % 2 == 0
        params["conserve_energy"] = on
        if pairs:
            params |= {"lr": 0.1 + number // 2, "eta": 2.0, "nu_sqrt_n": 0.3}
            del metrics["resolved_nu"]
        if number in diverge:
            return None
        return math.exp(spread * rng.standard_normal() - effect * on)

    return changed(exact_search(Bowl(trials=count)), change)


@pytest.mark.parametrize("pairs", [True, False])
@pytest.mark.parametrize(("effect", "verdict"), [(1.0, S), (-1.0, R), (0.0, Q)])
def test_s10_compares_pairs_or_samples(effect, verdict, pairs):
    result = run("S10", switched(effect, pairs))
    assert result.verdict is verdict
    assert ("pairs" in result.findings[0].case) is pairs
    assert (result.findings[0].needed is not None) is (verdict is Q)


def test_s10_counts_a_diverged_trial_as_the_worst():
    """Off is better where it ends, but most trials with it off do not."""
    data = switched(-0.5, diverge=[n for n in range(60) if n % 2 and n > 8])
    assert run("S10", data).verdict is S


def test_s10_needs_both_kinds():
    (found,) = run("S10", exact_search(Bowl(trials=40))).findings
    assert found.verdict is Q
    assert "needs 10 trials with conserve_energy = false, has 0" in found.note
    assert found.needed is None


def test_superiority_is_mann_whitney_s_and_its_error_delong_s():
    rng = np.random.default_rng(0)
    estimates = [
        superiority(rng.standard_normal(30), rng.standard_normal(40) + 0.7) for _ in range(600)
    ]
    values = np.array([e.value for e in estimates])
    assert values.mean() == pytest.approx(0.690, abs=0.01)
    assert np.mean([e.error for e in estimates]) == pytest.approx(values.std(), rel=0.1)


# S11


def bounded(effect, largest=0.8, count=60):
    rng = np.random.default_rng(4)

    def change(number, params, metrics):
        energy = 0.1 * 10 ** (number % 6 / 2.5)
        params |= {"s": 1, "delta_energy": energy}
        metrics[PREFIX + "s"], metrics[PREFIX + "delta_energy"] = 1.0, energy
        metrics[PREFIX + "log_energy"] = params["eta"] * (3.0 + math.log1p(energy))
        metrics[PREFIX + "tail_w"] = largest if number == 7 else 0.5
        return math.exp(0.2 * rng.standard_normal() - effect * math.log1p(energy))

    return changed(exact_search(Bowl(trials=count)), change)


@pytest.mark.parametrize(("effect", "verdict"), [(1.0, S), (-1.0, R), (0.0, Q)])
def test_s11_asks_whether_a_larger_region_is_better(effect, verdict):
    bound, reach = run("S11", bounded(effect)).findings
    assert bound.verdict is S
    assert reach.verdict is verdict


def test_s11_refutes_if_the_region_is_left():
    assert run("S11", bounded(1.0, largest=1.01)).verdict is R


def test_s11_is_for_s_1():
    (found,) = run("S11", exact_search(Bowl(trials=30))).findings
    assert (found.verdict, found.excluded) == (Q, {"s = 0": 30})


# S12


def with_best_at(place, count=80):
    """Values least at a place of the range of η; those of Δt and ν√n do not matter."""

    def change(number, params, metrics):
        where = (params["eta"] - 1.25) / 2.75
        return abs(where - place) + 1e-3

    return changed(exact_search(Bowl(trials=count)), change)


@pytest.mark.parametrize(
    ("place", "verdict"), [(0.5, S), (0.3, S), (0.7, S), (0.0, R), (0.05, R), (1.0, R)]
)
@pytest.mark.parametrize("trials", [80, 160])
def test_s12_reports_the_place_of_the_best_trials(place, verdict, trials):
    found = {f.case.split()[0]: f for f in run("S12", with_best_at(place, trials)).findings}
    assert set(found) == {"lr", "eta", "nu_sqrt_n"}
    assert found["eta"].verdict is verdict
    assert found["lr"].verdict is not R
    if verdict is R:
        assert found["eta"].case.endswith("low end" if place < 0.5 else "high end")


def test_s12_needs_forty_trials():
    for found in run("S12", with_best_at(0.0, 39)).findings:
        assert (found.verdict, found.needed) == (Q, 40)


def test_places():
    np.testing.assert_allclose(
        place_in_range(Float(1.0, 100.0, log=True), [1.0, 10.0, 100.0]), [0, 0.5, 1]
    )
    np.testing.assert_allclose(place_in_range(Int(0, 10), [0, 5, 10]), [0, 0.5, 1])
    np.testing.assert_allclose(
        place_in_range(Choice((4.0, 1.0, 2.0)), [4.0, 1.0, 2.0]), [1, 0, 0.5]
    )


def test_s12_reports_a_natural_end_of_a_hyperparameter():
    def stretch(number, params, metrics):
        params["eta"] = 1 + (params["eta"] - 1.25) * 3 / 2.75
        return params["eta"]

    spec = search_spec(Bowl(eta=(1.0, 4.0)))
    data = changed(replace(exact_search(Bowl(trials=80)), spec=spec), stretch)
    found = {f.case.split()[0]: f for f in run("S12", data).findings}
    assert found["eta"].verdict is R
    assert found["eta"].note == "a limit of eta"
    assert run("S12", with_best_at(0.0)).findings[1].note == ""


def test_s12_has_no_edge_if_the_low_end_means_zero():
    space = {**Bowl().space(), "lr": {"low": 0.1, "high": 3.2, "log": True, "zero": {"below": 0.2}}}
    spec = search_spec(Bowl(), optimizers={"ecdsep": {"space": space}})
    data = changed(exact_search(Bowl(trials=80)), lambda number, params, metrics: params["lr"])
    ended = {f.case.split()[0]: f for f in run("S12", data).findings}
    assert ended["lr"].verdict is R
    reaching = {f.case.split()[0]: f for f in run("S12", replace(data, spec=spec)).findings}
    assert reaching["lr"].verdict is S


def test_s12_uses_ordered_dimensions_only():
    space = {"lr": [0.1, 0.2, 0.4], "eta": [1.0, 2.0], "nu": 1e-3, "conserve_energy": [True, False]}
    spec = search_spec(Bowl(), optimizers={"ecdsep": {"space": space}})
    data = replace(exact_search(Bowl(trials=50)), spec=spec)
    (found,) = run("S12", data).findings
    assert found.case.startswith("lr in {0.1, 0.2, 0.4}")
