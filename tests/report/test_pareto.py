"""Value against cost: the front, when it is shown, and its figure."""

import dataclasses

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ecd_tune.records import METRIC, Cause, Curve, Direction, RunCost, TrialState
from ecd_tune.report import build_report
from ecd_tune.report.model.pareto import find_front
from ecd_tune.report.render.figures.pareto import draw_pareto
from ecd_tune.report.render.figures.parts.style import drawing
from ecd_tune.report.words.sections import build_sections

MIN, MAX = Direction.MINIMIZE, Direction.MAXIMIZE
POINTS = st.lists(st.tuples(st.integers(1, 9), st.integers(0, 9)), min_size=1, max_size=12)


@given(POINTS, st.sampled_from([MIN, MAX]))
def test_front_has_the_nondominated_trials(points, direction):
    costs, values = zip(*points, strict=True)
    front = find_front(costs, values, direction)

    def beaten(i):
        return any(
            (costs[j], direction.sign * values[j]) != (costs[i], direction.sign * values[i])
            and costs[j] <= costs[i]
            and direction.sign * values[j] <= direction.sign * values[i]
            for j in range(len(points))
        )

    assert {points[i] for i in front} == {points[i] for i in range(len(points)) if not beaten(i)}
    assert [costs[i] for i in front] == sorted({costs[i] for i in front})


def cut(record, steps, value, pruned=True):
    """The trial, ended after some steps."""
    curve = Curve(tuple(range(steps + 1)), tuple(1.0 for _ in range(steps + 1)))
    ended = {"state": TrialState.PRUNED, "cause": Cause.PRUNED} if pruned else {}
    return dataclasses.replace(record, value=value, curves={METRIC: curve}, **ended)


@pytest.fixture(scope="module")
def pruned(studies):
    """Two optimizers, six trials each: steps 1 to 10, ECDSep's batches took 3 s a trial."""
    spec = studies.digits_spec(confirmation={"runs": 0})
    trials = {**studies.digits_trials(studies.digits_spec())}
    trials = {spec.key(key): [*trials[spec.key(key)]] for key in spec.optimizers}
    plan = [(1, 0.5), (2, 0.4), (2, 0.7), (5, 0.7), (10, 0.9), (10, 0.8)]
    for key, seconds in (("ecdsep", 3.0), ("adamw", 1.5)):
        trials[spec.key(key)] = [
            dataclasses.replace(cut(r, steps, value, steps < 10), cost=RunCost(seconds, "cpu"))
            for r, (steps, value) in zip(trials[spec.key(key)], plan, strict=True)
        ]
    return build_report(spec, trials, {})


def test_steps_count_at_the_mean_time_of_a_step(pruned):
    assert pruned.pareto.step_seconds == {"ecdsep": 18 / 30, "adamw": 9 / 30}
    own = [t for t in pruned.pareto.front if t.optimizer == "ecdsep"]
    assert [(t.trial, t.value, t.steps) for t in own] == [(0, 0.5, 1), (2, 0.7, 2), (4, 0.9, 10)]
    assert [t.seconds for t in own] == pytest.approx([0.6, 1.2, 6.0])
    assert {t.memory_mib for t in own} == {None}


def test_points_and_front_are_drawn(pruned):
    with drawing():
        (figure,) = draw_pareto(pruned)
    axes = figure.figure.axes[0]
    points, line, dots, *rest = axes.get_lines()
    assert sorted(points.get_xdata()) == pytest.approx([0.6, 1.2, 1.2, 3.0, 6.0, 6.0])
    # Accuracies are drawn as errors.
    assert list(dots.get_ydata()) == pytest.approx([0.5, 0.3, 0.1])
    assert list(line.get_xdata()) == pytest.approx([0.6, 1.2, 6.0, 6.0])
    assert line.get_drawstyle() == "steps-post"
    assert len(rest) == 3
    assert line.get_color() != rest[1].get_color()
    labels = {text.get_text() for text in axes.texts}
    assert labels == {"ECDSep", "AdamW"}
    assert axes.get_xscale() == "log"
    low, high = axes.get_xlim()
    assert low < 0.3
    assert high > 6.0
    assert figure.words == "ECDSep: 0.5 at 0.6 s, 0.9 at 6 s; AdamW: 0.5 at 0.3 s, 0.9 at 3 s"


def test_the_table_is_the_front(pruned):
    section = next(s for s in build_sections(pruned) if s.anchor == "search")
    _, table = section.tables
    assert table.aside
    assert table.header[1:] == (
        "Trial",
        "Best validation accuracy over the epochs",
        "Epochs",
        "Seconds",
    )
    assert table.rows[:3] == (
        ("ECDSep", "0", "0.5", "1", "0.6"),
        ("ECDSep", "2", "0.7", "2", "1.2"),
        ("ECDSep", "4", "0.9", "10", "6"),
    )


def test_trials_of_equal_cost_have_no_front(digits):
    assert digits.pareto is None
    assert list(draw_pareto(digits)) == []
    section = next(s for s in build_sections(digits) if s.anchor == "search")
    assert len(section.tables) == 1


def test_wall_times_count_where_steps_are_equal_and_times_are_not(studies):
    spec = studies.digits_spec()
    trials = {**studies.digits_trials(spec)}
    key = spec.key("adamw")

    def report(factor):
        timed = [
            dataclasses.replace(
                r,
                cost=RunCost(1.0 + factor * i, "cuda:0"),
                value=0.9 + 0.01 * i,
                metrics={"peak_memory_mib": 100.0 + i},
            )
            for i, r in enumerate(trials[key])
        ]
        return build_report(spec, {**trials, key: timed}, {})

    assert report(0.3).pareto is None
    wide = report(2.0)
    assert wide.pareto.step_seconds == {}
    own = [t for t in wide.pareto.front if t.optimizer == "adamw"]
    assert [(t.seconds, t.memory_mib) for t in own] == [(1.0 + 2 * i, 100.0 + i) for i in range(6)]
    section = next(s for s in build_sections(wide) if s.anchor == "search")
    assert section.tables[1].header[-1] == "Peak GPU memory [MiB]"
    assert section.tables[1].rows[-1][-1] == "105"


def test_diverged_and_failed_trials_are_not_on_the_front(pruned, studies):
    assert all(t.trial != 1 for t in pruned.pareto.front)
    spec = studies.digits_spec()
    trials = {**studies.digits_trials(spec)}
    key = spec.key("adamw")
    records = [cut(r, i + 1, 0.5 + 0.01 * i, pruned=False) for i, r in enumerate(trials[key])]
    bad = {"state": TrialState.PRUNED, "cause": Cause.DIVERGED, "value": 0.99}
    records[0] = dataclasses.replace(records[0], **bad)
    for other in spec.optimizers:
        trials.setdefault(spec.key(other), [])
    trials[spec.key("ecdsep")] = []
    report = build_report(spec, {**trials, key: records}, {})
    assert [t.trial for t in report.pareto.front] == [1, 2, 3, 4, 5]
