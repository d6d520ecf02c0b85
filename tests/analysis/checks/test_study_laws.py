"""S1 to S8 on searches whose numbers are drawn from the exact laws, or from wrong ones."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import pytest

from ecd_tune.analysis.checks import CHECKS, StudyTrials, Verdict
from ecd_tune.lab.searches import Bowl, exact_search, take
from ecd_tune.measurements import PREFIX
from ecd_tune.records import Cause, TrialState

S, R, Q = Verdict.SUPPORTED, Verdict.REFUTED, Verdict.INCONCLUSIVE
SYNC, ALGORITHM1 = Bowl("sync", trials=60), Bowl("algorithm1", trials=60)


def run(check, data, **options):
    return CHECKS.get(check).run(replace(data, options=options))


def measured(data, **columns):
    """The same trials with other measurements: functions of params and old value."""
    changed = []
    for record in data.records:
        metrics = dict(record.metrics)
        for name, change in columns.items():
            metrics[PREFIX + name] = float(change(record.params, metrics[PREFIX + name]))
        changed.append(replace(record, metrics=metrics))
    return replace(data, records=changed)


def searched(data, **params):
    return replace(data, records=[replace(r, params={**r.params, **params}) for r in data.records])


@pytest.fixture(scope="module")
def sync():
    return exact_search(SYNC)


@pytest.fixture(scope="module")
def algorithm1():
    return exact_search(ALGORITHM1)


@pytest.mark.parametrize("check", ["S1", "S2", "S3", "S6", "S7"])
@pytest.mark.parametrize("bowl", ["sync", "algorithm1"])
def test_the_exact_laws_are_supported(check, bowl, request):
    result = run(check, request.getfixturevalue(bowl))
    assert result.verdict is S, result
    assert result.findings[0].samples == 60


def test_the_lowest_loss_is_found_by_the_harmonic_law(sync):
    (found,) = run("S3", sync).findings
    assert float(found.note.split()[2].rstrip(",")) == pytest.approx(1.0, abs=0.01)
    assert run("S3", sync, F_min=1.0).findings[0].note == "F̂min = 1, known"


def test_s1_refutes_if_larger_eta_is_worse(sync):
    rising = measured(sync, tail_loss=lambda p, old: 1 + 1e-6 * math.exp(3 * p["eta"]))
    assert run("S1", rising, F_min=1.0).verdict is R


def test_s1_is_inconclusive_without_effect_and_gives_a_sample_size(sync):
    rng = np.random.default_rng(1)
    flat = measured(sync, tail_loss=lambda p, old: 1 + math.exp(rng.standard_normal()))
    result = run("S1", flat, F_min=1.0)
    assert result.verdict is Q
    assert result.findings[0].needed > 60
    assert f"about {result.findings[0].needed} trials would decide" in result.findings[0].note


def test_guessed_lowest_loss_is_inconclusive(sync):
    drifting = measured(sync, tail_log_gap_1=lambda p, old: old + 1)
    result = run("S1", drifting)
    assert result.findings[0].high < 0
    assert result.verdict is Q
    assert "guessed" in result.findings[0].note
    assert run("S1", drifting, F_min=1.0).verdict is S


@pytest.mark.parametrize("count", [5, 19])
def test_s1_needs_twenty_trials(sync, count):
    (found,) = run("S1", take(sync, range(count))).findings
    assert (found.verdict, found.needed) == (Q, 20)
    assert found.note == f"needs 20 trials, has {count}"


def test_s1_names_a_missing_span_of_eta():
    narrow = exact_search(Bowl("sync", trials=60, eta=(2.0, 2.9)))
    (found,) = run("S1", narrow).findings
    assert (found.verdict, found.needed) == (Q, None)
    assert "needs 1 as span of η, has 0.8" in found.note


def test_s2_and_s3_refute_another_law(algorithm1):
    """⟨1/φ⟩ that does not vanish at η_eff = 1, and a gap that falls as the root."""
    other = measured(
        algorithm1,
        tail_inverse_gap=lambda p, old: old + 0.3,
        tail_loss=lambda p, old: 1 + math.sqrt(old - 1),
    )
    assert run("S2", other).verdict is R
    assert run("S3", other, F_min=1.0).verdict is R


def test_s2_gives_the_sample_size_for_twelve_stationary_trials(sync):
    few = measured(sync, tail_log_gap_1=lambda p, old: old + (p["eta"] > 1.8))
    (found,) = run("S2", few).findings
    still = found.samples
    assert 0 < still < 12
    assert found.verdict is Q
    assert found.needed == math.ceil(12 / (still / 60))
    assert found.excluded == {"drift ≥ 0.05": 60 - still}


def test_s2_is_inconclusive_if_the_scatter_is_too_large():
    noisy = exact_search(SYNC, noise=0.3)
    (found,) = run("S2", noisy).findings
    assert found.verdict is Q
    more = exact_search(replace(SYNC, trials=2 * found.needed), noise=0.3)
    assert run("S2", more).verdict is S


def test_s4_supports_that_nu_acts_through_eta_eff(algorithm1):
    first, second = run("S4", algorithm1, F_min=1.0).findings
    assert (first.verdict, second.verdict) == (S, S)
    assert first.measured == pytest.approx(-0.125, abs=0.05)


def test_s4_refutes_a_direct_effect_of_nu(algorithm1):
    acting = measured(algorithm1, tail_loss=lambda p, old: 1 + (old - 1) * p["nu_sqrt_n"] ** -0.4)
    assert run("S4", acting, F_min=1.0).verdict is R


def test_s4_does_not_refute_without_an_effect_of_nu():
    """Then η alone counts: no case against η_eff unless ν shows beside it."""
    still = measured(
        exact_search(ALGORITHM1), tail_loss=lambda p, old: 1 + (old - 1) * p["nu_sqrt_n"] ** 0.12
    )
    first, _ = run("S4", still, F_min=1.0).findings
    assert first.verdict is Q


def test_s4_is_for_algorithm_1(sync):
    (found,) = run("S4", sync).findings
    assert (found.verdict, found.needed) == (Q, None)
    assert found.excluded == {"integrator is sync": 60}


def test_s6_refutes_a_virial_of_one_under_algorithm_1(algorithm1):
    unit = measured(algorithm1, tail_virial=lambda p, old: 1.0)
    assert run("S6", unit).verdict is R


def test_s7_refutes_another_angle(sync):
    printed = measured(sync, cos_bounce=lambda p, old: math.cos(min(p["nu_sqrt_n"], math.pi / 2)))
    assert run("S7", printed).verdict is R
    still = searched(sync, nu_sqrt_n=0.0)
    still = replace(
        still,
        records=[replace(r, metrics={**r.metrics, "resolved_nu": 0.0}) for r in still.records],
    )
    (found,) = run("S7", still).findings
    assert (found.verdict, found.excluded) == (Q, {"ν = 0": 60})


def bounded(sync, longest):
    return measured(sync, s=lambda p, old: 1, max_step_over_lr=lambda p, old: longest)


@pytest.mark.parametrize(
    ("longest", "trials", "verdict"),
    [(1.0 + 1e-12, 60, S), (1.0 + 1e-6, 60, R), (2.0, 1, R), (0.9, 24, Q), (0.9, 25, S)],
)
def test_s8_is_a_bound_over_a_hundred_thousand_steps(sync, longest, trials, verdict):
    (found,) = run("S8", take(bounded(sync, longest), range(trials))).findings
    assert found.verdict is verdict
    assert found.needed == (25 if verdict is Q else None)


def test_s8_includes_trials_with_hazards(sync):
    data = measured(bounded(sync, 1.5), share_hazard=lambda p, old: 0.5)
    assert run("S8", data).verdict is R
    assert run("S2", data).findings[0].excluded["hazards in more than 1 % of the steps"] == 60


def test_excluded_trials_are_counted(sync):
    records = list(sync.records)
    records[0] = replace(records[0], state=TrialState.FAIL, value=None)
    records[1] = replace(records[1], state=TrialState.PRUNED, reason="loss became nan")
    records[2] = replace(records[2], state=TrialState.PRUNED, cause=Cause.PRUNED)
    records[3] = replace(records[3], metrics={})
    records[4] = replace(records[4], state=TrialState.RUNNING, value=None)
    records[5] = replace(records[5], state=TrialState.FAIL, value=None, lost=True)
    data = measured(replace(sync, records=records[6:]), share_hazard=lambda p, old: 0.0)
    data = replace(data, records=[*records[:6], *data.records])
    (found,) = run("S7", data).findings
    assert found.samples == 54
    assert found.excluded == {"failed": 1, "diverged": 1, "pruned": 1, "not measured": 1}


def test_landscapes_are_evaluated_separately(sync):
    other = exact_search(Bowl("sync", trials=30, F_min=5.0, F0=2.0), seed=3)
    both = replace(sync, records=[*sync.records, *other.records])
    first, second = run("S2", both).findings
    assert (first.case, second.case) == ("F0=0 wd=0", "F0=2 wd=0")
    assert (first.verdict, second.verdict) == (S, S)
    assert first.excluded == {"other F0 or weight decay": 30}


def test_minibatch_verdicts_are_advisory(sync):
    assert run("S2", sync).advisory == ""
    batches = measured(sync, steps=lambda p, old: 10 * old)
    result = run("S2", batches)
    assert result.verdict is S
    assert "minibatches" in result.advisory
    assert not run("S1", batches).advisory


@pytest.mark.parametrize("name", ["lr", "nu", "F0"])
def test_automatic_settings_are_excluded(sync, name):
    (found,) = run("S7", searched(sync, **{name: "auto"})).findings
    assert found.excluded == {"Δt, η, ν or F0 set during the run": 60}


def test_no_trials_at_all():
    nothing = StudyTrials(exact_search(SYNC).spec, "ecdsep", ())
    for check in CHECKS:
        if check.is_for_studies:
            result = check.run(nothing)
            assert result.verdict is Q, check.id
