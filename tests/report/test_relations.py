"""Measured against predicted: trials drawn from the laws lie on the lines, within the bands."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from ecd_tune.analysis.checks import check_study
from ecd_tune.lab.searches import OPTIMIZER, Bowl, exact_search, search_spec
from ecd_tune.measurements import PREFIX
from ecd_tune.records import TrialRecord, TrialState
from ecd_tune.report.model.relations.draw import relation_panels
from ecd_tune.report.model.relations.panels import ScatterPanel
from ecd_tune.spec import CheckSpec, StudySpec
from ecd_tune.theory import suggest_lr

BOWL = Bowl("algorithm1", trials=40)
KNOWN = {"S1": {"F_min": 1.0}, "S3": {"F_min": 1.0}, "S5": {"F_min": 1.0, "curvature": 0.3}}


def study(*checks: str, bowl: Bowl = BOWL, **more: Any) -> StudySpec:
    declared = [{"name": name, **KNOWN.get(name, {}), **more} for name in checks]
    return search_spec(bowl, checks=declared)


def draw(spec: StudySpec, bowl: Bowl = BOWL, noise: float = 0.0) -> tuple[ScatterPanel, ...]:
    return panels(spec, exact_search(bowl, noise=noise).records)


def panels(spec: StudySpec, records: Sequence[TrialRecord], **others: Any) -> Any:
    return relation_panels(check_study(spec, {spec.key(OPTIMIZER): records}, {}, **others))


def distance(panel: ScatterPanel) -> float:
    """Return the largest relative distance of a point from the line."""
    assert panel.line is not None
    turn = np.log if panel.log_x else np.asarray
    rise = np.log if panel.log_y else np.asarray
    far = []
    for group in panel.points:
        on = np.interp(turn(group.x), turn(panel.line.x), rise(panel.line.y))
        value = np.exp(on) if panel.log_y else on
        far.append(np.abs(np.array(group.y) / value - 1).max())
    return float(max(far))


@pytest.mark.parametrize("name", ["S2", "S3", "S6", "S7"])
def test_exact_trials_lie_on_the_line(name: str) -> None:
    (panel,) = draw(study(name))
    assert sum(len(group.x) for group in panel.points) > 20
    assert distance(panel) < 1e-3
    (noisy,) = draw(study(name), noise=0.3)
    assert distance(noisy) > 0.1


def test_a_single_place_has_a_line_too() -> None:
    bowl = replace(BOWL, integrator="sync")
    (panel,) = draw(study("S6", bowl=bowl), bowl)
    assert panel.line is not None
    assert (panel.line.x[0], panel.line.x[-1]) == pytest.approx((0.9, 1.1))


def test_the_plateau_of_sync_is_the_line_against_eta() -> None:
    bowl = replace(BOWL, integrator="sync")
    (panel,) = draw(study("S1", bowl=bowl), bowl)
    assert distance(panel) < 0.02  # the line is drawn by chords, and is steep at its start
    lower = draw(study("S1"))[0]
    assert lower.line is not None
    on = np.interp(lower.points[0].x, lower.line.x, lower.line.y)
    assert (np.array(lower.points[0].y) < 1.02 * on).all()


def test_a_loss_at_its_offset_has_a_panel_without_a_line() -> None:
    spec = study("S1", F_min=0.0)
    (panel,) = draw(spec)
    assert panel.line is None
    assert "no plateau" in panel.note


def test_the_loss_over_its_plateau_is_one_whatever_nu() -> None:
    panels = draw(study("S5"))
    assert len(panels) == 1
    assert distance(panels[0]) < 1e-6
    assert draw(search_spec(BOWL, checks=[{"name": "S5"}])) == ()


def test_bands_are_what_the_rules_allow() -> None:
    (harmonic,) = draw(study("S2"))
    assert harmonic.line is not None
    x, y = np.array(harmonic.line.x), np.array(harmonic.line.y)
    np.testing.assert_allclose((np.array(harmonic.line.high) - y) / x, 0.1)
    (plateau,) = draw(study("S3"))
    assert plateau.line is not None
    slope = np.diff(np.log(plateau.line.high)) / np.diff(np.log(plateau.line.x))
    assert (np.abs(slope + 1) < 0.15 + 1e-9).all()
    assert (slope[0], slope[-1]) == pytest.approx((-1.15, -0.85))
    assert (np.array(plateau.line.low) <= np.array(plateau.line.y)).all()


def test_best_step_sizes_of_several_studies_are_one_curve() -> None:
    bowls = {f"n{n}": replace(BOWL, n=n) for n in (10, 100, 1000)}
    others = {}
    for name, bowl in bowls.items():
        spec = search_spec(bowl, name=name)
        others[name] = (spec, {spec.key(OPTIMIZER): exact_search(bowl).records})
    spec = study("S9", studies=list(bowls))
    records = exact_search(BOWL).records
    (panel,) = panels(spec, records, others=others)
    assert panel.points[0].x == (10, 50, 100, 1000)
    best = min(exact_search(bowls["n10"]).records, key=lambda record: record.value or 0)
    assert panel.points[0].y[0] == best.params["lr"]
    assert panel.line is not None
    np.testing.assert_allclose(panel.line.y, suggest_lr(np.array(panel.line.x)))
    assert panels(spec, records)[0].points[0].x == (50,)


def test_task_with_another_optimizer_key_is_drawn() -> None:
    bowl = replace(BOWL, n=10)
    optimizers = {"ours": {"optimizer": "ecdsep", "space": bowl.space()}}
    other = search_spec(bowl, name="b", optimizers=optimizers)
    others = {"b": (other, {other.key("ours"): exact_search(bowl).records})}
    spec = study("S9", studies=["b"])
    (entry,) = check_study(
        spec, {spec.key(OPTIMIZER): exact_search(BOWL).records}, {}, others=others
    )
    assert "has 2" in entry.result.findings[0].note
    (panel,) = relation_panels([entry])
    assert panel.points[0].x == (10, 50)


def test_the_optimizer_of_the_same_key_is_compared_where_there_are_several() -> None:
    bowl = replace(BOWL, n=10)
    two = {key: {"optimizer": "ecdsep", "space": bowl.space()} for key in ("first", OPTIMIZER)}
    other = search_spec(bowl, name="b", optimizers=two)
    others = {"b": (other, {other.key(OPTIMIZER): exact_search(bowl).records})}
    (panel,) = panels(study("S9", studies=["b"]), exact_search(BOWL).records, others=others)
    assert panel.points[0].x == (10, 50)


def test_landscapes_are_drawn_separately() -> None:
    """Two weight decays have two lowest losses, whatever their F0."""
    records = exact_search(BOWL, noise=0.0).records
    decayed = [
        replace(record, metrics={**record.metrics, PREFIX + "weight_decay": float(number % 2)})
        for number, record in enumerate(records)
    ]
    (panel,) = panels(study("S2"), decayed)
    assert [group.label for group in panel.points] == ["ECDSep, F0=0 wd=0", "ECDSep, F0=0 wd=1"]


def test_removed_checks_are_drawn() -> None:
    spec = study("S7")
    stored = [CheckSpec(name="S2", optimizer=OPTIMIZER)]
    records = {spec.key(OPTIMIZER): exact_search(BOWL).records}
    drawn = relation_panels(check_study(spec, records, {OPTIMIZER: stored}))
    assert [panel.title[:2] for panel in drawn] == ["S7", "S2"]
    assert "removed from the file since" in drawn[1].points[0].label


def test_pairs_are_drawn_on_against_off() -> None:
    record = exact_search(BOWL).records[0]

    def trial(value: float, lr: float, conserve: bool) -> TrialRecord:
        params: Mapping[str, Any] = {**record.params, "lr": lr, "conserve_energy": conserve}
        return replace(record, value=value, params=params)

    records = [
        trial(1.0, 0.1, True),
        trial(3.0, 0.1, False),
        trial(9.0, 0.1, False),
        trial(2.0, 0.2, True),
    ]
    (panel,) = panels(study("S10"), records)
    assert (panel.points[0].x, panel.points[0].y) == ((3.0,), (1.0,))
    lost = replace(trial(0.0, 0.2, False), state=TrialState.FAIL, value=None)
    (panel,) = panels(study("S10"), [*records, lost])
    assert panel.points[0].label == "ECDSep (1 without a value left out)"
    assert panel.points[0].x == (3.0,)


def test_missing_relations_are_not_drawn() -> None:
    assert panels(study("S2", "S7", "S9", "S10"), ()) == ()
    assert draw(study("S12")) == ()
